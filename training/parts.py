"""The people that a run trains on, measures on, and leaves out."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from indexer.errors import ConfigError, ImageError
from training import batches
from training.batches import Split
from training.evaluate.verification import read_pairs
from training.faces import FaceSet
from training.recipe import Data, Recipe


def deal(faces: FaceSet, how: Data, source: Path) -> Split:
    """Return the faces split by person, without those who are not to be trained on.

    Args:
        faces: all of them.
        how: the shares, and the file of names of people not to be trained on.
        source: of the faces; the file may be in the folder or beside the archive.

    Raises:
        ConfigError: the file cannot be read.
    """
    dealt = batches.split(faces, how.validation, how.test, how.seed)
    if not how.without:
        return dealt
    barred, train = barred_people(how.without, source), dealt.train
    kept = [who < 0 or train.names[who] not in barred for who in train.people.tolist()]
    return replace(dealt, train=train.of(np.flatnonzero(kept)))


def barred_people(names: str, source: Path) -> Set[str]:
    """Return the people whom a file names, who are not to be trained on.

    Args:
        names: the file: one name per line, or pairs as LFW's.
        source: of the faces; the file may be in the folder or beside the archive.

    Raises:
        ConfigError: the file cannot be read.
    """
    beside = (source if source.is_dir() else source.parent) / names
    path = beside if beside.is_file() else Path(names)
    try:
        said = set(path.read_text(encoding="utf-8").splitlines())
        if not any("\t" in line for line in said):
            return said
        return {name[:-5] for pair in read_pairs(path) for name in (pair.first, pair.second)}
    except (OSError, UnicodeDecodeError, ImageError) as error:
        remedy = "name a text file, one name per line, or LFW's pairs"
        raise ConfigError("data.without", f"{names} cannot be read: {error}", remedy) from error


def trained_on(dealt: Split, how: Recipe) -> FaceSet:
    """Return those of the training people's faces that a recipe trains on.

    Raises:
        ConfigError: there is none.
    """
    if how.method in ("simclr", "distil", "landmarks"):  # these need no two photos of anybody
        chosen = dealt.train
    else:
        chosen = batches.several(dealt.train, how.data.least, how.data.most)
    if how.data.faces and how.data.faces < len(chosen):
        order = np.random.default_rng(how.data.seed).permutation(len(chosen))
        chosen = chosen.of(np.sort(order[: how.data.faces]))
    if len(chosen) == 0:
        raise ConfigError("data", "leaves nobody to train on", "lower data.least or data.test")
    return chosen
