"""Commands that put videos and names into a library."""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.commands.console import (
    DONE,
    Parsers,
    bar,
    clock,
    complain,
    duration,
    print_json,
    print_rows,
    settings_of,
    video,
)
from indexer.errors import IndexerError
from indexer.labels import counted

if TYPE_CHECKING:
    from indexer.diff import Change, Diff
    from indexer.judging import Accept
    from indexer.pipeline import Indexed

_M_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of glibc's malloc.h: blocks from this size on are returned when freed."""
_FRAME_BYTES = 1 << 20
"""That size in bytes: less than any frame worth a system call."""


def add(parsers: Parsers) -> None:
    """Add these commands to the parser."""
    index = parsers.add("index", _index, "put videos into the library", settings=True)
    index.add_argument("videos", nargs="+", type=video, metavar="VIDEO")
    index.add_argument(
        "--budget",
        type=duration,
        metavar="TIME",
        help="roughly how long it may take, as in 90s, 10m or 1h30m; a later run continues",
    )
    _add_accept(index)
    enroll = parsers.add(
        "enroll", _enroll, "name people from stills, one folder per person", settings=True
    )
    enroll.add_argument("faces", type=Path, metavar="FACES")
    enroll.add_argument(
        "--strangers", type=Path, metavar="FOLDER", help="stills of people who are not in FACES"
    )
    _add_accept(enroll)


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept", action="store_true", help="change the names of tracks without asking"
    )


def _accepts(options: argparse.Namespace) -> Accept:
    """Return what decides whether names may change: --accept, or a question at a terminal."""
    from indexer.judging import always, never  # noqa: PLC0415

    if options.accept or not sys.stdin.isatty():
        return always if options.accept else never
    answers: dict[tuple[Change, ...], bool] = {}

    def accepted(changed: Diff) -> bool:
        changes = tuple(changed.changes)
        if changes not in answers:  # asked before a video is looked at, and met again afterwards
            answers[changes] = _asked(changed)
        return answers[changes]

    return accepted


def _asked(changed: Diff) -> bool:
    lines = ["These tracks would change their names:", *_change_lines(changed.changes)]
    print("\n".join(lines), file=sys.stderr)
    print("Accept the new names? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def let_go_of_frames() -> None:
    """Make glibc return a frame's memory to the system as soon as it is freed.

    Otherwise glibc learns to keep it, among blocks that live longer: memory grows with the video,
    by half a gigabyte in three minutes of 1080p. Without glibc nothing happens.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _FRAME_BYTES)


def _index(options: argparse.Namespace) -> int:
    from indexer import models, pipeline  # noqa: PLC0415  (only commands that need torch load it)

    let_go_of_frames()
    settings = settings_of(options)
    ready = models.load_models(settings)
    results, status, accept = [], DONE, _accepts(options)
    until = time.monotonic() + (options.budget or 0)
    for place, path in enumerate(options.videos):
        share = (until - time.monotonic()) / (len(options.videos) - place)
        budget_s = max(share, 0.0) if options.budget else None
        try:
            library = pipeline.open_or_create(options.library, ready, settings)
            done = pipeline.index(
                path, library, ready, settings, bar, budget_s, accept=accept, say=_say
            )
        except IndexerError as error:
            status = complain(error)
            continue
        results.append({"video": str(path), **dataclasses.asdict(done)})
        if not options.json:
            print(_summary(done))
    if options.json:
        print_json(results)
    return status


def _summary(done: Indexed) -> str:
    head = f"{done.episode}: {clock(done.duration_s)}, {counted(done.shots, 'shot')}, "
    head += f"{counted(done.tracks, 'track')}, {counted(done.people, 'person', 'people')}, "
    head += f"{done.named} of them named"
    if done.unchanged:
        same = "  unchanged: it is in the library already"
        return "\n".join([head, same, *_people_lines(done)])
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in done.seconds.items())
    lines = [
        head,
        f"  {done.wall_s:.1f} s, {done.wall_s / max(done.duration_s, 1e-9):.2f} x real time; "
        f"seconds over all threads: {stages}",
    ]
    lines += _people_lines(done)
    if not done.published:
        lines.append(
            f"  {done.coverage:.1%} of the video was looked at closely enough; the older index "
            "stays until the rest is done: run again to continue"
        )
    elif done.coverage < 1:
        lines.append(
            f"  {done.coverage:.1%} of the video was looked at closely enough: "
            "run again to continue"
        )
    report = done.report
    if report.corrupt_frames or report.lost_packets:
        lines.append(
            f"  damaged: {report.corrupt_frames} frames decoded with errors, "
            f"{report.lost_packets} packets lost"
        )
    if report.truncated:
        promised = f" of {report.expected_frames} expected" if report.expected_frames else ""
        lines.append(f"  cut off: {counted(report.frames, 'frame')} could be read{promised}")
    return "\n".join(lines)


def _people_lines(done: Indexed) -> list[str]:
    """Return lines on the estimated quality of people and names, and on what changed."""
    audit, changed = done.audit, done.diff
    estimated = f"{audit.purity:.1%} pure, {audit.completeness:.1%} complete"
    halves = f"both halves agree in {audit.split_half:.1%} of tracks"
    signs = f"{audit.violations} impossible pairs, {halves}"
    people = f"  people, estimated without labels: {estimated}; {signs}"
    named = "none of the faces' time"
    if audit.named:
        named = (
            f"{audit.named:.1%} of the faces' time; {audit.wrong:.2%} of that is expected to be "
            f"wrong, at most {audit.wrong_at_most:.2%} with 95% confidence; "
            f"the promise is kept with {audit.kept:.0%} confidence"
        )
    return [people, f"  names: {named}", *_diff_lines(changed)]


def _diff_lines(changed: Diff) -> list[str]:
    """Return lines on what changed among the people."""
    lines = []
    for what, some in (("new", changed.new), ("seen more", changed.grown)):
        if some:
            best = sorted(some.items(), key=lambda one: -one[1])
            names = ", ".join(f"{label} {seconds:.1f} s" for label, seconds in best[:_LISTED])
            more = f" and {len(best) - _LISTED} more" if len(best) > _LISTED else ""
            lines.append(f"  {what}: {names}{more}")
    for label, others in changed.proposed[:_LISTED]:
        lines.append(
            f'  {label} may be {" or ".join(others)}; if so: merge "{label}" "{others[0]}"'
        )
    lines.append(f"  names kept: {changed.retention:.1%} of the screen time named before")
    lines += _change_lines(changed.changes)
    if changed.kept:
        lines.append("  these tracks keep their names; --accept would change them:")
        lines += _change_lines(changed.kept)
    if changed.lost:
        lines.append(
            f"  decisions lost: {changed.lost} of the {changed.decided} tracks that they were "
            "about are gone"
        )
    return lines


def _change_lines(changes: Sequence[Change]) -> list[str]:
    return [
        f"    track {one.track} of {one.episode}, {one.seconds:.1f} s: {one.was} -> {one.now}"
        + f" ({one.why})" * bool(one.why)
        for one in changes
    ]


_LISTED = 6


def _enroll(options: argparse.Namespace) -> int:
    from indexer import enroll, models, pipeline  # noqa: PLC0415

    settings = settings_of(options)
    ready = models.load_models(settings)
    library = pipeline.open_or_create(options.library, ready, settings)
    done = enroll.enroll(
        options.faces,
        library,
        ready,
        settings,
        bar,
        accept=_accepts(options),
        strangers=options.strangers,
    )
    for problem in done.skipped:
        print(f"skipped {problem}", file=sys.stderr)
    rows = [
        {"id": c.id, "name": c.label, "stills": len(c.prototypes), "threshold": c.threshold}
        for c in done.characters
    ]
    print_rows(rows, options, "nobody")
    if not options.json:
        print(f"{counted(done.episodes, 'episode')} re-judged")
        if done.episodes:
            print("\n".join(_diff_lines(done.diff)))
    return DONE
