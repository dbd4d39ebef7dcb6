"""Commands that ask a library."""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.commands.console import (
    DONE,
    NOTHING,
    REFUSED,
    Parsers,
    clock,
    count,
    models_for,
    moment,
    print_json,
    print_rows,
    seconds,
    settings_of,
)
from indexer.errors import ImageError, StoreError
from indexer.labels import counted
from indexer.records import Float32, Hit

if TYPE_CHECKING:
    from indexer.store.library import Library


def add(parsers: Parsers) -> None:
    """Add these commands to the parser."""
    summary = "find scenes of a character, or tracks that look like a face"
    query = parsers.add("query", _query, summary, settings=True)
    who = query.add_mutually_exclusive_group(required=True)
    who.add_argument("--character", metavar="NAME")
    who.add_argument("--image", type=Path, metavar="FILE")
    query.add_argument("--with", dest="with_", action="append", default=[], metavar="NAME")
    query.add_argument("--without", action="append", default=[], metavar="NAME")
    query.add_argument("--min-seconds", type=seconds, default=0.0, metavar="S")
    query.add_argument("--episode", default="", metavar="EPISODE")
    query.add_argument(
        "--count",
        type=count,
        metavar="N",
        help="only the best N (default: 10 with --image, else all)",
    )
    _add_no_repeats(query)
    export = parsers.add("export", _export, "write who is on screen in every frame")
    export.add_argument("episode", metavar="EPISODE", help="its id, or the video's name")
    export.add_argument("--format", choices=["json", "csv", "webvtt"], default="json")
    export.add_argument("--output", type=Path, metavar="FILE", help="instead of stdout")
    _add_no_repeats(export)
    people = parsers.add("people", _people, "list everybody by screen time")
    people.add_argument("--unnamed", action="store_true", help="only those without a name")
    people.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet")
    people.add_argument("--page", type=Path, metavar="HTML", help="write a page for naming them")
    _add_no_repeats(people)
    parsers.add("info", _info, "say what the library holds", settings=True).add_argument(
        "--character", metavar="NAME", help="test the threshold of one character instead"
    )
    explain = parsers.add(
        "explain", _explain, "explain who is on screen at a given time, and why", settings=True
    )
    explain.add_argument("episode", metavar="EPISODE", help="its id, or the video's name")
    explain.add_argument("time", type=moment, metavar="TIME", help="as in 83.5 or 1:23.5")
    explain.add_argument("--picture", type=Path, metavar="PNG", help="draw the explanation too")
    parsers.add("verify", _verify, "check the library for damage")


def _explain(options: argparse.Namespace) -> int:
    from indexer import explain, explained  # noqa: PLC0415
    from indexer.store import library, read  # noqa: PLC0415

    opened = library.open_library(options.library)
    episode = read.find_episode(opened, options.episode)
    encoder = models_for(settings_of(options), opened).encoder
    found = explain.explain(opened, episode, options.time, encoder.yardstick)
    if options.picture:
        explained.write_picture(options.picture, opened, found)
    if options.json:
        print_json(dataclasses.asdict(found))
    else:
        print(explained.as_text(found))
    return DONE if found.faces else NOTHING


def _add_no_repeats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-repeats",
        dest="repeats",
        action="store_false",
        help="leave out what an earlier episode showed already: recaps, title sequences",
    )


def _query(options: argparse.Namespace) -> int:
    from indexer.store import library, query  # noqa: PLC0415

    opened = library.open_library(options.library)
    if options.image:
        if options.with_ or options.without or options.min_seconds or options.episode:
            problem = "cannot be combined with --with, --without, --min-seconds or --episode"
            raise StoreError("--image", problem, "leave them out, or use --character")
        face = _face_of(options, opened)
        hits = query.similar(opened, face, options.count or 10, repeats=options.repeats)
    else:
        wanted = query.SceneQuery(
            options.character,
            tuple(options.with_),
            tuple(options.without),
            options.min_seconds,
            options.episode,
            options.repeats,
        )
        hits = query.scenes(opened, wanted)[: options.count]
    print_rows([_row(hit, options) for hit in hits], options, "nothing found")
    return DONE if hits else NOTHING


def _face_of(options: argparse.Namespace, opened: Library) -> Float32:
    """Return the embedding of the largest face in an image, (D,)."""
    from indexer import models, stills  # noqa: PLC0415
    from indexer.nets import encoder  # noqa: PLC0415

    settings = settings_of(options)
    ready = models_for(settings, opened)
    faces = models.still_faces(ready, stills.read(options.image), settings)
    if len(faces.detections) == 0:
        raise ImageError(options.image, "shows no face", "choose another image")
    return encoder.encode(ready.encoder, faces.chips[:1])[0]


def _row(hit: Hit, options: argparse.Namespace) -> dict[str, Any]:
    row = dataclasses.asdict(hit)
    if not options.json:
        row.update(start_s=clock(hit.start_s), end_s=clock(hit.end_s))
        return {name.removesuffix("_s"): value for name, value in row.items()}
    return row


def _export(options: argparse.Namespace) -> int:
    from indexer.store import export, library, read  # noqa: PLC0415

    if options.json and options.format != "json":
        problem = f"cannot be combined with --format {options.format}"
        raise StoreError("--json", problem, "leave one of them out")
    opened = library.open_library(options.library)
    episode = read.find_episode(opened, options.episode)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as in a file, whatever the terminal's is
    target = options.output or sys.stdout
    export.export_to(opened, episode, options.format, target, repeats=options.repeats)
    return DONE


def _people(options: argparse.Namespace) -> int:
    from indexer.store import library, query, read  # noqa: PLC0415

    opened = library.open_library(options.library)
    rows = [
        dataclasses.asdict(one)
        for one in query.people(opened, repeats=options.repeats)
        if not (options.unnamed and one.named)
    ]
    if options.sheet or options.page:
        from indexer import crowd, page  # noqa: PLC0415

        people = crowd.everybody(opened, repeats=options.repeats)
        if options.sheet:
            shown = [one for one in people if not (options.unnamed and one.named)]
            page.write_sheet(options.sheet, shown)
        if options.page:
            known = read.read_characters(opened)
            page.write_page(
                options.page, people, known, library=options.library, unnamed=options.unnamed
            )
    print_rows(rows, options, "nobody")
    return DONE if rows else NOTHING


def _info(options: argparse.Namespace) -> int:
    from indexer.store import library, query, read  # noqa: PLC0415

    opened = library.open_library(options.library)
    if options.character:
        from indexer import standing  # noqa: PLC0415

        settings = settings_of(options)
        stick = models_for(settings, opened).encoder.yardstick
        found = standing.standing(opened, options.character, stick, settings.recognize)
        if options.json:
            print_json(dataclasses.asdict(found))
        else:
            print(standing.as_text(found))
        return DONE
    rows = []
    for episode in read.episodes(opened):
        manifest = read.read_manifest(opened, episode)
        video = manifest["video"]
        row = {"episode": episode, "duration_s": video["duration_s"], **manifest["counts"]}
        row["repeated_s"] = query.repeated_s(opened, episode)
        rows.append({**row, "coverage": manifest.get("coverage", 1.0)})
    if not options.json:
        episodes = counted(len(rows), "episode")
        print(f"{opened.root}: encoder {opened.encoder_id[:12]}, {episodes}")
    print_rows(rows, options, "no episodes")
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from indexer.store import library, verify  # noqa: PLC0415

    problems = verify.verify(library.open_library(options.library))
    if options.json:
        print_json(problems)
    else:
        print("\n".join(problems) or f"{options.library}: intact")
    return REFUSED if problems else DONE
