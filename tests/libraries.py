"""Small hand-made libraries: episodes built from who is where, without a video or a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from indexer.clothes import COLOURS
from indexer.records import (
    BLANK,
    Character,
    Float32,
    Frame,
    Identity,
    Repeat,
    Shot,
    Trace,
    Track,
    UInt8,
)
from indexer.store import appearances, nearest, read, schema, tables, vectors
from indexer.store.library import Library, locked, open_or_create
from indexer.store.publish import publish
from indexer.store.write import EpisodeWriter, StagedEpisode

ENCODER = "encoder-a"
DIMENSION = 8
SETTINGS: Mapping[str, Any] = {"detect": {"every_s": 0.2}}
RATE = 25
ANN, BOB, CARL = 1, 2, 3


@dataclass(frozen=True)
class Shown:
    """A track: who is seen from which frame to which, both included."""

    first: int
    last: int
    character: int
    probability: float = 0.9


@dataclass(frozen=True)
class Episode:
    """An episode as the stages would hand it over."""

    video: Path
    sha256: str
    frames: list[Frame]
    shots: list[Shot]
    tracks: list[Track]
    traces: list[Trace]
    identities: list[Identity]

    @property
    def id(self) -> str:
        return schema.episode_id(self.video, self.sha256)

    def manifest(self) -> dict[str, Any]:
        return {
            "video": {
                "path": str(self.video),
                "sha256": self.sha256,
                "width": 640,
                "height": 360,
                "rotation": 0,
                "frames": len(self.frames),
                "duration_s": self.shots[-1].end_s if self.shots else 0.0,
                "time_base": "1/25",
            }
        }


def episode(
    name: str = "Pilot.mp4",
    shots: Sequence[int] = (),
    shown: Sequence[Shown] = (),
    times: Sequence[float] = (),
    hashes: Sequence[int] = (),
) -> Episode:
    """Return an episode with these shots and tracks; all else is determined by its name.

    Args:
        name: of the video's file.
        shots: number of frames of each shot.
        shown: the tracks, each within one shot.
        times: of all frames and of the end, in seconds; 25 fps if empty.
        hashes: of all frames; all blank if empty.
    """
    count = sum(shots)
    looks = list(hashes) or [BLANK] * count
    clock = list(times) or [frame / RATE for frame in range(count + 1)]
    starts = np.cumsum([0, *shots]).tolist()
    shot_of = np.repeat(np.arange(len(shots)), shots).tolist()
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    generator = np.random.default_rng(int(sha256[:8], 16))
    traces = [_trace(one, shot_of, clock, generator) for one in shown]
    tracks = [
        _track(schema.track_uid(sha256, number), trace, clock, generator)
        for number, trace in enumerate(traces)
    ]
    return Episode(
        video=Path(name),
        sha256=sha256,
        frames=[
            _frame(frame, clock[frame], shot_of[frame], looks[frame]) for frame in range(count)
        ],
        shots=[
            Shot(number, start, end - 1, clock[start], clock[end])
            for number, (start, end) in enumerate(pairwise(starts))
        ],
        tracks=tracks,
        traces=traces,
        identities=[
            Identity(track.uid, one.character, one.probability, 0.7, 0.5, 0)
            for track, one in zip(tracks, shown, strict=True)
        ],
    )


def unsure(made: Episode) -> Episode:
    """Return the episode, each track without a name being Bob with a probability of 0.35."""
    known = [
        one
        if one.character
        else replace(one, reason="not sure enough", runner_up=BOB, nobody=0.6, margin=0.25)
        for one in made.identities
    ]
    return replace(made, identities=known)


def character(number: int, label: str = "", *, named: bool = True) -> Character:
    """Return a character, by default labelled by its number, as in "Person 3"."""
    prototypes = unit(np.random.default_rng(number), 2)
    label = label or f"Person {number}"
    return Character(number, label, named, prototypes, 0.5, 20.0, 0.45, 9, 99, 48.0)


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    """Draw an episode: frames of varying duration, tracks of anybody anywhere in their shots."""
    shots = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    steps = draw(st.lists(st.sampled_from([1, 7, 10]), min_size=sum(shots), max_size=sum(shots)))
    starts = np.cumsum([0, *shots]).tolist()
    shown = []
    for _ in range(draw(st.integers(0, 7))):
        shot = draw(st.integers(0, len(shots) - 1))
        first = draw(st.integers(starts[shot], starts[shot + 1] - 1))
        last = draw(st.integers(first, starts[shot + 1] - 1))
        who = draw(st.integers(0, 3))
        shown.append(Shown(first, last, who, draw(st.integers(0, 10)) / 10))
    times = [tick / 20 for tick in np.cumsum([0, *steps]).tolist()]
    name = draw(st.sampled_from(["Pilot.mp4", "Finale.mkv"]))
    return episode(name, shots, shown, times)


def unit(generator: np.random.Generator, count: int) -> Float32:
    """Return random unit rows, (count, DIMENSION)."""
    rows = generator.normal(size=(count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def new(root: Path) -> Library:
    """Return the library in `root`, created if it does not exist."""
    return open_or_create(root, ENCODER, DIMENSION, SETTINGS)


def write(writer: EpisodeWriter, made: Episode) -> StagedEpisode:
    """Write a whole episode and return it staged."""
    fill(writer, made)
    return writer.finish(made.manifest())


def fill(writer: EpisodeWriter, made: Episode) -> None:
    """Write an episode's frames, shots and tracks, without finishing it."""
    writer.add_frames(made.frames)
    for shot in made.shots:
        writer.add_shot(shot)
    for track, trace in zip(made.tracks, made.traces, strict=True):
        writer.add_track(track, trace, thumbnail())


def put(
    library: Library,
    made: Episode,
    characters: Sequence[Character],
    repeats: Sequence[Repeat] = (),
) -> Library:
    """Publish an episode with its repeats and the characters; return the library's new state."""
    with EpisodeWriter(library, made.id, made.sha256) as writer:
        staged = replace(write(writer, made), repeats=tuple(repeats))
        with locked(library) as current:
            return publish(
                current,
                episodes=[staged],
                characters=characters,
                identities={made.id: made.identities},
                next_character_id=max([0, *(one.id for one in characters)]) + 1,
            )


def state(library: Library) -> dict[str, Any]:
    """Return all that a reader can see of a library, except faces and frames."""
    everything = appearances.of_library(library)
    index = nearest.read(library, tables.integers_of(everything["track"]))
    found: dict[str, Any] = {
        "revision": library.revision,
        "next": library.next_character_id,
        "characters": [(one.id, one.label) for one in read.read_characters(library)],
        "index": vectors.uids_of(index).tolist(),
    }
    for one in read.episodes(library):
        tracks = read.read_tracks(library, one)
        found[one] = (
            [
                (track.uid, track.start_frame, track.end_frame, track.embedding.tolist())
                for track in tracks
            ],
            read.read_identities(library, one),
        )
    return found


def thumbnail() -> UInt8:
    """Return a small picture."""
    return np.full((16, 16, 3), 90, dtype=np.uint8)


def _frame(index: int, time_s: float, shot: int, look: int) -> Frame:
    return Frame(
        index=index,
        pts=index * 512,
        time_s=time_s,
        shot=shot,
        usable=True,
        hash=look,
        width=640,
        height=360,
        render=_no_pixels,
    )


def _no_pixels(width: int, height: int) -> UInt8:
    raise AssertionError("the store does not look at pixels")


def _trace(
    shown: Shown, shot_of: Sequence[int], clock: Sequence[float], generator: np.random.Generator
) -> Trace:
    frames = np.arange(shown.first, shown.last + 1)
    count = len(frames)
    corner = generator.uniform(-20, 600, size=(count, 2))
    boxes = np.concatenate([corner, corner + 40], axis=1).astype(np.float32)
    return Trace(
        shot=shot_of[shown.first],
        frames=frames,
        times=np.array(clock)[frames],
        boxes=boxes,
        landmarks=generator.uniform(0, 600, size=(count, 5, 2)).astype(np.float32),
        scores=generator.uniform(0.9, 1, size=count).astype(np.float32),
        detected=frames % 5 == 0,
    )


def _track(uid: int, trace: Trace, clock: Sequence[float], generator: np.random.Generator) -> Track:
    exemplars = unit(generator, 1 + uid % 3)
    last = int(trace.frames[-1])
    return Track(
        uid=uid,
        shot=trace.shot,
        start_frame=int(trace.frames[0]),
        end_frame=last,
        start_s=float(trace.times[0]),
        end_s=clock[last + 1],
        detections=int(trace.detected.sum()),
        score=0.95,
        width_px=40.0,
        quality=np.linspace(0.9, 0.5, len(exemplars)).astype(np.float32),
        exemplar_frames=np.full(len(exemplars), trace.frames[0]),
        embeddings=exemplars,
        embedding=exemplars[0],
        clothes=np.full(COLOURS, COLOURS**-0.5, np.float32),
    )


CAST = [character(ANN, "Ann"), character(BOB, "Bob"), character(CARL, named=False)]
