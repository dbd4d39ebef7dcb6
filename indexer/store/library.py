"""The library as a whole: opening, creating, and one run at a time."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from indexer.errors import StoreError
from indexer.progress import Say
from indexer.store import disk, journal, schema

_LOCK = ".lock"
_STAGING = ".staging-"
_WAIT_S = 60.0
_TABLES = (
    schema.EPISODES,
    schema.CHARACTERS,
    schema.DECISIONS,
    schema.APPEARANCES,
    schema.INDEX,
)
"""Names that a folder must not contain if it is to become a library."""


@dataclass(frozen=True, slots=True)
class Log:
    """The expected state of the log of decisions, so that none is lost unnoticed."""

    count: int
    sha256: str
    """Of the whole file; empty in a library that is older than this check."""

    @staticmethod
    def of(content: bytes) -> Log:
        """Return the state of a log from its bytes, one line for each decision."""
        return Log(content.count(b"\n"), hashlib.sha256(content).hexdigest())


NO_DECISIONS = Log.of(b"")
UNTOLD = Log(0, "")


@dataclass(frozen=True, slots=True)
class Library:
    """A library folder, as it was when it was opened."""

    root: Path
    encoder_id: str
    dimension: int
    """Of the encoder's embeddings."""
    next_character_id: int
    """The id that the next new character gets."""
    revision: int
    """Number of publications so far; 0 for a library that is not on disk yet."""
    settings: Mapping[str, Any]
    """A table for each stage: those of the run that is writing, else of the last that wrote."""
    next_person: int = 1
    """The number of the next unnamed person, never used before: "Person 3" is one person."""
    decisions: Log = NO_DECISIONS

    def episode(self, episode: str) -> Path:
        """Return the folder of an episode."""
        return self.root / schema.EPISODES / episode

    def thumbnail(self, episode: str, uid: int) -> Path:
        """Return the JPEG picture of a track."""
        return self.episode(episode) / schema.THUMBNAILS / f"{uid}.jpg"


def open_library(root: Path, wait_s: float = _WAIT_S) -> Library:
    """Return the library in the folder `root`, after completing what a dead run had committed.

    Raises:
        StoreError: there is none, or it is damaged, newer than this project, or in use.
    """
    with disk.explained(root):
        if root.exists() and not root.is_dir():
            raise StoreError(root, "is not a folder", "choose the folder of a library")
        if journal.pending(root):
            with _lock(root, wait_s):
                _recover(root)
        return _read(root)


def open_or_create(
    root: Path, encoder_id: str, dimension: int, settings: Mapping[str, Any]
) -> Library:
    """Return the library in `root`, or a new one, which the first publication writes to disk.

    Raises:
        StoreError: as `open_library`; or the library belongs to another encoder; or the folder
            holds files under the names that a library uses.
    """
    new = Library(root, encoder_id, dimension, 1, 0, settings)
    with disk.explained(root):
        if (root / schema.LIBRARY).exists() or journal.pending(root) or root.is_file():
            return _same_encoder(new, open_library(root))
        for name in _TABLES:
            if (root / name).exists():
                raise StoreError(
                    root / name,
                    f"is here, but {schema.LIBRARY} is not",
                    "restore it from a copy, or choose an empty folder",
                )
    return new


@contextmanager
def locked(library: Library, wait_s: float = _WAIT_S) -> Iterator[Library]:
    """Yield the library as it is now, while no other run can publish into it.

    Whatever is published must derive from what was read under the same lock. May be nested.

    Raises:
        StoreError: another run kept the lock for longer than `wait_s` seconds, or published a
            library of another encoder.
    """
    with _as_it_is(library, _lock(library.root, wait_s)) as current:
        yield current


@contextmanager
def awaited(library: Library, wait_s: float, say: Say) -> Iterator[Library]:
    """Yield the library as `locked` does, however long another run keeps the lock.

    For work that took long and would be lost.

    Args:
        library: which to lock.
        wait_s: seconds after which `say` is told, once, what is being waited for.
        say: takes a line.

    Raises:
        StoreError: another run published a library of another encoder.
    """
    with _as_it_is(library, _lock(library.root, wait_s, say)) as current:
        yield current


@contextmanager
def _as_it_is(library: Library, lock: AbstractContextManager[None]) -> Iterator[Library]:
    """Yield the library as it is now, under a lock."""
    current = library
    with ExitStack() as stack:
        with disk.explained(library.root):
            stack.enter_context(disk.made(library.root))
            stack.enter_context(lock)
            _recover(library.root)
            if (library.root / schema.LIBRARY).exists():
                current = _same_encoder(library, _read(library.root))
        yield current


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Yield a new folder in the library, so on its disk, which is removed when the block ends.

    Raises:
        StoreError: the library's folder cannot be written.
    """
    with ExitStack() as stack:
        with disk.explained(root):
            stack.enter_context(disk.made(root))
            _sweep(root)
            folder = _own_folder(root, stack)
        yield folder


def _own_folder(root: Path, stack: ExitStack) -> Path:
    """Return a new folder, locked until `stack` closes, which removes it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=root))
        lock = FileLock(folder / _LOCK)
        try:
            stack.enter_context(lock)
        except FileNotFoundError:
            continue  # another run's sweep took the folder for dead before it had its lock
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # A folder that cannot be removed loses its lock all the same: the next sweep removes it.
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder


def _sweep(root: Path) -> None:
    """Remove the staging folders of dead runs: those that nobody holds locked."""
    for folder in root.glob(f"{_STAGING}*"):
        # It is in use, or gone by now, or another user's: not ours to remove.
        with suppress(OSError), FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder)


@contextmanager
def _lock(root: Path, wait_s: float, say: Say | None = None) -> Iterator[None]:
    """Hold the lock; after `wait_s` seconds go on waiting if `say` can be told so, else refuse."""
    lock = FileLock(root / _LOCK, is_singleton=True)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        if say is None:
            raise StoreError(
                root,
                f"another run is still using the library after {wait_s:g} s",
                "wait for it, or raise store.lock_wait_s",
            ) from error
        say(f"{root}: another run is using the library; waiting until it is done")
        lock.acquire()
    try:
        yield
    finally:
        if lock.lock_counter == 1 and not (root / schema.LIBRARY).exists():
            Path(lock.lock_file).unlink(missing_ok=True)  # a refused run leaves nothing behind
        lock.release()


def _recover(root: Path) -> None:
    if journal.pending(root):
        journal.roll_forward(root)
    journal.clean(root)


def _same_encoder(wanted: Library, found: Library) -> Library:
    if (wanted.encoder_id, wanted.dimension) != (found.encoder_id, found.dimension):
        raise StoreError(
            found.root,
            f"was made with encoder {found.encoder_id[:8]} ({found.dimension} dimensions), not "
            f"{wanted.encoder_id[:8]} ({wanted.dimension})",
            "use the weights it was made with, or choose another --library and index again",
        )
    return replace(found, settings=wanted.settings)


def encoded(library: Library) -> bytes:
    """Return the content of library.json."""
    content = {
        "schema_version": schema.SCHEMA_VERSION,
        "encoder_id": library.encoder_id,
        "dimension": library.dimension,
        "next_character_id": library.next_character_id,
        "next_person": library.next_person,
        "decisions": asdict(library.decisions),
        "revision": library.revision,
        "settings": library.settings,
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _read(root: Path) -> Library:
    path = root / schema.LIBRARY
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(root, "no library here", "index a video first") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise _damaged(path, "it has no schema_version")
    check_version(path, content["schema_version"])
    kinds = {
        "encoder_id": str,
        "dimension": int,
        "next_character_id": int,
        "revision": int,
        "settings": dict,
    }
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise _damaged(path, f"{name} is missing or of the wrong type")
    return Library(root, **{name: content[name] for name in kinds}, **_since(path, content))


def _since(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return next_person and decisions, or what stands for them in an older library."""
    # Every unnamed person got an id, so no number is above the ids given so far.
    next_person = content.get("next_person", content["next_character_id"])
    told = content.get("decisions", asdict(UNTOLD))
    try:
        decisions = Log(**told)
    except TypeError as error:
        raise _damaged(path, "decisions is of the wrong type") from error
    if not (isinstance(next_person, int) and isinstance(decisions.count, int)):
        raise _damaged(path, "next_person or decisions is of the wrong type")
    return {"next_person": next_person, "decisions": decisions}


def check_version(path: Path, version: int) -> None:
    """Check that a file's schema version is this project's.

    Raises:
        StoreError: it is not.
    """
    if version != schema.SCHEMA_VERSION:
        newer = version > schema.SCHEMA_VERSION
        raise StoreError(
            path,
            f"was made by {'a newer' if newer else 'an older'} version of this project (schema "
            f"{version}; this one reads {schema.SCHEMA_VERSION})",
            "update this project" if newer else "index the videos again into another folder",
        )


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        path, f"is damaged: {why}", "restore it from a copy, or index into another --library"
    )
