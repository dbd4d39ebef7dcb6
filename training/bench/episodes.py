"""A synthetic library of many episodes: who is on screen when, without a video."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from indexer.affinity import CLEAR_PX
from indexer.clothes import COLOURS
from indexer.records import BLANK, Character, Float32, Frame, Identity, Shot, Trace, Track, UInt8
from indexer.store import schema
from indexer.store.library import Library, locked, open_or_create
from indexer.store.publish import publish
from indexer.store.write import EpisodeWriter, StagedEpisode
from training.bench.crowd import DIMENSION, Crowd

NAME = "Person 1"
"""Somebody whom most episodes show."""

_PEOPLE = 30
_SHOTS, _SHOT_FRAMES, _TRACKS_PER_SHOT = 10, 60, 4
_RATE = 25
_AT_ONCE = 100  # an unfinished writer holds files open


def make_library(root: Path, episodes: int) -> Library:
    """Make a library of episodes of 600 frames with 40 tracks each, and return it."""
    library = open_or_create(root, "made", DIMENSION, {})
    faces = Crowd(_PEOPLE).some(0, _PEOPLE)
    cast = [_character(number + 1, face) for number, face in enumerate(faces)]
    for first in range(0, episodes, _AT_ONCE):
        with ExitStack() as stack:
            staged, identities = [], {}
            for number in range(first, min(first + _AT_ONCE, episodes)):
                one, who = _episode(library, number, faces, stack)
                staged.append(one)
                identities[one.episode] = who
            current = stack.enter_context(locked(library))
            library = publish(
                current,
                episodes=staged,
                characters=cast,
                identities=identities,
                next_character_id=_PEOPLE + 1,
            )
    return library


def _episode(
    library: Library, number: int, faces: Float32, stack: ExitStack
) -> tuple[StagedEpisode, list[Identity]]:
    generator = np.random.default_rng(number)
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    episode = schema.episode_id(Path(f"made {number}.mp4"), sha256)
    writer = stack.enter_context(EpisodeWriter(library, episode, sha256))
    frames = _SHOTS * _SHOT_FRAMES
    writer.add_frames(_frame(number) for number in range(frames))
    identities = []
    for shot in range(_SHOTS):
        start, end = shot * _SHOT_FRAMES, (shot + 1) * _SHOT_FRAMES
        writer.add_shot(Shot(shot, start, end - 1, start / _RATE, end / _RATE))
        for ordinal in range(shot * _TRACKS_PER_SHOT, (shot + 1) * _TRACKS_PER_SHOT):
            who = int(generator.integers(1, _PEOPLE + 1))
            track, trace = _track(
                schema.track_uid(sha256, ordinal), shot, faces[who - 1], generator
            )
            writer.add_track(track, trace, _pixels(16, 16))
            identities.append(Identity(track.uid, who, generator.uniform(0.6, 1), 0.95, 0.5, 0))
    video = dict.fromkeys(schema.VIDEO_KEYS, 0) | {
        "path": f"made {number}.mp4",
        "sha256": sha256,
        "frames": frames,
        "duration_s": frames / _RATE,
    }
    return writer.finish({"video": video}), identities


def _character(number: int, face: Float32) -> Character:
    return Character(
        id=number,
        label=f"Person {number}",
        named=True,
        prototypes=face[None],
        threshold=0.9,
        slope=100.0,
        midpoint=0.9,
        genuine=9,
        impostors=99,
        clear_px=CLEAR_PX,
    )


def _frame(number: int) -> Frame:
    return Frame(
        index=number,
        pts=number,
        time_s=number / _RATE,
        shot=number // _SHOT_FRAMES,
        usable=True,
        hash=BLANK,
        width=640,
        height=360,
        render=_pixels,
    )


def _track(
    uid: int, shot: int, face: Float32, generator: np.random.Generator
) -> tuple[Track, Trace]:
    first = shot * _SHOT_FRAMES + int(generator.integers(0, 20))
    frames = np.arange(first, first + int(generator.integers(5, 40)))
    count = len(frames)
    trace = Trace(
        shot=shot,
        frames=frames,
        times=frames / _RATE,
        boxes=np.tile(np.array([100, 100, 140, 140], np.float32), (count, 1)),
        landmarks=np.full((count, 5, 2), 120, dtype=np.float32),
        scores=np.full(count, 0.99, dtype=np.float32),
        detected=frames % 5 == 0,
    )
    track = Track(
        uid=uid,
        shot=shot,
        start_frame=first,
        end_frame=int(frames[-1]),
        start_s=first / _RATE,
        end_s=(int(frames[-1]) + 1) / _RATE,
        detections=int(trace.detected.sum()),
        score=0.99,
        width_px=40.0,
        quality=np.ones(1, dtype=np.float32),
        exemplar_frames=frames[:1],
        embeddings=face[None],
        embedding=face,
        clothes=np.zeros(COLOURS, np.float32),
    )
    return track, trace


def _pixels(width: int, height: int) -> UInt8:
    return np.full((height, width, 3), 90, dtype=np.uint8)
