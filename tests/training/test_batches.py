from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from indexer.records import Int64
from training import batches
from training.faces import FaceSet


def faces(people: Int64, side: int = 4) -> FaceSet:
    count = len(people)
    return FaceSet(
        chips=np.zeros((count, side, side, 3), np.uint8),
        landmarks=np.zeros((count, 5, 2), np.float32),
        people=people,
        names=[f"P{i}" for i in range(int(people.max(initial=-1)) + 1)],
        photos=[str(i) for i in range(count)],
        left_out=[],
        digest="",
    )


PEOPLE = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(-1, 12))


@given(PEOPLE, st.integers(0, 9))
def test_everybody_is_in_one_part_with_all_faces(people: Int64, seed: int) -> None:
    parts = batches.split(faces(people), 0.2, 0.3, seed)
    three = [parts.train, parts.validation, parts.test]
    assert sorted(p for part in three for p in part.photos) == sorted(map(str, range(len(people))))
    who = [set(part.people[part.people >= 0].tolist()) for part in three]
    assert not (who[0] & who[1])
    assert not (who[0] & who[2])
    assert not (who[1] & who[2])
    nobody = int(np.sum(people < 0))
    dealt = [int(np.sum(part.people < 0)) for part in three[1:]]
    assert dealt == [round(0.2 * nobody), round(0.5 * nobody) - round(0.2 * nobody)]


def test_people_with_several_photos_are_dealt_out_apart() -> None:
    people = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
    parts = batches.split(faces(people), 0.25, 0.25, 0)
    for part, several in ((parts.train, 2), (parts.validation, 1), (parts.test, 1)):
        counts = np.bincount(part.people)
        assert (int(np.sum(counts == 2)), int(np.sum(counts == 1))) == (several, several)


def test_shares_that_leave_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="less than 1 together"):
        batches.split(faces(np.zeros(3, np.int64)), 0.5, 0.5, 0)


def test_those_with_several_photos_and_not_too_many() -> None:
    chosen = batches.several(faces(np.array([0, 1, 1, 2, 2, 2, -1, -1])), least=2, most=2)
    assert chosen.photos == ["1", "2", "3", "4"]
    assert len(batches.several(faces(np.array([0, 1])))) == 0


@given(PEOPLE.filter(lambda people: len(people) > 0), st.integers(1, 5), st.integers(1, 4))
def test_a_balanced_draw_has_as_many_of_each(people: Int64, count: int, each: int) -> None:
    groups = batches.by_person(people)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(people)))
    drawn = batches.balanced(groups, count, each, np.random.default_rng(0)).reshape(-1, each)
    whose = people[drawn]
    assert len(drawn) == min(count, len(groups))
    assert (whose == whose[:, :1]).all()
    assert len(set(whose[:, 0].tolist())) == len(drawn)
    for row in drawn:
        if np.sum(people == people[row[0]]) >= each:
            assert len(set(row.tolist())) == each


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 3))
def test_an_epoch_takes_everything_once(count: int, size: int, epoch: int) -> None:
    steps = -(-count // size)
    taken = np.concatenate([batches.portion(count, size, step, 5, epoch) for step in range(steps)])
    assert sorted(taken[:count].tolist()) == list(range(count))
    assert set(taken[count:].tolist()) <= set(range(count))


@given(PEOPLE, st.integers(1, 30))
def test_pairs_are_what_they_say(people: Int64, count: int) -> None:
    first, second, same = batches.pairs(people, count, 0)
    assert np.array_equal(people[first] == people[second], same)
    assert np.all(first != second)
    genuine = {(int(a), int(b)) for a, b in zip(first[same], second[same], strict=True)}
    counts = np.bincount(people + 1)
    assert len(genuine) == same.sum() == min(count, int(np.sum(counts * (counts - 1) // 2)))
    assert np.sum(~same) <= same.sum()
    again = batches.pairs(people, count, 0)
    assert all(np.array_equal(a, b) for a, b in zip(again, (first, second, same), strict=True))
