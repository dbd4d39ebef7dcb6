"""Who is trained on, and which faces come together: splits by person, balanced and paired draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.records import Bool, Int64
from training.faces import FaceSet

_PEOPLE = 2
"""Fewer say nothing of telling people apart."""


@dataclass(frozen=True, slots=True)
class Split:
    """Faces by the part that their person plays; nobody is in two of them."""

    train: FaceSet
    validation: FaceSet
    test: FaceSet


def split(faces: FaceSet, validation: float, test: float, seed: int) -> Split:
    """Return the faces by person, each person in one part alone.

    People with several photos are dealt out, so that the parts have their shares of them; those
    with one photo, who make no genuine pair, too; of six or more, at least two are in each part
    that is asked for. Of faces of nobody known, each is dealt alone.

    Args:
        faces: of whom.
        validation: share of the people.
        test: likewise.
        seed: of the deal.

    Raises:
        ValueError: the shares leave nobody to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError(f"shares: expected less than 1 together, got {validation} and {test}")
    counts = np.bincount(faces.people[faces.people >= 0], minlength=len(faces.names))
    part = np.zeros(len(faces.names) + 1, np.int64)  # the last is nobody's
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
    """Return the faces of people with at least so many photos, at most so many of each."""
    kept = [
        np.flatnonzero(faces.people == person)[:most]
        for person, count in enumerate(np.bincount(faces.people[faces.people >= 0]))
        if count >= least
    ]
    return faces.of(np.concatenate([np.zeros(0, np.int64), *kept]))


def tell_people(faces: FaceSet) -> bool:
    """Return whether faces say how well people are told apart: two people with two photos each."""
    counts = np.bincount(faces.people[faces.people >= 0])
    return bool(np.sum(counts > 1) >= _PEOPLE)


def renumbered(people: Int64) -> tuple[Int64, int]:
    """Return the people as 0 to C - 1, (N,), and C."""
    names, numbers = np.unique(people, return_inverse=True)
    return numbers.astype(np.int64), len(names)


def by_person(people: Int64) -> list[Int64]:
    """Return which faces each person has, in order of their numbers."""
    order = np.argsort(people, kind="stable")
    ends = np.flatnonzero(np.diff(people[order])) + 1
    return [part for part in np.split(order, ends) if len(part)]


def balanced(groups: Sequence[Int64], people: int, each: int, rng: np.random.Generator) -> Int64:
    """Return faces of different people, so many of each, (people * each,), grouped by person.

    Args:
        groups: the faces of each person; who has fewer than `each` has some of them twice.
        people: how many; all, if there are not so many.
        each: faces of one person.
        rng: chooses.
    """
    chosen = rng.permutation(len(groups))[:people]
    return np.concatenate(
        [np.zeros(0, np.int64)]
        + [rng.choice(groups[i], each, replace=len(groups[i]) < each) for i in chosen]
    )


def portion(count: int, size: int, step: int, seed: int, epoch: int) -> Int64:
    """Return a batch of an epoch that takes everything once, in an order of its own, (size,).

    The last batch is filled up from the beginning of the order.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.take(order, np.arange(step * size, (step + 1) * size), mode="wrap")


def pairs(people: Int64, count: int, seed: int) -> tuple[Int64, Int64, Bool]:
    """Return pairs of faces, as many genuine as impostor: first and second (P,), whether same.

    Args:
        people: (N,), who each face is.
        count: at most so many of each kind; genuine pairs are taken without repetition.
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
