"""An episode's files, written to a staging folder as the video is indexed."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from indexer.records import Frame, Repeat, Shot, Trace, Track, UInt8
from indexer.store import disk, schema, tables
from indexer.store.library import Library, staging

TRACKS_PER_GROUP = 1024
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class StagedEpisode:
    """An episode that is complete but not published; removed when its writer's block ends."""

    episode: str
    folder: Path
    repeats: tuple[Repeat, ...] = ()
    """Stretches that earlier episodes showed already."""
    repeated_by: Mapping[str, Sequence[Repeat]] = field(default_factory=dict)
    """Id of an episode that repeats this one → its repeats, matched with the new tracks here."""


class EpisodeWriter:
    """The files of one episode in the making.

    A context manager that owns a staging folder within the library: what has not been published
    when the block ends, for whatever reason, is removed. Shots, frames and tracks are added in the
    video's order; every method raises a StoreError when the disk fails.
    """

    def __init__(self, library: Library, episode: str, sha256: str) -> None:
        self.episode = episode
        self._library = library
        self._sha256 = sha256
        facts = schema.stamp(library.encoder_id, library.settings)
        self._columns = {
            name: schema.table_schema(name, library.dimension).with_metadata(facts)
            for name in (schema.FRAMES, schema.SHOTS, schema.TRACKS, schema.FACES)
        }
        self._stack = ExitStack()
        self._shots: list[Shot] = []
        self._frames = 0
        self._last_s = -math.inf
        self._faces = 0
        self._uids: set[int] = set()

    def __enter__(self) -> Self:
        """Make the staging folder.

        Raises:
            StoreError: the library's folder cannot be written.
        """
        with ExitStack() as stack:
            folder = stack.enter_context(staging(self._library.root)) / self.episode
            with disk.explained(self._library.root):
                (folder / schema.THUMBNAILS).mkdir(parents=True)
                self._folder = folder
                self._frame_table = stack.enter_context(self._table(schema.FRAMES))
                self._face_table = stack.enter_context(self._table(schema.FACES))
                self._track_table = stack.enter_context(self._table(schema.TRACKS))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _table(self, name: str) -> tables.TableWriter:
        rows = TRACKS_PER_GROUP if name == schema.TRACKS else tables.ROWS_PER_GROUP
        return tables.TableWriter(self._folder / name, self._columns[name], rows)

    def add_frames(self, frames: Iterable[Frame]) -> None:
        """Write the next decoded frames; their pixels are not used."""
        rows = list(frames)
        index = np.array([one.index for one in rows], dtype=np.int64)
        times = np.array([one.time_s for one in rows], dtype=np.float64)
        expected = np.arange(self._frames, self._frames + len(rows))
        if not np.array_equal(index, expected):
            raise ValueError(f"frames: expected {expected}, got {index}")
        if not (np.isfinite(times).all() and (np.diff(times, prepend=self._last_s) >= 0).all()):
            raise ValueError(f"times: expected them to go on from {self._last_s}, got {times}")
        values = {
            "frame": index,
            "pts": [one.pts for one in rows],
            "time_s": times,
            "shot": [one.shot for one in rows],
            "hash": np.array([one.hash for one in rows], dtype=np.int64),
        }
        with disk.explained(self._library.root):
            self._frame_table.add(tables.batch_of(self._columns[schema.FRAMES], values))
        self._frames += len(rows)
        self._last_s = float(np.max(times, initial=self._last_s))

    def add_shot(self, shot: Shot) -> None:
        """Add the next shot, to be written by `finish`."""
        expected = self._shots[-1].end_frame + 1 if self._shots else 0
        if (shot.shot, shot.start_frame) != (len(self._shots), expected):
            raise ValueError(f"shot: expected {len(self._shots)} from frame {expected}, got {shot}")
        self._shots.append(shot)

    def add_track(self, track: Track, trace: Trace, thumbnail: UInt8) -> None:
        """Write a track, its faces and its picture, (S, S, 3) RGB."""
        self._check_track(track, trace)
        if thumbnail.ndim != 3 or thumbnail.shape[2] != 3:  # noqa: PLR2004 - RGB
            raise ValueError(f"thumbnail: expected (S, S, 3), got {thumbnail.shape}")
        count = len(trace.frames)
        faces = tables.batch_of(
            self._columns[schema.FACES],
            {
                "track": np.full(count, track.uid),
                "frame": trace.frames,
                "box": trace.boxes,
                "landmarks": trace.landmarks,
                "score": trace.scores,
                "detected": trace.detected,
            },
        )
        picture = io.BytesIO()
        Image.fromarray(thumbnail).save(picture, "JPEG", quality=_JPEG_QUALITY)
        with disk.explained(self._library.root):
            self._track_table.add(tables.batch_of_records(self._columns[schema.TRACKS], [track]))
            self._face_table.add(faces)
            path = self._folder / schema.THUMBNAILS / f"{track.uid}.jpg"
            disk.write_file(path, picture.getvalue())
        self._uids.add(track.uid)
        self._faces += count

    def finish(self, manifest: Mapping[str, Any]) -> StagedEpisode:
        """Complete the files and return the episode, ready to be published within the block.

        Args:
            manifest: facts about the episode, as JSON; its "video" has the keys
                schema.VIDEO_KEYS. Counts, settings and encoder are added to it.
        """
        self._check_whole(manifest)
        content = {
            "schema_version": schema.SCHEMA_VERSION,
            "encoder_id": self._library.encoder_id,
            "episode": self.episode,
            **manifest,
            "counts": {
                "frames": self._frames,
                "shots": len(self._shots),
                "tracks": len(self._uids),
                "faces": self._faces,
            },
            "settings": self._library.settings,
        }
        shots = tables.batch_of_records(self._columns[schema.SHOTS], self._shots)
        with disk.explained(self._library.root):
            for table in (self._frame_table, self._face_table, self._track_table):
                table.close()
            tables.write_table(self._folder / schema.SHOTS, shots)
            text = json.dumps(content, indent=1, allow_nan=False)
            disk.write_file(self._folder / schema.MANIFEST, text.encode())
        return StagedEpisode(self.episode, self._folder)

    def _check_track(self, track: Track, trace: Trace) -> None:
        if schema.uid_digits(track.uid) != schema.id_digits(self.episode):
            raise ValueError(f"uid: expected one of {self.episode}, got {track.uid}")
        if track.uid in self._uids:
            raise ValueError(f"uid: expected a new one, got {track.uid} again")
        seen = (int(trace.frames[0]), int(trace.frames[-1]), trace.shot)
        if seen != (track.start_frame, track.end_frame, track.shot):
            raise ValueError(
                f"trace: expected the frames of {track}, got (first, last, shot) {seen}"
            )
        if len(track.embedding) != self._library.dimension:
            expected = self._library.dimension
            raise ValueError(f"embedding: expected ({expected},), got {track.embedding.shape}")
        numbers = (trace.boxes, trace.landmarks, trace.scores, track.embeddings, track.embedding)
        if not all(np.isfinite(one).all() for one in numbers):
            raise ValueError(f"expected finite numbers in the trace and embeddings of {track.uid}")

    def _check_whole(self, manifest: Mapping[str, Any]) -> None:
        video = manifest["video"]
        if set(video) != set(schema.VIDEO_KEYS):
            raise ValueError(f"video: expected {schema.VIDEO_KEYS}, got {tuple(video)}")
        if (video["sha256"], video["frames"]) != (self._sha256, self._frames):
            raise ValueError(f"video: expected {self._sha256}, {self._frames} frames, got {video}")
        if self._frames != (self._shots[-1].end_frame + 1 if self._shots else 0):
            raise ValueError(f"shots: expected to end with frame {self._frames - 1}")
