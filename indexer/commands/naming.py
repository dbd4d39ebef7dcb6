"""Commands by which people say who is who."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.commands.console import (
    DONE,
    NOTHING,
    Parsers,
    count,
    models_for,
    print_json,
    print_rows,
    settings_of,
    track,
)
from indexer.errors import StoreError
from indexer.labels import counted

if TYPE_CHECKING:
    from indexer.naming import Decided
    from indexer.request import Request


def add(parsers: Parsers) -> None:
    """Add these commands to the parser."""
    name = parsers.add("name", _name, "name a person, or apply a file of decisions")
    name.add_argument("person", nargs="?", metavar="PERSON", help='as in "Person 3"')
    name.add_argument("name", nargs="?", metavar="NAME")
    name.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help="decisions.json, as saved by the people page",
    )
    merge = parsers.add("merge", _merge, "say that two people are the same")
    merge.add_argument("person", metavar="PERSON")
    merge.add_argument("into", metavar="INTO", help="whose name stays, if both have one")
    split = parsers.add("split", _split, "say that some tracks of a person show somebody else")
    split.add_argument("person", metavar="PERSON")
    split.add_argument("tracks", nargs="+", type=track, metavar="TRACK")
    move = parsers.add("move", _move, "say whom a track shows")
    move.add_argument("track", type=track, metavar="TRACK")
    move.add_argument("to", metavar="PERSON", help='or "unknown"')
    other = parsers.add("not-this", _not_this, "say whom a track does not show")
    other.add_argument("track", type=track, metavar="TRACK")
    other.add_argument("person", metavar="PERSON")
    undo = parsers.add("undo", _undo, "undo a decision")
    undo.add_argument(
        "number",
        nargs="?",
        type=count,
        default=0,
        metavar="N",
        help="of the decision (default: the last one)",
    )
    forget = parsers.add("forget", _forget, "remove everything about a person", settings=True)
    forget.add_argument("person", metavar="NAME")
    forget.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parsers.add("decisions", _decisions, "list all decisions")


def _name(options: argparse.Namespace) -> int:
    from indexer import naming, request  # noqa: PLC0415
    from indexer.store import library  # noqa: PLC0415

    if options.file is not None:
        if options.person is not None:
            raise StoreError("--from", "cannot be combined with PERSON and NAME", "leave them out")
        opened = library.open_library(options.library)
        return _say(options, naming.carry_out(opened, options.file))
    if options.name is None:
        raise StoreError("name", "needs PERSON and NAME, or --from", "see name --help")
    return _decide(options, [request.Name(person=options.person, **{"as": options.name})])


def _merge(options: argparse.Namespace) -> int:
    from indexer import request  # noqa: PLC0415

    return _decide(options, [request.Merge(person=options.person, into=options.into)])


def _split(options: argparse.Namespace) -> int:
    from indexer import request  # noqa: PLC0415

    return _decide(options, [request.Split(person=options.person, tracks=tuple(options.tracks))])


def _move(options: argparse.Namespace) -> int:
    from indexer import request  # noqa: PLC0415

    return _decide(options, [request.Move(track=options.track, to=options.to)])


def _not_this(options: argparse.Namespace) -> int:
    from indexer import request  # noqa: PLC0415

    return _decide(options, [request.NotThis(track=options.track, person=options.person)])


def _decide(options: argparse.Namespace, requests: Sequence[Request]) -> int:
    from indexer import naming  # noqa: PLC0415
    from indexer.store import library  # noqa: PLC0415

    return _say(options, naming.decide(library.open_library(options.library), requests))


def _undo(options: argparse.Namespace) -> int:
    from indexer import naming  # noqa: PLC0415
    from indexer.store import library  # noqa: PLC0415

    return _say(options, naming.undo(library.open_library(options.library), options.number))


def _say(options: argparse.Namespace, done: Decided) -> int:
    if options.json:
        print_json([dataclasses.asdict(one) for one in done.decisions])
        return DONE
    if not done.decisions:
        print("no decisions in the file")
    for one in done.decisions:
        tracks = counted(len(one.tracks), "track")
        about = f" ({tracks}, {done.seconds[one.number]:.1f} s)" if one.tracks else ""
        print(f"{one.number}: {one.says}{about}")
    return DONE


def _forget(options: argparse.Namespace) -> int:
    from indexer import forget as forgetting  # noqa: PLC0415
    from indexer.store import library  # noqa: PLC0415

    settings = settings_of(options)
    opened = library.open_library(options.library)
    stick = models_for(settings, opened).encoder.yardstick
    done = forgetting.forget(opened, options.person, stick, settings, dry=options.dry_run)
    if options.json:
        print_json(dataclasses.asdict(done))
        return NOTHING if done.left else DONE
    would = "would be" if options.dry_run else "is"
    print(
        f"{done.name} {would} forgotten: {counted(done.tracks, 'track')} ({done.seconds:.1f} s) in "
        f"{counted(done.episodes, 'episode')}, {counted(done.stills, 'still')}, "
        f"{counted(done.decisions, 'decision')}"
    )
    if done.alike:
        print(f"  {done.alike} of the tracks had no name but were more likely {done.name} than not")
    scan = f"  {done.scanned} remaining tracks and stills were checked: "
    if done.left:
        print(f"{scan}these stay, but are more likely {done.name} than not:")
    else:
        print(f"{scan}none has more than {done.nearest:.1%} probability of being {done.name}")
    for one in done.left:
        print(f"    {one.what}: {one.probability:.1%}")
    return NOTHING if done.left else DONE


def _decisions(options: argparse.Namespace) -> int:
    from indexer.store import decisions, library  # noqa: PLC0415

    log = decisions.read_decisions(library.open_library(options.library))
    binding = {one.number for one in decisions.in_force(log)}
    rows = [
        {
            "number": one.number,
            "time": one.time,
            "do": one.do,
            "says": one.says,
            "tracks": len(one.tracks),
            "in force": one.number in binding,
        }
        for one in log
    ]
    print_rows(rows, options, "no decisions yet")
    return DONE if rows else NOTHING
