"""An annotated source of any known format in, this project's CSV and its label map out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from indexer.errors import ImageError
from indexer.records import Bool
from training import annotations as tables
from training import pictures, split, voc, yolo
from training.annotations import ANNOTATIONS, AnnotatedStills, Complain, Listed, refuse

_FORMATS = f"name a folder in YOLO's or Pascal VOC's format, or a CSV such as {ANNOTATIONS}"

_LABELS = (".txt", ".xml", ".json", ".yaml", ".yml", ".names")


def is_annotated(source: Path) -> bool:
    """Return whether a path is a CSV, or a folder in a known format."""
    if source.is_file():
        return source.suffix.lower() == ".csv"
    return (source / ANNOTATIONS).is_file() or yolo.is_yolo(source) or voc.is_voc(source)


def read_source(source: Path, complain: Complain = refuse) -> AnnotatedStills:
    """Return the annotated pictures of a CSV, or of a folder in YOLO's or Pascal VOC's format.

    Args:
        source: a CSV, or a folder; if the folder holds ``annotations.csv``, that file is read.
        complain: called with each file that cannot be used; its picture is then left out.

    Raises:
        ImageError: the source is of no known format, or holds no pictures or no labels.
    """
    _check(source)
    if table := table_of(source):
        found = tables.read_annotations(table, complain)
    elif yolo.is_yolo(source):
        found = yolo.read_annotated(source, complain)
    else:
        found = voc.read_voc(source, complain)
    if not found.stills and complain is refuse:
        raise ImageError(source, "holds no annotated pictures", _FORMATS)
    if not found.names and complain is refuse:
        raise ImageError(source, "holds no label", "annotate who is in the pictures")
    return found


def listed(source: Path) -> list[Listed]:
    """Return the pictures of an annotated source and where their labels are.

    Raises:
        ImageError: the source is of no known format.
    """
    _check(source)
    if table := table_of(source):
        return tables.listed(table)
    return yolo.listed(source) if yolo.is_yolo(source) else voc.listed(source)


def own_files(source: Path) -> list[Path]:
    """Return where an annotated folder has files of its format beside pictures and their labels.

    Beside ``annotations.csv`` the label files that it was made from may lie too.
    """
    if table := table_of(source):
        others = (one for one in pictures.visible(source) if one.suffix in _LABELS)
        return [table, *others]
    return yolo.own_files(source) if yolo.is_yolo(source) else voc.own_files(source)


def lists_of(source: Path) -> list[Path]:
    """Return the files that list pictures by name: a CSV, or text files of splits."""
    if table := table_of(source):
        return [table]
    return yolo.split_lists(source) if source.is_dir() and yolo.is_yolo(source) else []


def table_of(source: Path) -> Path | None:
    """Return the CSV that a source is or holds, if any."""
    if source.is_file():
        return source
    return source / ANNOTATIONS if (source / ANNOTATIONS).is_file() else None


def _check(source: Path) -> None:
    if not source.exists():
        raise ImageError(source, "no such file or folder", _FORMATS)
    if not is_annotated(source):
        raise ImageError(source, "is not annotated in a known format", _FORMATS)


def deal_splits(
    found: AnnotatedStills, shares: Mapping[str, float], seed: int, *, resplit: bool = False
) -> AnnotatedStills:
    """Return the pictures, each with a split; pictures that have one keep it.

    Args:
        found: the pictures.
        shares: each split's share of the pictures without one; the remainder is for training.
        seed: of the random choices.
        resplit: assign all pictures anew.

    Raises:
        ValueError: as `split.deal`.
    """
    free = [number for number, one in enumerate(found.stills) if resplit or not one.split]
    dealt = split.deal(label_table(found)[free], shares, "train", seed)
    stills = list(found.stills)
    for number, name in zip(free, dealt, strict=True):
        stills[number] = dataclasses.replace(stills[number], split=name)
    return AnnotatedStills(found.names, tuple(stills))


def label_table(found: AnnotatedStills) -> Bool:
    """Return who is annotated in each picture, (M, K)."""
    classes = np.arange(len(found.names))
    rows = [np.isin(classes, still.classes) for still in found.stills]
    return np.array(rows, bool).reshape(len(rows), len(classes))
