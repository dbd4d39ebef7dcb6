"""A library of the indexer as training data: its tracks as arrays, its faces as pictures.

    faces/Ann/pilot-0a1b2c3d-<track>-<frame>.jpg      of a person with a name
    faces/unnamed-000012/…                            of one without, by the person's id

The library keeps boxes, not pictures, so the faces are cut out of the videos that it indexes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from indexer import affinity
from indexer.clothes import COLOURS
from indexer.config import DecodeSettings
from indexer.decode import open_video
from indexer.errors import ConfigError, StoreError, VideoError
from indexer.progress import Progress, silent
from indexer.records import Bool, Character, Float32, Float64, Int64, Track, UInt8
from indexer.store import disk, read, schema, tables
from indexer.store.library import Library

_AROUND = 0.5
"""Margin around a face, as a share of its box's sides, so that detectors find it again."""
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class LibraryTracks:
    """N tracks of some episodes, and the M faces of them that were encoded."""

    episodes: tuple[str, ...]
    """(E,), ids."""
    episode: Int64
    """(N,), the episode of each track."""
    uids: Int64
    """(N,)."""
    shots: Int64
    """(N,), within the episode."""
    spans: Int64
    """(N, 2), the first and the last frame, both in the track."""
    times: Float64
    """(N, 2), start and end, in seconds."""
    characters: Int64
    """(N,), id of the person that the library takes the track for, 0 for nobody known."""
    features: Float32
    """(N, D), the mean of a track's face vectors; of norm below 1 if they differ."""
    vectors: Float32
    """(M, D), unit rows, track by track, the best face first."""
    track: Int64
    """(M,), the track of each face."""
    frames: Int64
    """(M,), the frame of each face."""
    boxes: Float32
    """(M, 4)."""
    clothes: Float32
    """(N, C), colour histograms of the clothes below the faces, unit rows; 0 where unseen."""

    def __post_init__(self) -> None:
        count, faces, width = len(self.uids), len(self.track), self.vectors.shape[1]
        got = (
            *(x.shape for x in (self.episode, self.shots, self.spans, self.characters)),
            *(x.shape for x in (self.times, self.features, self.vectors, self.frames, self.boxes)),
        )
        one, two = (count,), (count, 2)
        wanted = (one, one, two, one, two, (count, width), (faces, width), (faces,), (faces, 4))
        if got != wanted:
            raise ValueError(f"tracks: expected {wanted}, got {got}")

    def together(self) -> Bool:
        """Return which tracks are on screen together, so of two people, (N, N)."""
        shared = np.zeros((len(self.uids),) * 2, dtype=bool)
        for episode in np.unique(self.episode):
            own = np.flatnonzero(self.episode == episode)
            start, end = self.times[own].T
            shared[np.ix_(own, own)] = affinity.together(start[:, None], end[:, None], start, end)
        np.fill_diagonal(shared, val=False)
        return shared


@dataclass(frozen=True, slots=True)
class CutOut:
    """How many faces were cut out."""

    people: int
    faces: int
    left_out: int
    """Tracks of nobody known."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A face to be cut."""

    name: str
    """Of its file, with its person's folder."""
    box: Float32
    """(4,)."""


def read_tracks(library: Library, some: Sequence[str]) -> LibraryTracks:
    """Return the tracks of episodes, by id, in the order that the library has them.

    Raises:
        StoreError: a table is missing or damaged.
    """
    tracks = [read.read_tracks(library, one) for one in some]
    every = [track for group in tracks for track in group]
    who = {i.track: i.character for one in some for i in read.read_identities(library, one)}
    none = np.zeros((0, library.dimension), np.float32)
    frames = [np.zeros(0, np.int64), *(track.exemplar_frames for track in every)]
    boxes = [np.zeros((0, 4), np.float32)]
    for one, group in zip(some, tracks, strict=True):
        known = _boxes(library, one, group)
        boxes += [known[t.uid, frame][None] for t in group for frame in t.exemplar_frames.tolist()]
    spans = [(track.start_frame, track.end_frame) for track in every]
    times = [(track.start_s, track.end_s) for track in every]
    means = [track.embeddings.mean(axis=0) for track in every]
    return LibraryTracks(
        episodes=tuple(some),
        episode=np.repeat(np.arange(len(some)), [len(group) for group in tracks]),
        uids=np.array([track.uid for track in every], np.int64),
        shots=np.array([track.shot for track in every], np.int64),
        spans=np.array(spans, np.int64).reshape(-1, 2),
        times=np.array(times, np.float64).reshape(-1, 2),
        characters=np.array([who.get(track.uid, 0) for track in every], np.int64),
        features=np.array(means, np.float32).reshape(len(every), library.dimension),
        vectors=np.concatenate([none, *(track.embeddings for track in every)]),
        track=np.repeat(np.arange(len(every)), [len(track.embeddings) for track in every]),
        frames=np.concatenate(frames),
        boxes=np.concatenate(boxes),
        clothes=np.array([track.clothes for track in every], np.float32).reshape(-1, COLOURS),
    )


def write_faces(library: Library, folder: Path, most: int, progress: Progress = silent) -> CutOut:
    """Write the faces of a library, a folder per person, all of them or none.

    Args:
        library: its videos must still be where they were.
        folder: where to; must not exist.
        most: faces of a track, at most: the best of its encoded ones.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder exists.
        StoreError: the library is damaged or knows nobody, or the folder cannot be written.
        VideoError: a video is gone, or another than was indexed.
    """
    if folder.exists():
        raise ConfigError(folder, "exists already", "name a folder that does not")
    names = {one.id: _folder_name(one) for one in read.read_characters(library)}
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    people, faces, left_out = set[str](), 0, 0
    episodes = read.episodes(library)
    with disk.explained(folder):
        try:
            for episode in progress(episodes, total=len(episodes), what="episodes"):
                wanted, unknown = _wanted(library, episode, names, most)
                left_out += unknown
                for name, pixels in _cut(library, episode, wanted):
                    (beside / name).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(beside / name, quality=_QUALITY)
                    people.add(name.partition("/")[0])
                    faces += 1
            if not faces:
                raise StoreError(
                    library.root, "has no tracks of any person", "index a video with faces"
                )
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return CutOut(len(people), faces, left_out)


def _folder_name(one: Character) -> str:
    if not one.named:
        return f"unnamed-{one.id:06d}"
    plain = one.label.isprintable() and not one.label.startswith(".") and "/" not in one.label
    return one.label if plain else f"character-{one.id:06d}"


def _wanted(
    library: Library, episode: str, names: Mapping[int, str], most: int
) -> tuple[dict[int, list[_Wanted]], int]:
    """Return the faces to be cut, by frame, and how many tracks are of nobody known."""
    tracks = read.read_tracks(library, episode)
    who = {i.track: i.character for i in read.read_identities(library, episode)}
    boxes = _boxes(library, episode, tracks)
    found: dict[int, list[_Wanted]] = {}
    unknown = 0
    for track in tracks:
        person = names.get(who.get(track.uid, 0))
        if person is None:
            unknown += 1
            continue
        for frame in track.exemplar_frames[:most].tolist():
            name = f"{person}/{episode}-{track.uid}-{frame}.jpg"
            found.setdefault(frame, []).append(_Wanted(name, boxes[track.uid, frame]))
    return found, unknown


def _boxes(
    library: Library, episode: str, tracks: Sequence[Track]
) -> dict[tuple[int, int], Float32]:
    """Return the boxes of the encoded faces, (4,) each, by track and frame."""
    path = library.episode(episode) / schema.FACES
    table = read.read_table(library, path, ["track", "frame", "box"])
    uids, frames = (tables.integers_of(table[name]) for name in ("track", "frame"))
    boxes = tables.vectors_of(table["box"])
    encoded = {(track.uid, int(frame)) for track in tracks for frame in track.exemplar_frames}
    keys = zip(uids.tolist(), frames.tolist(), strict=True)
    return {key: boxes[row] for row, key in enumerate(keys) if key in encoded}


def _cut(
    library: Library, episode: str, wanted: Mapping[int, Sequence[_Wanted]]
) -> Iterator[tuple[str, UInt8]]:
    """Yield the pictures of the faces, each with the name of its file."""
    for frame, image in pictures(library, episode, list(wanted)):
        for face in wanted[frame]:
            yield face.name, _around(image, face.box)


def pictures(library: Library, episode: str, wanted: Sequence[int]) -> Iterator[tuple[int, UInt8]]:
    """Yield frames of an indexed video with their numbers, (H, W, 3) RGB, in the video's order.

    Args:
        library: the indexer's.
        episode: id.
        wanted: numbers of frames.

    Raises:
        StoreError: a table is missing or damaged.
        VideoError: the video is gone, or another than was indexed.
    """
    if not wanted:
        return
    video = read.read_manifest(library, episode)["video"]
    path = Path(video["path"])
    _check_same(path, video["sha256"])
    table = read.read_table(library, library.episode(episode) / schema.FRAMES, ["frame", "pts"])
    frames, times = (tables.integers_of(table[name]).tolist() for name in ("frame", "pts"))
    # By time: with decode.frames=reference a frame's number is not its place in the video.
    some = set(wanted)
    waiting = {pts: frame for frame, pts in zip(frames, times, strict=True) if frame in some}
    with open_video(path, DecodeSettings()) as opened:
        for frame in opened:
            number = waiting.pop(frame.pts, None)
            if number is not None:
                yield number, frame.pixels()
            if not waiting:
                return
    raise VideoError(path, "lacks frames that were indexed", "index it again")


def _check_same(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise VideoError(path, problem, "put it back where it was indexed") from error
    if not same:
        raise VideoError(path, "is not the video that was indexed", "index it again")


def _around(image: UInt8, box: Float32) -> UInt8:
    """Return a face with a margin around it, within the picture, (H, W, 3)."""
    height, width = image.shape[:2]
    grow = (box[2:] - box[:2]) * _AROUND
    low = np.clip(np.floor(box[:2] - grow), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(box[2:] + grow), low + 1, [width, height]).astype(int)
    return image[low[1] : high[1], low[0] : high[0]]
