"""Work on many things at once, and take the results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers(ThreadPoolExecutor):
    """A pool of `count` threads, used as ``with Workers(count) as workers``."""

    def __init__(self, count: int) -> None:
        super().__init__(count, thread_name_prefix="worker")
        self.count = count


def in_order(
    workers: Workers, work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 2
) -> Iterator[Result]:
    """Yield the result of each item, in the order of the items.

    Items are taken in the caller's thread, a few before their results are asked for, so that what
    is held does not grow with their number. What the work raises is raised here, in its place. The
    items may themselves be results of the same workers.

    Args:
        workers: the threads.
        work: called in these threads.
        items: any number of them.
        ahead: how many items are taken for each worker: one in work, the others waiting.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(workers.submit(work, item))
            while len(waiting) >= ahead * workers.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
