"""Commands about data: annotations and splits, checks, and what a library gives to train on."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from indexer.commands.console import DONE, bar
from indexer.errors import ConfigError
from indexer.records import Bool
from indexer.store import disk
from indexer.store.library import open_library
from training import library
from training.annotations import SPLITS, AnnotatedStills, write_annotations

if TYPE_CHECKING:
    from training.check_data import Checked

if TYPE_CHECKING:
    from training.fit_tracks import Learnt

FOUND = 1
"""The exit status of a check that found something."""
_SHOWN = 100
"""Findings in the printed table, at most."""


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add these commands to the parser."""
    one = commands.add_parser("annotate", help="convert annotated pictures to one CSV, with splits")
    one.add_argument("source", type=Path, metavar="SOURCE", help="YOLO, Pascal VOC, or a CSV")
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--seed", type=int, default=0, metavar="N")
    for name, share in (("validation", 0.15), ("calibration", 0.15), ("test", 0.2)):
        one.add_argument(f"--{name}", type=float, default=share, metavar="SHARE")
    one.add_argument("--resplit", action="store_true", help="ignore the splits that the source has")
    one.set_defaults(run=_annotate)
    look = commands.add_parser("check-data", help="list the problems in a folder of data")
    look.add_argument(
        "source", type=Path, metavar="FOLDER", help="of annotated pictures, or of photos"
    )
    look.add_argument(
        "--least", type=int, default=2, metavar="N", help="examples that each class needs"
    )
    look.add_argument("--expect-empty", action="store_true", help="accept pictures without labels")
    look.add_argument(
        "--quarantine", type=Path, metavar="DIR", help="move files with problems there"
    )
    look.add_argument("--restore", type=Path, metavar="DIR", help="move them back, then check")
    look.add_argument("--json", type=Path, metavar="FILE", help="write the findings to a file too")
    look.set_defaults(run=_check)
    cut = commands.add_parser(
        "faces", help="cut the faces out of a library's videos, a folder per person"
    )
    cut.add_argument("library", type=Path, metavar="LIBRARY")
    cut.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    cut.add_argument("--most", type=int, default=3, metavar="N", help="faces per track")
    cut.set_defaults(run=_faces)
    learn = commands.add_parser("fit-tracks", help="learn a head from the tracks of a library")
    learn.add_argument("library", type=Path, metavar="LIBRARY")
    learn.add_argument("--out", type=Path, required=True, metavar="HEAD")
    learn.add_argument("--anyway", action="store_true", help="write it even if it does not help")
    learn.set_defaults(run=_fit_tracks)


def _annotate(options: argparse.Namespace) -> None:
    from training import annotate  # noqa: PLC0415  (needs the training packages)

    shares = {
        "test": options.test,
        "calibration": options.calibration,
        "val": options.validation,
    }
    found = annotate.read_source(options.source)
    try:
        dealt = annotate.deal_splits(found, shares, options.seed, resplit=options.resplit)
    except ValueError as error:
        raise ConfigError("annotate", str(error), "see --help") from error
    table = write_annotations(options.out, dealt)
    rows = _counts(dealt, annotate.label_table(dealt))
    print(tabulate(rows, headers=["pictures with", *SPLITS]))
    print(f"written: {table}")


def _counts(found: AnnotatedStills, labels: Bool) -> list[tuple[str | int, ...]]:
    """Return the rows of a table: pictures with each label, with nobody and in all, by split."""
    inside = [[still.split == split for still in found.stills] for split in SPLITS]
    rows: list[tuple[str | int, ...]] = [
        (name, *(int(labels[some, number].sum()) for some in inside))
        for number, name in enumerate(found.names)
    ]
    empty = np.logical_not(labels.any(axis=1))
    nobody: tuple[str | int, ...] = ("(nobody)", *(int(np.sum(empty & some)) for some in inside))
    return [*rows, nobody, ("(all)", *(sum(some) for some in inside))]


def _check(options: argparse.Namespace) -> int:
    """Return 1 if something is wrong, else 0."""
    from training import annotate, check_data, quarantine  # noqa: PLC0415  (they need the packages)

    if options.restore:
        back = quarantine.bring_back(options.restore)
        print(f"moved back: {len(back)} files from {options.restore}")
    source: Path = options.source
    found = check_data.check(source, options.least, bar, expect_empty=options.expect_empty)
    if options.json:
        _write_findings(options.json, source, found)
    some = sorted(found.findings, key=lambda one: not one.files)[:_SHOWN]  # with files first
    rows = [(one.path, one.problem, one.remedy) for one in some]
    if rows:
        print(tabulate(rows, headers=["file", "problem", "remedy"]))
    if len(found.findings) > _SHOWN:
        print(f"and {len(found.findings) - _SHOWN} more: --json FILE lists all")
    print(f"{found.pictures} pictures, {len(found.findings)} findings")
    if options.quarantine and found.findings:
        lists = annotate.lists_of(source)
        moved = quarantine.put_away(found.findings, source, lists, options.quarantine)
        print(f"moved away: {len(moved)} files, to {options.quarantine}; --restore moves them back")
    return FOUND if found.findings else DONE


def _write_findings(path: Path, source: Path, found: Checked) -> None:
    content = {
        "schema": "check-data/1",
        "source": str(source),
        "pictures": found.pictures,
        "findings": [dataclasses.asdict(one) for one in found.findings],
    }
    with disk.explained(path), disk.replacing(path) as file:
        file.write((json.dumps(content, ensure_ascii=False, indent=1, default=str) + "\n").encode())


def _faces(options: argparse.Namespace) -> None:
    if options.most < 1:
        raise ConfigError("faces", "--most is less than 1", "see --help")
    opened = open_library(options.library)
    cut = library.write_faces(opened, options.out, options.most, bar)
    print(
        f"{cut.people} people, {cut.faces} faces; left out: {cut.left_out} tracks without a person"
    )
    print(f"written: {options.out}")


def _fit_tracks(options: argparse.Namespace) -> None:
    from training.clothes import TieSettings  # noqa: PLC0415  (they import scipy and sklearn)
    from training.fit_tracks import fit_tracks  # noqa: PLC0415

    opened = open_library(options.library)
    learnt = fit_tracks(opened, options.out, TieSettings(), bar, anyway=options.anyway)
    show_learnt(learnt)
    if not (learnt.helps or options.anyway):
        print("the head does not help, so it is not written; --anyway writes it")
        return
    print(f"use it: make index VIDEO=ep.mp4 ARGS='--set embed.head={options.out}'")


def show_learnt(learnt: Learnt) -> None:
    """Print the label-free measurements of a head on the tracks of a library."""
    pairs = learnt.gathered
    print(
        f"{len(pairs.same)} pairs of tracks wear the same clothes, "
        f"{len(pairs.different)} are on screen together"
    )
    print(
        f"area under ROC of held-out pairs: {learnt.before:.4f}, with the head {learnt.after:.4f}"
    )
    for what, before, after in (
        (
            "pairs on screen together that come out as two people",
            learnt.without.apart,
            learnt.with_it.apart,
        ),
        ("halves of tracks that find each other", learnt.without.halves, learnt.with_it.halves),
        (
            "people who stay the same without a fifth of the tracks",
            learnt.without.stable,
            learnt.with_it.stable,
        ),
    ):
        print(f"{what}: {before:.4f}, with the head {after:.4f}")
