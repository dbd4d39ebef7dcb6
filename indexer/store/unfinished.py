"""What has been seen so far of a video indexed in instalments, in a SQLite file of its own.

After every transaction a later run can go on from there, so a run may be stopped at any time. The
file is removed when the episode is complete; no other part of the store reads it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from indexer import config
from indexer.errors import StoreError
from indexer.records import DecodeReport, Detections, Faces, Float32, Frame, gone
from indexer.store import disk, schema
from indexer.store.library import Library

_FOLDER = "unfinished"
_TABLES = (
    "facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "frames (frame INTEGER PRIMARY KEY, pts INTEGER, time_s REAL, shot INTEGER, usable INTEGER,"
    " hash INTEGER, width INTEGER, height INTEGER)",
    "faces (frame INTEGER PRIMARY KEY, time_s REAL, shot INTEGER, found BLOB, crops BLOB)",
    "filled (look INTEGER PRIMARY KEY)",
)


def exists(library: Library, sha256: str) -> bool:
    """Return whether a video has been indexed in part."""
    return _path(library, sha256).exists()


def begun(library: Library) -> list[str]:
    """Return the digests of the videos that have been indexed in part, sorted."""
    return sorted(path.stem for path in (library.root / _FOLDER).glob("*.sqlite"))


def forget(library: Library, sha256: str) -> None:
    """Remove what has been seen of a video, if anything.

    Raises:
        StoreError: the disk fails.
    """
    path = _path(library, sha256)
    with disk.explained(path):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there is no such folder, or it holds other videos' files
        path.parent.rmdir()


def _path(library: Library, sha256: str) -> Path:
    return library.root / _FOLDER / f"{sha256}.sqlite"


@contextmanager
def resumed(library: Library, sha256: str) -> Iterator[Unfinished]:
    """Yield what has been seen of a video with the same encoder and settings, maybe nothing.

    Settings that only affect who tracks are may be others: nobody is judged yet.

    Raises:
        StoreError: the disk fails, or another run is indexing the same video.
    """
    path = _path(library, sha256)
    made_with = _made_with(schema.SCHEMA_VERSION, library.encoder_id, library.settings)
    with disk.explained(path), disk.made(path.parent), ExitStack() as stack:
        try:
            database = stack.enter_context(closing(_opened(path, made_with)))
            work = Unfinished(database)
            try:
                yield work
            finally:
                if work.last() is None:  # nothing to go on from
                    database.close()
                    path.unlink()
        except sqlite3.OperationalError as error:
            remedy = "wait for the other run, or free some space, and run again"
            raise StoreError(path, f"cannot be used: {error}", remedy) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(path, f"is damaged: {error}", "delete it and run again") from error


def _locked(path: Path) -> sqlite3.Connection:
    """Return the database, locked against all other processes."""
    # A relative path that begins with "file:" would be taken for a URI.
    database = sqlite3.connect(path.absolute(), timeout=0)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")
        for table in _TABLES:
            database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def _opened(path: Path, made_with: str) -> sqlite3.Connection:
    """Return the database, emptied if it was damaged or of another encoder or other settings."""
    try:
        database = _locked(path)
        found = database.execute("SELECT value FROM facts WHERE name = 'made with'").fetchone()
        whole = database.execute("PRAGMA quick_check").fetchone() == ("ok",)
        if whole and found and _of_looking(found[0]) == made_with:
            return database
        database.close()
    except sqlite3.OperationalError:
        raise  # in use, or the disk fails
    except sqlite3.DatabaseError:
        pass  # damaged
    path.unlink()
    database = _locked(path)
    with database:
        database.execute("INSERT INTO facts VALUES ('made with', ?)", (made_with,))
    return database


def _of_looking(made_with: str) -> str:
    """Return what work was made with, without settings of judging, which older versions kept."""
    version, encoder_id, tables = json.loads(made_with)
    return _made_with(version, encoder_id, tables)


def _made_with(version: int, encoder_id: str, tables: Mapping[str, Any]) -> str:
    return json.dumps([version, encoder_id, config.of_looking(tables)], sort_keys=True)


class Unfinished:
    """Frames and faces of a video, as far as it has been seen.

    Used by one thread. Every method raises a sqlite3.OperationalError when the disk fails.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def clear(self) -> None:
        """Delete everything, to begin anew."""
        with self._database:
            for table in ("frames", "faces", "filled"):
                self._database.execute(f"DELETE FROM {table}")
            self._database.execute("DELETE FROM facts WHERE name <> 'made with'")

    def add(
        self,
        frames: Iterable[Frame],
        faces: Iterable[Faces],
        filled: Iterable[int],
        end: DecodeReport | None = None,
    ) -> None:
        """Store what was read and seen, in one transaction.

        Args:
            frames: the next ones of the video.
            faces: of frames looked or glanced at.
            filled: frames of the looks before which no glance is missing.
            end: the decoder's report, if the video's last frame is among the frames.
        """
        with self._database:
            if end is not None:
                self._set_fact("end", json.dumps(dataclasses.asdict(end)))
            self._database.executemany(
                "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (f.index, f.pts, f.time_s, f.shot, f.usable, f.hash, f.width, f.height)
                    for f in frames
                ],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO faces VALUES (?, ?, ?, ?, ?)",
                [(f.frame, f.time_s, f.shot, *_packed(f)) for f in faces],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO filled VALUES (?)", [(look,) for look in filled]
            )

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that were read, without their pictures."""
        for row in self._database.execute("SELECT * FROM frames ORDER BY frame"):
            yield _frame(row)

    def last(self) -> Frame | None:
        """Return the last frame that was read."""
        query = "SELECT * FROM frames ORDER BY frame DESC LIMIT 1"
        row = self._database.execute(query).fetchone()
        return _frame(row) if row else None

    def first_of_shot(self, shot: int) -> Frame | None:
        """Return the first frame of a shot that was read."""
        query = "SELECT * FROM frames WHERE shot = ? ORDER BY frame LIMIT 1"
        row = self._database.execute(query, (shot,)).fetchone()
        return _frame(row) if row else None

    def faces(self) -> Iterator[Faces]:
        """Yield the faces of every frame that was read and looked or glanced at, in order."""
        query = "SELECT * FROM faces WHERE frame <= (SELECT max(frame) FROM frames) ORDER BY frame"
        for row in self._database.execute(query):
            yield _unpacked(*row)

    def look(self, frame: int) -> Faces | None:
        """Return the faces of a frame, None if it was not looked at."""
        row = self._database.execute("SELECT * FROM faces WHERE frame = ?", (frame,)).fetchone()
        return row and _unpacked(*row)

    def boxes_before(self, frame: Frame) -> Float32:
        """Return the boxes of the last look at the frame's shot up to that frame, (N, 4)."""
        return self._boxes("frame <= ? AND shot = ? ORDER BY frame DESC", frame)

    def boxes_after(self, frame: Frame) -> Float32:
        """Return the boxes of the first look at the frame's shot from that frame on, (N, 4)."""
        return self._boxes("frame >= ? AND shot = ? ORDER BY frame", frame)

    def _boxes(self, where: str, frame: Frame) -> Float32:
        query = f"SELECT found FROM faces WHERE {where} LIMIT 1"
        row = self._database.execute(query, (frame.index, frame.shot)).fetchone()
        return _arrays(row[0])["boxes"] if row else np.zeros((0, 4), np.float32)

    def filled(self) -> set[int]:
        """Return the frames of the looks before which no glance is missing."""
        return {frame for (frame,) in self._database.execute("SELECT look FROM filled")}

    @property
    def report(self) -> DecodeReport:
        """The decoder's report of the frames so far; damage is known only at the end."""
        end, last = self._fact("end", ""), self.last()
        if end:
            return DecodeReport(**json.loads(end))
        return DecodeReport(last.index + 1 if last else 0, 0, 0, 0, truncated=False)

    @property
    def is_read(self) -> bool:
        """Whether the video has been read to its last frame."""
        return bool(self._fact("end", ""))

    @property
    def coverage(self) -> float:
        """Share of the video that was looked at as the settings ask, in [0, 1]."""
        return float(self._fact("coverage", "0"))

    @coverage.setter
    def coverage(self, share: float) -> None:
        with self._database:
            self._set_fact("coverage", repr(share))

    def _fact(self, name: str, otherwise: str) -> str:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else otherwise

    def _set_fact(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def _frame(row: tuple[int, int, float, int, int, int, int, int]) -> Frame:
    index, pts, time_s, shot, usable, look, width, height = row
    return Frame(index, pts, time_s, shot, bool(usable), look, width, height, gone)


def _packed(faces: Faces) -> tuple[bytes, bytes]:
    """Return the detections and the crops as lossless bytes."""
    found, crops = io.BytesIO(), io.BytesIO()
    one = faces.detections
    np.savez(found, boxes=one.boxes, scores=one.scores, landmarks=one.landmarks)
    np.savez_compressed(
        crops,
        chips=faces.chips,
        quality=faces.quality,
        patches=faces.patches,
        clothes=faces.clothes,
    )
    return found.getvalue(), crops.getvalue()


def _unpacked(frame: int, time_s: float, shot: int, found: bytes, crops: bytes) -> Faces:
    detections = Detections(**_arrays(found))
    return Faces(frame, time_s, shot, detections, **_arrays(crops))


def _arrays(content: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)
