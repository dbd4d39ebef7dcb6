"""Commands about data: read, dealt into splits, checked, cut out of a library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from indexer.errors import ConfigError
from training import annotate
from training.annotations import SPLITS, AnnotatedStills, write_annotations


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add them to the parser's commands."""
    one = commands.add_parser("annotate", help="bring annotated pictures into one CSV, and split")
    one.add_argument("source", type=Path, metavar="SOURCE", help="YOLO, Pascal VOC, or a CSV")
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--seed", type=int, default=0, metavar="N")
    for name, share in (("validation", 0.15), ("calibration", 0.15), ("test", 0.2)):
        one.add_argument(f"--{name}", type=float, default=share, metavar="SHARE")
    one.add_argument("--resplit", action="store_true", help="whatever splits the source has")
    one.set_defaults(run=_annotate)


def _annotate(options: argparse.Namespace) -> None:
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
    print(tabulate(_counts(dealt), headers=["pictures with", *SPLITS]))
    print(f"written: {table}")


def _counts(found: AnnotatedStills) -> list[tuple[str | int, ...]]:
    """Return how many pictures of each split show each label, and how many there are."""
    labels = annotate.label_table(found)
    inside = [[still.split == split for still in found.stills] for split in SPLITS]
    rows: list[tuple[str | int, ...]] = [
        (name, *(int(labels[some, number].sum()) for some in inside))
        for number, name in enumerate(found.names)
    ]
    empty = np.logical_not(labels.any(axis=1))
    nobody: tuple[str | int, ...] = ("(nobody)", *(int(np.sum(empty & some)) for some in inside))
    return [*rows, nobody, ("(all)", *(sum(some) for some in inside))]
