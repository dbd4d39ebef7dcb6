"""Views of a face: random augmentation for training, the plain view for measuring, distortions.

Random numbers come from a generator that the caller seeds; faces are RGB uint8 with the border
that `training.faces` leaves around the encoder's square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked

from indexer.config import NotNegative, Share
from indexer.records import Float32, Float64, UInt8

SEVERITIES = (1, 2, 3, 4, 5)
"""From just visible to barely recognisable."""
_VIDEO_QUALITY = 50
"""JPEG quality at which about as much is lost as in a broadcast."""
_QUALITIES = (20, 85)
"""Range of JPEG qualities of narrow views: worse than a broadcast to better; the last excluded."""
WIDTH_BY_EYES = 1.85
"""Width of the detector's box in distances between the eyes."""
_NARROW_PX = (7.0, 64.0)
"""Range of face widths of narrow views."""
_LANDMARK_PX = 0.4
"""Standard deviation of a narrow face's alignment along each axis, in pixels of the video."""


@checked(config=ConfigDict(extra="forbid", frozen=True))
class ViewSettings:
    """The augmentation of random views: the table ``[views]`` of a recipe."""

    turn: NotNegative = 8.0
    """Standard deviation of the angle, degrees."""
    scale: NotNegative = 0.05
    """Standard deviation of the logarithm of the scale factor."""
    shift: NotNegative = 0.03
    """Standard deviation of the shift along each axis, as a share of the side."""
    flip: Share = 0.5
    light: NotNegative = 0.25
    """Standard deviation of the logarithms of contrast and gamma."""
    colour: NotNegative = 0.1
    """Standard deviation of the logarithm of each colour channel's gain."""
    grey: Share = 0.1
    distorted: Share = 0.3
    """Share of the views that get one of the distortions."""
    severe: NotNegative = 0.0
    """Severity s is drawn with a probability proportional to s to this power."""
    sunglasses: Share = 0.0
    """Share of the views with drawn sunglasses."""
    narrow: Share = 0.0
    """Share of the views with the face as narrow as in video, 7 to 64 pixels."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """The input that views are made for: an encoder's square and the landmarks in it."""

    size: int
    """Side of the encoder's square, in pixels."""
    template: Float32
    """(5, 2), where the landmarks lie, in pixels of the square."""

    @property
    def face_px(self) -> float:
        """Return the width of the face in the square, in pixels."""
        return WIDTH_BY_EYES * float(np.linalg.norm(self.template[1] - self.template[0]))


def plain(chips: UInt8, size: int) -> UInt8:
    """Return faces without their borders, (N, size, size, 3)."""
    border = (chips.shape[1] - size) // 2
    return chips[:, border : border + size, border : border + size]


def random_view(
    chip: UInt8, viewer: Viewer, settings: ViewSettings, rng: np.random.Generator
) -> UInt8:
    """Return a face randomly turned, scaled, shifted, flipped, lit and distorted, (S, S, 3)."""
    # Without narrow views nothing is drawn for them, so that earlier recipes' views stay the same.
    width = _narrow_width(viewer, settings, rng) if settings.narrow else viewer.face_px
    off_px = _off_px(viewer, width)
    view = _moved(chip, viewer, _placed(len(chip), viewer, off_px, settings, rng))
    return _spoilt(view, viewer, width, settings, rng)


def random_pair(
    chip: UInt8, viewer: Viewer, settings: ViewSettings, rng: np.random.Generator
) -> tuple[UInt8, UInt8]:
    """Return a random view, and the clean face turned, scaled and shifted alike, each (S, S, 3).

    A narrow view is slightly misaligned, as by imprecise landmarks; the clean face is not. Neither
    is mirrored.
    """
    width = _narrow_width(viewer, settings, rng)
    place = _placed(len(chip), viewer, 0.0, settings, rng)
    missed = place.copy()
    missed[:, 2] += rng.normal(0, _off_px(viewer, width), 2)
    unturned = replace(settings, flip=0.0)
    view = _spoilt(_moved(chip, viewer, missed), viewer, width, unturned, rng)
    return view, _moved(chip, viewer, place)


def _moved(chip: UInt8, viewer: Viewer, place: Float64) -> UInt8:
    size = (viewer.size, viewer.size)
    return cv2.warpAffine(
        chip, place, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.uint8, copy=False)


def _spoilt(
    view: UInt8, viewer: Viewer, width: float, settings: ViewSettings, rng: np.random.Generator
) -> UInt8:
    if rng.random() < settings.sunglasses:
        view = sunglasses(view, viewer.template, rng)
    if rng.random() < settings.flip:
        view = view[:, ::-1]
    view = _lit(view, settings, rng)
    if rng.random() < settings.distorted:
        name = list(DISTORTIONS)[rng.integers(len(DISTORTIONS))]
        often = np.array(SEVERITIES, np.float64) ** settings.severe
        view = distort(view, name, int(rng.choice(SEVERITIES, p=often / often.sum())), rng)
    if width < viewer.face_px:
        view = narrow(view, viewer.face_px, width, int(rng.integers(*_QUALITIES)))
    return np.ascontiguousarray(view)


def _narrow_width(viewer: Viewer, settings: ViewSettings, rng: np.random.Generator) -> float:
    """Return the width of a view's face in pixels: log-uniform if narrow, else the viewer's."""
    low, high = np.log(np.minimum(_NARROW_PX, viewer.face_px))
    width = float(np.exp(rng.uniform(low, high)))
    return width if rng.random() < settings.narrow else viewer.face_px


def _off_px(viewer: Viewer, width_px: float) -> float:
    """Return `_LANDMARK_PX` in pixels of the view, 0 for a face that is not narrow."""
    return _LANDMARK_PX * viewer.face_px / width_px if width_px < viewer.face_px else 0.0


def _placed(
    side: int, viewer: Viewer, off_px: float, settings: ViewSettings, rng: np.random.Generator
) -> Float64:
    """Return the transform from a face with its border to a view of it, (2, 3)."""
    size = viewer.size
    angle = rng.normal(0, settings.turn)
    scale = float(np.exp(rng.normal(0, settings.scale)))
    middle = ((side - 1) / 2, (side - 1) / 2)
    turn = np.asarray(cv2.getRotationMatrix2D(middle, angle, scale), np.float64)
    turn[:, 2] += (size - side) / 2 + rng.normal(0, np.hypot(settings.shift * size, off_px), 2)
    return turn


def _lit(view: UInt8, settings: ViewSettings, rng: np.random.Generator) -> UInt8:
    contrast, gamma = np.exp(rng.normal(0, settings.light, 2))
    gain = np.exp(rng.normal(0, settings.colour, 3))
    levels = np.arange(256)[:, None] / 255
    table = 255 * np.clip((levels - 0.5) * contrast + 0.5, 0, 1) ** gamma * gain  # (256, 3)
    lit = cv2.LUT(view, _levels(table)[None])
    if rng.random() < settings.grey:
        lit = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return lit.astype(np.uint8, copy=False)


def sunglasses(view: UInt8, template: Float32, rng: np.random.Generator) -> UInt8:
    """Return a face with dark glasses drawn over its eyes, (S, S, 3).

    Args:
        view: (S, S, 3).
        template: (5, 2), the landmarks in it, in pixels.
        rng: chooses shape and shade.
    """
    half = np.array([rng.uniform(0.32, 0.45), rng.uniform(0.2, 0.34)])
    shade = rng.uniform(0, 60) + rng.uniform(0, 15, 3)
    return _glasses(view, template, half, shade, float(rng.uniform(0.8, 1.0)))


def severe_sunglasses(
    view: UInt8, landmarks: Float32, severity: int, rng: np.random.Generator
) -> UInt8:
    """Return a face with sunglasses, larger and darker with each severity, (S, S, 3).

    Args:
        view: (S, S, 3).
        landmarks: (5, 2), in pixels of it.
        severity: 1 to 5.
        rng: chooses the shade.

    Raises:
        ValueError: no such severity.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity: expected 1 to 5, got {severity}")
    half = np.array([0.26 + 0.04 * severity, 0.14 + 0.04 * severity])
    shade = rng.uniform(0, 60) + rng.uniform(0, 15, 3)
    return _glasses(view, landmarks, half, shade, min(1.0, 0.5 + 0.125 * severity))


def _glasses(view: UInt8, landmarks: Float32, half: Float64, shade: Float64, cover: float) -> UInt8:
    """Return a face with two ellipses, of half axes in distances of the eyes, and their frame."""
    (left, right), drawn = landmarks[:2], view.copy()
    apart = float(np.linalg.norm(right - left))
    tilt = float(np.degrees(np.arctan2(*(right - left)[::-1])))
    axes, colour = (2 * apart * half).tolist(), shade.tolist()
    for eye in (left, right):
        cv2.ellipse(drawn, (eye.tolist(), axes, tilt), colour, -1)
    aside = 0.9 * (right - left)
    ends = np.round([left - aside, right + aside]).astype(int).tolist()
    cv2.line(drawn, ends[0], ends[1], colour, max(1, round(0.06 * apart)))
    return cv2.addWeighted(drawn, cover, view, 1 - cover, 0).astype(np.uint8, copy=False)


def distort(view: UInt8, name: str, severity: int, rng: np.random.Generator) -> UInt8:
    """Return a face with one of the `DISTORTIONS`, (S, S, 3).

    Args:
        view: (S, S, 3).
        name: of the distortion.
        severity: 1 to 5.
        rng: chooses what is random, such as a direction or a place.

    Raises:
        ValueError: no distortion of that name, or no such severity.
    """
    if name not in DISTORTIONS or severity not in SEVERITIES:
        raise ValueError(
            f"expected one of {', '.join(DISTORTIONS)} and 1 to 5, got {name!r} and {severity}"
        )
    return DISTORTIONS[name](view, severity, rng)


def narrow(view: UInt8, face_px: float, width_px: float, quality: int = _VIDEO_QUALITY) -> UInt8:
    """Return a face as a video shows it at a small width, enlarged again, (S, S, 3).

    It is shrunk, compressed (by default about as much as a broadcast) and enlarged; a face that is
    no wider than `width_px` is only compressed.

    Args:
        view: (S, S, 3).
        face_px: width of the face in it, in pixels.
        width_px: width of the face in the video, in pixels.
        quality: of the JPEG compression.
    """
    small = max(4, round(len(view) * min(1.0, width_px / face_px)))
    less = cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", less, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    seen = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return _levels(cv2.resize(seen, view.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _blur(view: UInt8, severity: int, rng: np.random.Generator) -> UInt8:
    """Defocus or motion blur in a random direction, equally likely."""
    reach = len(view) * 0.012 * severity
    if rng.random() < 0.5:  # noqa: PLR2004
        return _levels(cv2.GaussianBlur(view, (0, 0), reach))
    length = 1 + 2 * round(2 * reach)
    level = np.zeros((length, length), np.float32)
    level[length // 2] = 1
    middle = ((length - 1) / 2, (length - 1) / 2)
    turn = cv2.getRotationMatrix2D(middle, float(rng.uniform(0, 180)), 1)
    kernel = cv2.warpAffine(level, turn, (length, length))
    return _levels(cv2.filter2D(view, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def _fog(view: UInt8, severity: int, rng: np.random.Generator) -> UInt8:
    """Add white of varying density."""
    coarse = rng.random((5, 5)).astype(np.float32)
    cloud = cv2.resize(coarse, view.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    cover = np.clip(0.13 * severity + 0.25 * (cloud - 0.5), 0, 0.95)
    return _levels(view * (1 - cover) + 225 * cover)


def _low_light(view: UInt8, severity: int, rng: np.random.Generator) -> UInt8:
    """Darken, with shot and read noise, and amplify again as a camera does."""
    dark = (view / 255.0) ** 1.5 * 0.5 ** (0.9 * severity)
    photons = 900 / severity
    noisy = rng.poisson(dark * photons) / photons + rng.normal(0, 0.004 * severity, view.shape)
    return _levels(255 * np.clip(noisy, 0, 1) * 1.2**severity)


def _noise(view: UInt8, severity: int, rng: np.random.Generator) -> UInt8:
    return _levels(view + rng.normal(0, 13.0 * severity, view.shape))


def _compression(view: UInt8, severity: int, _rng: np.random.Generator) -> UInt8:
    quality = (28, 18, 12, 8, 5)[severity - 1]
    # OpenCV expects BGR, but JPEG treats red and blue much alike.
    coded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _occlusion(view: UInt8, severity: int, rng: np.random.Generator) -> UInt8:
    """Cover part of the face with a rectangle of one colour."""
    side, covered = len(view), view.copy()
    area = 0.07 * severity * side**2
    width = float(np.sqrt(area) * np.exp(rng.normal(0, 0.3)))
    size = np.minimum([width, area / width], side)
    low = rng.uniform(0.1 * side, 0.9 * side - 0.5 * size, 2)
    high = low + size
    colour = tuple(float(level) for level in rng.uniform(0, 255, 3))
    corners = [tuple(np.round(c).astype(int).tolist()) for c in (low, high)]
    cv2.rectangle(covered, corners[0], corners[1], colour, -1)
    return covered


def _scaling(view: UInt8, severity: int, _rng: np.random.Generator) -> UInt8:
    """Shrink and enlarge, as from far away: the face about 45, 32, 24, 18 and 14 pixels wide."""
    small = max(4, round(len(view) * (0.45, 0.32, 0.24, 0.18, 0.14)[severity - 1]))
    less = cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA)
    return _levels(cv2.resize(less, view.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _levels(values: NDArray[Any]) -> UInt8:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


DISTORTIONS: Mapping[str, Callable[[UInt8, int, np.random.Generator], UInt8]] = {
    "blur": _blur,
    "fog": _fog,
    "low light": _low_light,
    "noise": _noise,
    "compression": _compression,
    "occlusion": _occlusion,
    "scaling": _scaling,
}
"""The ways to distort a view, by name."""
