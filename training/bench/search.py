"""How quickly a library answers: the nearest of many tracks, and a query in a new process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from indexer.records import Float32, Int64
from indexer.store import nearest, vectors
from indexer.store.vectors import Cells, Exact
from training.bench.crowd import DIMENSION, Crowd
from training.bench.episodes import NAME, make_library

_PIECE = 250_000
_QUESTIONS = 100
_COUNT = 10
_STARTS = 3

Row = dict[str, float | int | str]


def bench_search(sizes: Sequence[int], say: Callable[[str], None]) -> list[Row]:
    """Return for each number of synthetic tracks what its index costs and how well it answers.

    On one thread, with queries one after another. Ours includes the comparison of whole vectors,
    which are read from a file. The disk needs 512 bytes a track.
    """
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as work, vectors.one_thread():
            rows.append(_bench_size(size, Path(work)))
        say(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
    return rows


def bench_start(episodes: int, work: Path) -> float:
    """Return the seconds that the `query` command takes on a synthetic library; best of three."""
    make_library(work, episodes)
    command = [sys.executable, "-m", "indexer", "query", "--library", str(work)]
    seconds = []
    for _ in range(_STARTS):
        start = time.perf_counter()
        subprocess.run([*command, "--character", NAME], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _bench_size(size: int, work: Path) -> Row:
    crowd = Crowd(size)
    whole = np.memmap(work / "whole", np.float32, "w+", shape=(size, DIMENSION))
    for number, (start, end) in enumerate(_pieces(size)):
        whole[start:end] = crowd.some(number, end - start)
    questions = crowd.some(-(-size // _PIECE), _QUESTIONS)
    start_s = time.perf_counter()
    index = _built(whole)
    build_s = time.perf_counter() - start_s
    nearest.write(work / "index", index)
    exact_ms, truth = _exact(whole, questions)
    start_s = time.perf_counter()
    found = [vectors.search(index, one, _COUNT, lambda uids: whole[uids]) for one in questions]
    ours_ms = (time.perf_counter() - start_s) / _QUESTIONS * 1e3
    right = [
        len({uid for uid, _ in one} & set(true)) for one, true in zip(found, truth, strict=True)
    ]
    return {
        "tracks": size,
        "index": f"{index.nlist} cells" if isinstance(index, Cells) else "exact",
        "build_s": round(build_s, 1),
        "episode_s": round(_episode_s(index, crowd, size), 3),
        "file_mb": round((work / "index").stat().st_size / 1e6, 1),
        "exact_ms": round(exact_ms, 2),
        "ours_ms": round(ours_ms, 2),
        "recall_at_10": round(sum(right) / (_COUNT * _QUESTIONS), 4),
    }


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _PIECE, size)) for start in range(0, size, _PIECE))


def _built(whole: Float32) -> Exact | Cells:
    """Return the index that a library of these embeddings would have; ids are row numbers."""
    uids = np.arange(len(whole))
    index: Exact | Cells = vectors.exact(DIMENSION)
    if cells := vectors.cells_for(len(whole)):
        index = vectors.trained(whole[: vectors.sample_end(uids) + 1], cells)
    for start, end in _pieces(len(whole)):
        vectors.add(index, uids[start:end], whole[start:end])
    return vectors.settled(index) if isinstance(index, Cells) else index


def _exact(whole: Float32, questions: Float32) -> tuple[float, list[Int64]]:
    """Return the milliseconds of an exact answer, and the true nearest ids, (_COUNT,) each."""
    seconds = 0.0
    best: list[list[tuple[float, int]]] = [[] for _ in questions]
    for start, end in _pieces(len(whole)):
        piece = vectors.exact(DIMENSION)
        vectors.add(piece, np.arange(start, end), whole[start:end])
        start_s = time.perf_counter()
        found = [vectors.search(piece, one, _COUNT, lambda uids: whole[uids]) for one in questions]
        seconds += time.perf_counter() - start_s
        for so_far, more in zip(best, found, strict=True):
            so_far.extend((-score, uid) for uid, score in more)
    nearest_ones = [np.array([uid for _, uid in sorted(one)[:_COUNT]]) for one in best]
    return seconds / len(questions) * 1e3, nearest_ones


def _episode_s(index: Exact | Cells, crowd: Crowd, size: int) -> float:
    """Return the seconds that it takes to add the tracks of one more episode to an index."""
    tracks = crowd.some(size, 300)
    start_s = time.perf_counter()
    vectors.add(index, np.arange(size, size + len(tracks)), tracks)
    if isinstance(index, Cells):
        vectors.settled(index)
    return time.perf_counter() - start_s
