"""Files moved into quarantine, and back by a manifest of where they were and why they went.

``quarantine.json``::

    {"schema": "quarantine/1", "source", "moved": [{"from", "to", "problem"}],
     "rewritten": [{"file", "was"}]}

``from`` and ``file`` are absolute, ``to`` and ``was`` relative to the manifest. A CSV of
annotations, or a text file that lists the pictures of a split, loses the rows of pictures that were
moved; ``was`` is a copy of it before that.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from indexer.errors import ConfigError, ImageError
from indexer.store import disk
from training import pictures
from training.check_data import Finding

MANIFEST = "quarantine.json"
SCHEMA = "quarantine/1"
_IMAGE = ("image", "filename", "path")
"""Names that a CSV may give the column of pictures."""


def put_away(
    findings: Sequence[Finding], source: Path, lists: Sequence[Path], folder: Path
) -> list[Path]:
    """Move the files of findings into a folder and return them; the manifest is written first.

    Args:
        findings: those without files change nothing.
        source: the data; files keep their place below it.
        lists: CSVs of annotations, and text files with a picture a line, that lose the rows of
            pictures.
        folder: new or empty, and not within the data.

    Raises:
        ConfigError: the folder is in use, or within the data.
        StoreError: a file cannot be moved; `bring_back` undoes the others.
    """
    root = source if source.is_dir() else source.parent
    if folder.resolve().is_relative_to(root.resolve()):
        raise ConfigError(folder, "is inside the data", "name another folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(folder, "is not empty", "name a new folder")
    why: dict[Path, str] = {}
    for finding in findings:
        for path in finding.files:
            why.setdefault(path, finding.problem)
    there = {path: problem for path, problem in why.items() if path.is_file()}
    moves = [
        {"from": str(path.absolute()), "to": _place(path, root, number), "problem": problem}
        for number, (path, problem) in enumerate(there.items())
    ]
    content: dict[str, Any] = {"schema": SCHEMA, "source": str(source.absolute()), "moved": moves}
    content["rewritten"] = [
        {"file": str(one.absolute()), "was": f"lists/{number}-{one.name}"}
        for number, one in enumerate(lists)
    ]
    if moves or (lists and why):
        _carry_out(content, folder, lists, why)
    return list(there)


def _place(path: Path, root: Path, number: int) -> str:
    if path.is_relative_to(root) and ".." not in path.relative_to(root).parts:
        return f"files/{path.relative_to(root).as_posix()}"
    return f"outside/{number}-{path.name}"


def _carry_out(
    content: Mapping[str, Any], folder: Path, lists: Sequence[Path], gone: Iterable[Path]
) -> None:
    with disk.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for one in content["rewritten"]:
            (folder / one["was"]).parent.mkdir(exist_ok=True)
            shutil.copyfile(one["file"], folder / one["was"])
        with disk.replacing(folder / MANIFEST) as file:
            file.write((json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode())
        away = {pictures.place(path) for path in gone}
        for one in lists:
            _without(one, away)
        for one in content["moved"]:
            target = folder / one["to"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(one["from"], target)


def _without(path: Path, away: Set[Path]) -> None:
    """Rewrite a CSV, or a text file with a picture a line, without the rows of some pictures."""

    def stays(image: str) -> bool:
        return pictures.place(path.parent / image) not in away

    text = io.StringIO(newline="")
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".csv":
            head, *rows = csv.reader(file)
            column = next(number for number, name in enumerate(head) if name in _IMAGE)
            kept = [row for row in rows if row and stays(row[column])]
            csv.writer(text, lineterminator="\n").writerows([head, *kept])
        else:
            text.writelines(line for line in file if stays(line.strip()))
    with disk.replacing(path) as out:
        out.write(text.getvalue().encode())


def bring_back(folder: Path) -> list[Path]:
    """Move everything back to where it was and return the paths; the folder is removed.

    Raises:
        ConfigError: there is no manifest, or it is damaged.
        ImageError: another file is where one is to be moved back to; nothing is moved.
        StoreError: a file cannot be moved; calling it again continues.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        waiting = [(folder / one["to"], Path(one["from"])) for one in content["moved"]]
        tables = [(folder / one["was"], Path(one["file"])) for one in content["rewritten"]]
    except FileNotFoundError as error:
        raise ConfigError(folder, f"holds no {MANIFEST}", "name a quarantine folder") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(path, f"is not a manifest: {error}", "move the files by hand") from error
    waiting = [(here, there) for here, there in waiting if here.exists()]
    for _, there in waiting:
        if there.exists():
            raise ImageError(there, "exists again", "move it away, or move the old one by hand")
    with disk.explained(folder):
        for here, there in waiting:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(here, there)
        for was, table in tables:
            with disk.replacing(table) as file:
                file.write(was.read_bytes())
        shutil.rmtree(folder)
    return [there for _, there in waiting]
