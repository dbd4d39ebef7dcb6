"""The whole of `bench` in one run: a Markdown table against targets, a chart of where time goes."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import matplotlib.pyplot as plt
from tabulate import tabulate

from indexer import config, parallel
from indexer.config import Method
from indexer.nets.runtime import Precision
from training.bench import detecting, filling, indexing, search

CROWD = "crowd_1080p.mp4"
FILLED = (CROWD, "intel_faces_6shots.mp4")
SITCOM = "tv_dev.mp4"
_SHARES = (0.5, 0.8)
SIZES = (10**4, 10**5, 10**6, 10**7)
_EPISODES = 1000
_GIGABYTE = 1000.0  # of what is counted in MB


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report."""

    what: str
    against: str
    measured: str
    target: str


def bench(data: Path, out: Path, say: Callable[[str], None]) -> None:
    """Run all benches, report each line as it comes, and write ``bench.md`` and ``bench.png``.

    It takes a quarter of an hour, and temporarily 5 GB of disk.

    Args:
        data: the folder of clips.
        out: gets the two files.
        say: takes each line.
    """
    rows: list[Row] = []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # First, while this process is small: its peak memory would count as its children's.
        whole = indexing.measure(data / CROWD, work)
        draw(whole.seconds, out / "bench.png")
        for row in chain(
            _indexing(whole), _detecting(data), _filling(data, work), _searching(work)
        ):
            say(f"{row.what}: {row.measured} (against {row.against}; target {row.target})")
            rows.append(row)
    (out / "bench.md").write_text(markdown(rows), encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """Return the table, and on what machine it was measured."""
    table = tabulate(
        [[row.what, row.against, row.measured, row.target] for row in rows],
        headers=["what", "against", "measured", "target"],
        tablefmt="github",
    )
    return f"{table}\n\n{parallel.cores()} cores, {platform.machine()}, {platform.system()}.\n"


def draw(seconds: Mapping[str, float], path: Path) -> None:
    """Draw the seconds of each stage, over all threads, as bars."""
    stages = [name for name in seconds if name != "wait"]
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    bars = axes.barh(stages[::-1], [seconds[name] for name in stages[::-1]])
    axes.bar_label(bars, fmt="%.1f", padding=2)
    axes.set_xlabel("seconds, over all threads")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _indexing(whole: indexing.Whole) -> Iterator[Row]:
    frames = f"{whole.frames} frames of 1080p"
    decoding = f"decoding them, {whole.frames / whole.decoding.wall_s:.0f} frames/s"
    usual = whole.usual_frames_per_core_s
    script = f"MTCNN and encoder on every frame, {usual:.2f}"
    for cost, how in ((whole.indexing, ""), (whole.sparing, f", {indexing.SPARING}")):
        times = f"{cost.wall_s / whole.decoding.wall_s:.2f}x, {cost.wall_s:.1f} s"
        yield Row(f"index {frames}{how}, wall", decoding, times, "2.5x or less")
        ours = whole.frames / cost.cpu_s
        rate = f"{ours:.1f}, {ours / usual:.0f}x"
        yield Row(f"index{how}, frames per core-second", script, rate, "40x or more")
    peak = f"{whole.indexing.peak_mb / _GIGABYTE:.2f} GB, {whole.memory_growth:.2f}x"
    yield Row("peak memory", "a tenth of the video", peak, "1.5 GB or less, 1.1x or less")


def _detecting(data: Path) -> Iterator[Row]:
    ways: Sequence[tuple[Method, Precision]]
    ways = (("yunet", "f32"), ("mtcnn", "f32"), ("mtcnn", "bf16"))
    for height, target in ((1080, 6), (540, 4)):
        for method, precision in ways:
            one = detecting.compare(data / CROWD, height, method, precision)
            found = f"{one.found:.1%} of the peer's faces, {one.exactly:.1%} at IoU 0.9"
            yield Row(
                f"detect by {method} in {precision} at {height} lines, {found}",
                f"facenet-pytorch, {one.peer_threads} threads, {one.peer_ms:.0f} ms a frame",
                f"{one.ratio:.1f}x, {one.ours_ms:.0f} ms ({one.alone_ms:.0f} ms with one worker)",
                f"{target}x or more",
            )


def _filling(data: Path, work: Path) -> Iterator[Row]:
    for name, how in product(FILLED, ((), (indexing.SPARING,))):
        folder = work / "-".join((name, *how))
        folder.mkdir()
        one = filling.compare(data / name, folder, config.load(None, how))
        yield Row(
            ", ".join(("boxes of every frame", name, *how)),
            f"looking at every frame, {one.faces} faces",
            f"{one.found:.1%} found, mean IoU {one.mean_iou:.3f}",
            "99 % or more, 0.85 or more",
        )
    for share in _SHARES:
        (work / f"hurry-{share}").mkdir()
        hurried = filling.hurry(data / SITCOM, work / f"hurry-{share}", share)
        yield Row(
            f"index {SITCOM} --budget {hurried.budget_s:.0f}s, {share:.0%} of the time it takes",
            "its faces without a budget",
            f"{hurried.found:.1%} found in {hurried.wall_s:.0f} s, {hurried.coverage:.0%} covered",
            "",
        )


def _searching(work: Path) -> Iterator[Row]:
    seconds = search.bench_start(_EPISODES, work / "season")
    library = f"a library of {_EPISODES} episodes"
    yield Row("first answer of `query --character`", library, f"{seconds:.2f} s", "under 1 s")
    for row in search.bench_search(SIZES, lambda _: None):
        yield Row(
            f"ten nearest of {row['tracks']:,} tracks, {row['index']}",
            f"exact search, {row['exact_ms']} ms",
            f"{row['ours_ms']} ms, recall {row['recall_at_10']}, {row['file_mb']} MB",
            "recall 0.95 or more",
        )
