"""Files written whole or not at all, and disk errors explained to a person."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from indexer.errors import StoreError

_FREE = "free some space, or choose a folder on another disk, and run again"
_PERMIT = "change its permissions, or choose a folder that is yours"
_EXPLANATIONS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("your disk quota is used up", _FREE),
    errno.EFBIG: (
        "the file would be larger than this system allows",
        "raise the limit (ulimit -f), or choose a folder on another disk",
    ),
    errno.EACCES: ("permission denied", _PERMIT),
    errno.EPERM: ("operation not permitted", _PERMIT),
    errno.EROFS: ("the disk is read-only", "choose a folder on a disk that can be written"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path"),
    errno.EISDIR: ("is a folder, not a file", "check the path"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter path"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n) and run again"),
    errno.EIO: ("the disk cannot be read or written", "check the disk, and restore from a copy"),
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn every OSError in the block into a StoreError about `path` that says what to do."""
    try:
        yield
    except OSError as error:
        raise explanation(path, error) from error


def explanation(path: Path | str, error: OSError) -> StoreError:
    """Return a StoreError that explains a system error about `path` and says what to do."""
    fallback = (error.strerror or str(error), "see what the system says, and run again")
    problem, remedy = _EXPLANATIONS.get(error.errno or 0, fallback)
    return StoreError(path, problem, remedy)


def write_file(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("xb") as file:
        file.write(content)
        sync_file(file)


def sync_file(file: IO[bytes]) -> None:
    """Wait until the disk has all that was written to `file`."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names that were created or changed in `folder`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that replaces `path` by atomic rename at the block's end, or leaves no trace."""
    beside = path.with_name(f".{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            sync_file(file)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def written(target: Path) -> AbstractContextManager[IO[bytes]]:
    """Return a file for what a user asked to be written: whole or not at all, as `replacing`.

    A pipe or a device cannot be replaced and is written as it is; of a link, its target is written.

    Raises:
        OSError: it is a folder, or cannot be opened.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        return target.open("wb")
    return replacing(target.resolve())


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Create `folder` for the block; created folders that are empty afterwards are removed."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for one in missing:
            with suppress(OSError):  # it is not empty: something was put there
                one.rmdir()
