"""Several files and folders change at once or not at all: a redo journal.

Everything new lies in the folder ``.publish`` when ``journal.json``, the list of moves, appears.
From then on the change is committed: whoever opens the library next carries out the moves that
are left. Before that nothing has changed, and ``.publish`` is rubbish.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from indexer.errors import StoreError
from indexer.store import disk

JOURNAL = "journal.json"
WORKSHOP = ".publish"
_OLD = f"{WORKSHOP}/old"


@dataclass(frozen=True, slots=True)
class Move:
    """One new file or folder and the place it takes, both relative to the library."""

    source: str
    target: str


def pending(root: Path) -> bool:
    """Return whether a change has been committed but not carried out yet."""
    return (root / JOURNAL).exists()


def commit(root: Path, moves: Sequence[Move]) -> None:
    """Commit the change: after this it can only be carried out, not taken back.

    The files to be moved must be synced already; their folders are synced here.
    """
    workshop = root / WORKSHOP
    content = json.dumps([asdict(move) for move in moves], indent=1)
    disk.write_file(workshop / JOURNAL, content.encode())
    for folder in (*(one for one in workshop.rglob("*") if one.is_dir()), workshop, root):
        disk.sync_folder(folder)
    (workshop / JOURNAL).replace(root / JOURNAL)
    disk.sync_folder(root)


def roll_forward(root: Path) -> None:
    """Carry out what is left of a committed change; needs the library's lock.

    Raises:
        StoreError: the journal or what it moves is damaged.
    """
    moves = _read(root / JOURNAL)
    for number, move in enumerate(moves):
        _carry_out(root, move, number)
    for folder in sorted({(root / move.target).parent for move in moves} | {root}):
        disk.sync_folder(folder)
    (root / JOURNAL).unlink()
    disk.sync_folder(root)


def clean(root: Path) -> None:
    """Remove the leftovers of a change that is complete, or was never committed."""
    if not pending(root) and (root / WORKSHOP).exists():
        shutil.rmtree(root / WORKSHOP)


def _carry_out(root: Path, move: Move, number: int) -> None:
    source, target = root / move.source, root / move.target
    if not source.exists():  # it has moved already
        if not target.exists():
            raise _damaged(root / JOURNAL, f"{move.source} is gone")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():  # a folder cannot be replaced in one step
        (root / _OLD).mkdir(exist_ok=True)
        target.rename(root / _OLD / str(number))
    source.replace(target)


def _read(path: Path) -> list[Move]:
    try:
        return [Move(**move) for move in json.loads(path.read_bytes())]
    except (ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(path, f"is damaged: {why}", "restore the library from a copy")
