"""The command line: parse, call, print.

Results go to stdout, for machines with ``--json``; progress and complaints to stderr. Exit 0:
done; 1: nothing found; 2: the user's or the world's fault, in one line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tabulate import tabulate
from tqdm import tqdm

from indexer import __version__
from indexer.errors import ImageError, IndexerError, StoreError
from indexer.records import Float32, Hit

if TYPE_CHECKING:
    from indexer.config import Settings
    from indexer.pipeline import Indexed

T = TypeVar("T")
Command = Callable[[argparse.Namespace], int]
DONE, NOTHING, REFUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except IndexerError as error:
        return complain(error)
    except BrokenPipeError:  # `| head` has seen enough
        _hush()
        return DONE
    except OSError as error:
        if error.filename is not None:  # not of the output
            raise
        _hush()
        problem = f"cannot be written: {error.strerror}"
        return complain(StoreError("output", problem, "free some space, or write elsewhere"))
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m indexer", description="Who is on screen, when?"
    )
    parser.add_argument("--version", action="version", version=__version__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--library", type=Path, default=Path("outputs"), metavar="FOLDER")
    shared.add_argument("--json", action="store_true", help="for machines")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--config", type=Path, metavar="FILE", help="settings, in TOML")
    settings.add_argument(
        "--set", action="append", default=[], metavar="STAGE.KEY=VALUE", help="one setting"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Command, summary: str, *more: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, parents=[shared, *more], help=summary, description=summary)
        one.set_defaults(run=run)
        return one

    index = command("index", _index, "put videos into the library", settings)
    index.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    index.add_argument(
        "--budget",
        type=_duration,
        metavar="TIME",
        help="about how long it may take, as in 90s, 10m or 1h30m; a later run goes on",
    )
    enroll = command("enroll", _enroll, "name people by a folder of stills for each", settings)
    enroll.add_argument("faces", type=Path, metavar="FACES")
    query = command(
        "query", _query, "find scenes of a character, or tracks like an image", settings
    )
    who = query.add_mutually_exclusive_group(required=True)
    who.add_argument("--character", metavar="NAME")
    who.add_argument("--image", type=Path, metavar="FILE")
    query.add_argument("--with", dest="with_", action="append", default=[], metavar="NAME")
    query.add_argument("--without", action="append", default=[], metavar="NAME")
    query.add_argument("--min-seconds", type=_seconds, default=0.0, metavar="S")
    query.add_argument("--episode", default="", metavar="EPISODE")
    query.add_argument(
        "--count",
        type=_count,
        metavar="N",
        help="only the best (default: 10 tracks like an image, all scenes)",
    )
    export = command("export", _export, "write who is on screen in every frame")
    export.add_argument("episode", metavar="EPISODE", help="its id, or the video's name")
    export.add_argument("--format", choices=["json", "csv", "webvtt"], default="json")
    export.add_argument("--output", type=Path, metavar="FILE", help="instead of stdout")
    command("people", _people, "list everybody by screen time")
    command("info", _info, "say what the library holds").add_argument(
        "--character", metavar="NAME", help="and what one character's threshold rests on"
    )
    command("verify", _verify, "check that the library is whole")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length of time in seconds")
    return seconds


def _duration(text: str) -> float:
    import pandas as pd  # noqa: PLC0415 - half a second

    try:
        seconds = pd.Timedelta(text if text[-1:].isalpha() else f"{text}s").total_seconds()
    except ValueError as error:
        problem = f"{text} is no length of time: give 90s, 10m or 1h30m"
        raise argparse.ArgumentTypeError(problem) from error
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is no time at all")
    return float(seconds)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


def _hush() -> None:
    """Let Python flush what nobody takes into nothing when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _settings(options: argparse.Namespace) -> Settings:
    from indexer import config  # noqa: PLC0415  (a query by name has none)

    return config.load(options.config, options.set)


def _index(options: argparse.Namespace) -> int:
    from indexer import models, pipeline  # noqa: PLC0415  (only commands that need torch load it)

    settings = _settings(options)
    ready = models.load_models(settings)
    results, status = [], DONE
    until = time.monotonic() + (options.budget or 0)
    for place, path in enumerate(options.videos):
        share = (until - time.monotonic()) / (len(options.videos) - place)
        budget_s = max(share, 0.0) if options.budget else None
        try:
            library = pipeline.open_or_create(options.library, ready, settings)
            done = pipeline.index(path, library, ready, settings, bar, budget_s)
        except IndexerError as error:
            status = complain(error)
            continue
        results.append({"video": str(path), **dataclasses.asdict(done)})
        if not options.json:
            print(_summary(done))
    if options.json:
        _print_json(results)
    return status


def _summary(done: Indexed) -> str:
    head = f"{done.episode}: {_clock(done.duration_s)}, {done.shots} shots, {done.tracks} tracks, "
    head += f"{done.people} people, {done.named} of them named"
    if done.unchanged:
        return f"{head}\n  unchanged: the library holds it already, nothing was done"
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in done.seconds.items())
    lines = [
        head,
        f"  {done.wall_s:.1f} s, {done.wall_s / max(done.duration_s, 1e-9):.2f} x real time; "
        f"in all threads: {stages}",
    ]
    if not done.published:
        lines.append(
            f"  {done.coverage:.1%} of it looked at as closely as it should be; the older index "
            "stays until the rest is: run it again to go on"
        )
    elif done.coverage < 1:
        lines.append(
            f"  {done.coverage:.1%} of it looked at as closely as it should be: "
            "run it again to go on"
        )
    report = done.report
    if report.corrupt_frames or report.lost_packets:
        lines.append(
            f"  damaged: {report.corrupt_frames} frames decoded with errors, "
            f"{report.lost_packets} packets lost"
        )
    if report.truncated:
        promised = f" of {report.expected_frames} promised" if report.expected_frames else ""
        lines.append(f"  cut off: {report.frames} frames could be read{promised}")
    return "\n".join(lines)


def _enroll(options: argparse.Namespace) -> int:
    from indexer import enroll, models, pipeline  # noqa: PLC0415

    settings = _settings(options)
    ready = models.load_models(settings)
    library = pipeline.open_or_create(options.library, ready, settings)
    done = enroll.enroll(options.faces, library, ready, settings, bar)
    for problem in done.skipped:
        print(f"skipped {problem}", file=sys.stderr)
    rows = [
        {"id": c.id, "name": c.label, "stills": len(c.prototypes), "threshold": c.threshold}
        for c in done.characters
    ]
    _print_rows(rows, options, "nobody")
    if not options.json:
        print(f"{done.episodes} episodes judged anew")
    return DONE


def _query(options: argparse.Namespace) -> int:
    from indexer.store import library, query  # noqa: PLC0415

    opened = library.open_library(options.library)
    if options.image:
        if options.with_ or options.without or options.min_seconds or options.episode:
            problem = "goes without --with, --without, --min-seconds and --episode"
            raise StoreError("--image", problem, "leave them out, or use --character")
        hits = query.similar(opened, _face_of(options, opened.encoder_id), options.count or 10)
    else:
        wanted = query.SceneQuery(
            options.character,
            tuple(options.with_),
            tuple(options.without),
            options.min_seconds,
            options.episode,
        )
        hits = query.scenes(opened, wanted)[: options.count]
    _print_rows([_row(hit, options) for hit in hits], options, "nothing found")
    return DONE if hits else NOTHING


def _face_of(options: argparse.Namespace, encoder_id: str) -> Float32:
    """Return the embedding of the largest face in an image, (D,)."""
    from indexer import models, stills  # noqa: PLC0415
    from indexer.nets import encoder  # noqa: PLC0415

    settings = _settings(options)
    ready = models.load_models(settings)
    if ready.encoder.facts.encoder_id != encoder_id:
        raise StoreError(
            options.library, "was made by another encoder", "set embed.weights to the one it was"
        )
    faces = models.still_faces(ready, stills.read(options.image), settings)
    if len(faces.detections) == 0:
        raise ImageError(options.image, "shows no face", "choose another image")
    return encoder.encode(ready.encoder, faces.chips[:1])[0]


def _row(hit: Hit, options: argparse.Namespace) -> dict[str, Any]:
    row = dataclasses.asdict(hit)
    if not options.json:
        row.update(start_s=_clock(hit.start_s), end_s=_clock(hit.end_s))
        return {name.removesuffix("_s"): value for name, value in row.items()}
    return row


def _export(options: argparse.Namespace) -> int:
    from indexer.store import export, library, read  # noqa: PLC0415

    opened = library.open_library(options.library)
    episode = read.find_episode(opened, options.episode)
    export.export_to(opened, episode, options.format, options.output or sys.stdout)
    return DONE


def _people(options: argparse.Namespace) -> int:
    from indexer.store import library, query  # noqa: PLC0415

    rows = [dataclasses.asdict(one) for one in query.people(library.open_library(options.library))]
    _print_rows(rows, options, "nobody")
    return DONE if rows else NOTHING


def _info(options: argparse.Namespace) -> int:
    from indexer.store import library, read  # noqa: PLC0415

    opened = library.open_library(options.library)
    if options.character:
        facts = dataclasses.asdict(read.find_character(opened, options.character))
        facts["prototypes"] = len(facts["prototypes"])
        _print_rows([facts], options, "")
        return DONE
    rows = []
    for episode in read.episodes(opened):
        manifest = read.read_manifest(opened, episode)
        video = manifest["video"]
        row = {"episode": episode, "duration_s": video["duration_s"], **manifest["counts"]}
        rows.append({**row, "coverage": manifest.get("coverage", 1.0)})
    if not options.json:
        print(f"{opened.root}: encoder {opened.encoder_id[:12]}, {len(rows)} episodes")
    _print_rows(rows, options, "no episode")
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from indexer.store import library, verify  # noqa: PLC0415

    problems = verify.verify(library.open_library(options.library))
    if options.json:
        _print_json(problems)
    else:
        print("\n".join(problems) or f"{options.library}: whole")
    return REFUSED if problems else DONE


def bar(items: Iterable[T], /, *, total: int, what: str) -> Iterable[T]:
    """Return the items behind a bar on stderr, which shows itself to a terminal only."""
    return tqdm(items, desc=what, total=total or None, disable=None, leave=False)


def complain(error: IndexerError) -> int:
    """Say what is wrong, in one line, and return the exit status for it."""
    print(error, file=sys.stderr)
    return REFUSED


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:06.3f}"


def _print_rows(rows: Sequence[dict[str, Any]], options: argparse.Namespace, nothing: str) -> None:
    if options.json:
        _print_json(rows)
    else:
        print(tabulate(rows, headers="keys", floatfmt=".3f", missingval="") if rows else nothing)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1))


if __name__ == "__main__":
    sys.exit(main())
