from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.parallel import Workers, cores, in_order


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(pauses: list[int], workers: int) -> None:
    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 1000)
        return item[0]

    with Workers(workers) as pool:
        assert list(in_order(pool, work, enumerate(pauses))) == list(range(len(pauses)))


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_is_taken_than_the_workers_can_have_at_hand(workers: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with Workers(workers) as pool:
        for done, _ in enumerate(in_order(pool, abs, items())):
            assert len(taken) - done <= 2 * workers
    assert len(taken) == 100


def test_what_the_work_raises_is_raised_in_its_place_and_the_rest_is_left() -> None:
    seen: list[int] = []

    def work(item: int) -> int:
        seen.append(item)
        if item == 5:
            raise ValueError("five")
        return item

    got: list[int] = []
    with Workers(2) as pool, pytest.raises(ValueError, match="five"):
        got.extend(in_order(pool, work, range(1000)))
    assert got == [0, 1, 2, 3, 4]
    assert len(seen) < 20


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with Workers(3) as pool:
        results = in_order(pool, abs, range(1000))
        assert next(results) == 0
        del results
    assert threading.active_count() == before


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(1, 3))
def test_results_may_be_worked_on_again_by_the_same_threads(count: int, workers: int) -> None:
    with Workers(workers) as pool:
        once = in_order(pool, lambda item: item + 1, range(count))
        assert list(in_order(pool, lambda item: item * 2, once)) == [
            2 * (item + 1) for item in range(count)
        ]
