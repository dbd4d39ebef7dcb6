"""What comes between the camera and a face: a post, a hand, somebody's back."""

from __future__ import annotations

import numpy as np

from indexer.records import Float32, Float64
from training.synthesize.motion import ramp, sway
from training.synthesize.scene import TALL, Brief
from training.synthesize.takes import Actor, Prop, Take

_SHARE = 0.3
"""Share of the shots in which something comes between camera and face."""
_NARROW = 14.0
"""Faces narrower than this, in units of the spec, get no obstacle of their own."""


def obstacles(
    brief: Brief, rng: np.random.Generator, take: Take, times: Float64
) -> tuple[Prop, ...]:
    """Return the props in front of the people of a take; those that it has already are ignored."""
    props = []
    subjects = [actor for actor in take.actors if actor.name in brief.setup.focus]
    if not subjects:
        return ()
    if brief.setup.before:
        props.append(_shoulder(brief, rng, subjects[0], times))
    if brief.lively and rng.random() < _SHARE:
        subject = subjects[int(rng.integers(len(subjects)))]
        if np.median(_width(subject)) < _NARROW * brief.spec.unit:
            return tuple(props)
        make = (_post, _hand, _passer)[int(rng.integers(3))]
        props.append(make(brief, rng, subject, times))
    return tuple(props)


def _width(actor: Actor) -> Float64:
    return (actor.boxes[:, 2] - actor.boxes[:, 0]).astype(np.float64)


def _middle(actor: Actor) -> Float64:
    return ((actor.boxes[:, :2] + actor.boxes[:, 2:]) / 2).astype(np.float64)


def _post(brief: Brief, rng: np.random.Generator, subject: Actor, times: Float64) -> Prop:
    """A post out of focus that the camera slides past."""
    face = float(np.median(_width(subject)))
    start, end = rng.permutation([-1.6, 1.2]) + rng.uniform(-0.4, 0.4, 2)
    x = _middle(subject)[0, 0] + face * (
        start + (end - start) * times / max(float(times[-1]), 1e-9)
    )
    half = face * rng.uniform(0.15, 0.4)
    zero = np.zeros(len(times))
    boxes = np.stack([x - half, zero - 2, x + half, zero + brief.spec.height + 2], axis=1)
    return Prop("bar", "", _rounded(boxes), blur=round(face * 0.05, 3))


def _hand(brief: Brief, rng: np.random.Generator, subject: Actor, times: Float64) -> Prop:
    """The subject's own hand, raised to the mouth or the cheek and lowered again."""
    face, middle = _width(subject), _middle(subject)
    up = times[-1] * rng.uniform(0.0, 0.4)
    raised = ramp(times, up, up + 0.4) - ramp(times, up + 1.6, up + 2.0)
    x = middle[:, 0] + face * (rng.uniform(-0.35, 0.35) + 0.04 * sway(rng, times))
    y = middle[:, 1] + face * TALL * (rng.uniform(0.15, 0.4) + 2.2 * (1 - raised))
    half = np.column_stack([face * rng.uniform(0.26, 0.4), face * TALL * rng.uniform(0.2, 0.28)])
    place = np.column_stack([x, y])
    boxes = np.concatenate([place - half, place + half], axis=1)
    return Prop("hand", subject.name, _rounded(boxes), blur=subject.blur)


def _passer(brief: Brief, rng: np.random.Generator, subject: Actor, times: Float64) -> Prop:
    """Somebody who walks across, close to the camera and out of focus, seen from behind."""
    face = float(np.median(_width(subject))) * rng.uniform(1.5, 2.2)
    face = min(face, 0.3 * brief.spec.width)
    start = times[-1] * rng.uniform(0.0, 0.4)
    share = (times - start) / rng.uniform(1.4, 2.6)
    ends = np.array([-2 * face, brief.spec.width + 2 * face])
    first, last = ends[:: int(rng.choice([-1, 1]))]
    x = first + (last - first) * share
    return _back(brief, face, x, rng.uniform(0.45, 0.6), "passer")


def _shoulder(brief: Brief, rng: np.random.Generator, subject: Actor, times: Float64) -> Prop:
    """Whoever the subject talks to, at the side of the frame, seen from behind."""
    face = min(1.35 * float(np.median(_width(subject))), 0.3 * brief.spec.width)
    at = 0.04 if brief.setup.aside > 0 else 0.96
    x = brief.spec.width * at + face * 0.1 * sway(rng, times)
    return _back(brief, face, x, 0.5, brief.setup.before)


def _back(brief: Brief, face: float, x: Float64, level: float, name: str) -> Prop:
    """Return a back where a face `face` pixels wide would be in the frame at x, (T,)."""
    y = np.full(len(x), level * brief.spec.height)
    half = np.array([face, face * TALL]) / 2
    place = np.column_stack([x, y])
    boxes = np.concatenate([place - half, place + half], axis=1)
    return Prop("back", name, _rounded(boxes), blur=round(face * 0.03, 3))


def _rounded(values: Float64) -> Float32:
    return np.round(values, 3).astype(np.float32)
