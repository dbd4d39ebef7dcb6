"""How far a run is and where its time goes: hooks for a display, and a stopwatch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TypeVar

T = TypeVar("T")
Say = Callable[[str], None]
"""Takes a line for whoever waits for the run."""


class Progress(Protocol):
    """Shows how far an iteration is; `tqdm` is one when its arguments are fixed."""

    def __call__(self, items: Iterable[T], /, *, total: int, what: str) -> Iterable[T]:
        """Return the items, showing progress as they are taken."""
        ...


def silent(items: Iterable[T], /, *, total: int, what: str) -> Iterable[T]:
    """Return the items and show nothing."""
    return items


def mute(_: str) -> None:
    """Say nothing."""


class Stopwatch:
    """Seconds spent on each stage of a chain of generators, each counted once.

    While an inner stage runs, the outer one that asked it for the next item stands still. Work in
    other threads is counted in addition (`beside`).
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._running: list[str] = []
        self._since = 0.0
        self._lock = Lock()

    @property
    def wall_s(self) -> float:
        """Return the seconds since it was made."""
        return time.perf_counter() - self._started

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._running:
            self._add(self._running[-1], now - self._since)
        self._since = now

    def _add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def beside(self, stage: str) -> Iterator[None]:
        """Count the time of the block, which runs in a thread of its own, for `stage`."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, time.perf_counter() - since)

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Count the time of the block for `stage`."""
        self._switch()
        self._running.append(stage)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def over(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, counting the time it takes to make each for `stage`."""
        iterator = iter(items)
        while True:
            with self.on(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
