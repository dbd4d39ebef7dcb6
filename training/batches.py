"""Splits by person, and the faces of a batch: balanced sampling, whole epochs, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.records import Bool, Int64
from training.faces import FaceSet

_PEOPLE = 2
"""With fewer, how well people are told apart cannot be measured."""


@dataclass(frozen=True, slots=True)
class Split:
    """Faces split by person: nobody is in two parts."""

    train: FaceSet
    validation: FaceSet
    test: FaceSet


def split(faces: FaceSet, validation: float, test: float, seed: int) -> Split:
    """Return the faces split by person, each person in one part only.

    People with several photos and people with one, who make no genuine pair, are split separately,
    so that each part gets its share of both. Of six or more such people, validation and test get
    at least two each, unless their share is 0. Faces of nobody known are split one by one.

    Args:
        faces: all of them.
        validation: share of the people.
        test: likewise.
        seed: of the random split.

    Raises:
        ValueError: the shares leave nobody to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"shares: expected less than 1 together, got {validation} and {test}")
    counts = np.bincount(faces.people[faces.people >= 0], minlength=len(faces.names))
    part = np.zeros(len(faces.names) + 1, np.int64)  # the last is that of person -1, nobody known
    rng = np.random.default_rng(seed)
    for group in (np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)):
        order = rng.permutation(group)
        first, second = round(validation * len(order)), round((validation + test) * len(order))
        if len(order) >= 3 * _PEOPLE:
            first = max(first, _PEOPLE * (validation > 0))
            second = max(second, first + _PEOPLE * (test > 0))
        part[order[:first]], part[order[first:second]] = 1, 2
    of_face = part[faces.people]
    nobody = rng.permutation(np.flatnonzero(faces.people < 0))
    first, second = (round(share * len(nobody)) for share in (validation, validation + test))
    of_face[nobody[:first]], of_face[nobody[first:second]] = 1, 2
    return Split(*(faces.of(np.flatnonzero(of_face == number)) for number in range(3)))


def several(faces: FaceSet, least: int = 2, most: int | None = None) -> FaceSet:
    """Return the faces of people with `least` photos or more, at most `most` of each."""
    kept = [
        np.flatnonzero(faces.people == person)[:most]
        for person, count in enumerate(np.bincount(faces.people[faces.people >= 0]))
        if count >= least
    ]
    return faces.of(np.concatenate([np.zeros(0, np.int64), *kept]))


def tell_people(faces: FaceSet) -> bool:
    """Return whether at least two people have two photos each, as measuring an encoder needs."""
    counts = np.bincount(faces.people[faces.people >= 0])
    return bool(np.sum(counts > 1) >= _PEOPLE)


def renumbered(people: Int64) -> tuple[Int64, int]:
    """Return the people as 0 to C - 1, (N,), and C."""
    names, numbers = np.unique(people, return_inverse=True)
    return numbers.astype(np.int64), len(names)


def by_person(people: Int64) -> list[Int64]:
    """Return the faces of each person, an array for each, in order of the people's numbers."""
    order = np.argsort(people, kind="stable")
    ends = np.flatnonzero(np.diff(people[order])) + 1
    return [part for part in np.split(order, ends) if len(part)]


def balanced(groups: Sequence[Int64], people: int, each: int, rng: np.random.Generator) -> Int64:
    """Return `each` faces of each of `people` random people, (people * each,), grouped by person.

    Args:
        groups: the faces of each person; of fewer than `each`, faces are drawn with replacement.
        people: how many; all, if there are fewer.
        each: faces of one person.
        rng: chooses.
    """
    chosen = rng.permutation(len(groups))[:people]
    return np.concatenate(
        [np.zeros(0, np.int64)]
        + [rng.choice(groups[i], each, replace=len(groups[i]) < each) for i in chosen]
    )


def portion(count: int, size: int, step: int, seed: int, epoch: int) -> Int64:
    """Return the indices of a batch, (size,), of an epoch that goes through all in random order.

    Each epoch has its own order. A batch that reaches its end continues from its beginning.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.take(order, np.arange(step * size, (step + 1) * size), mode="wrap")


def pairs(people: Int64, count: int, seed: int) -> tuple[Int64, Int64, Bool]:
    """Return genuine pairs of faces, and at most as many impostor pairs: first, second, same, (P,).

    Args:
        people: (N,), who each face is.
        count: pairs of each kind, at most; genuine pairs are drawn without replacement.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    groups = [group for group in by_person(people) if len(group) > 1]
    genuine = np.concatenate(
        [np.zeros((2, 0), np.int64)]
        + [group[np.stack(np.triu_indices(len(group), k=1))] for group in groups],
        axis=1,
    )
    genuine = genuine[:, rng.permutation(genuine.shape[1])[:count]]
    drawn = rng.integers(len(people), size=(2, 4 * genuine.shape[1])) if len(people) else genuine
    drawn = drawn[:, people[drawn[0]] != people[drawn[1]]][:, : genuine.shape[1]]
    first, second = np.concatenate([genuine, drawn], axis=1)
    same = np.arange(len(first)) < genuine.shape[1]
    return first, second, same
