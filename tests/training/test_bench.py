"""The benches measure what they claim: repeated videos, tables, and boxes that are filled in."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from indexer import config
from indexer.errors import VideoError
from tests.conftest import Show
from tests.videos import Recipe, make
from training.bench import filling, indexing, report
from training.bench.detecting import best_of, frames
from training.evaluate.clips import cost_of


def test_a_repeated_video_has_its_frames_so_many_times_each_later(tmp_path: Path) -> None:
    video = make(tmp_path / "clip.mp4", Recipe(count=20))
    indexing.repeat(video, tmp_path / "long.mp4", 3)
    with av.open(str(tmp_path / "long.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([i / 25 for i in range(60)], abs=1e-3)


def test_what_is_no_video_cannot_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match="cannot be read"):
        indexing.repeat(tmp_path / "text.mp4", tmp_path / "long.mp4", 2)


def test_frames_are_taken_at_a_stride_and_scaled(tmp_path: Path) -> None:
    video = make(tmp_path / "clip.mp4", Recipe(count=20, size=(160, 96)))
    assert [one.shape for one in frames(video, 48, 8)] == [(48, 80, 3)] * 3


def test_the_best_of_several_rounds_is_taken_of_each_run() -> None:
    calls: list[int] = []
    seconds = best_of([lambda: calls.append(0), lambda: calls.append(1)], rounds=2)
    assert calls == [0, 1] * 3  # the first round warms up
    assert all(0 < one < 1 for one in seconds)


def test_the_cost_of_a_process_and_of_one_that_fails(tmp_path: Path) -> None:
    cost = cost_of(["-c", "print('said'); sum(range(10**6))"], tmp_path / "out")
    assert cost is not None
    assert 0 < cost.cpu_s < 10
    assert (tmp_path / "out").read_text() == "said\n"
    assert cost_of(["-c", "raise SystemExit(3)"], tmp_path / "out") is None


@pytest.mark.parametrize("how", [(), (indexing.SPARING,)], ids=["all", "reference"])
def test_filled_in_boxes_are_held_against_looking_at_every_frame(
    how: tuple[str, ...], show: Show, tmp_path: Path
) -> None:
    with av.open(str(show.video)) as container, av.open(str(tmp_path / "ep.mp4"), "w") as out:
        source = container.streams.video[0]
        stream = out.add_stream_from_template(source)
        for packet in container.demux(source):
            if packet.pts is not None and packet.pts * float(source.time_base or 0) < 3:
                packet.stream = stream
                out.mux(packet)
    found = filling.compare(tmp_path / "ep.mp4", tmp_path, config.load(None, how))
    assert found.faces > 30
    assert found.found >= 0.8
    assert 0.7 <= found.mean_iou <= 1


def test_who_is_in_a_hurry_finds_less_in_less_time(show: Show, tmp_path: Path) -> None:
    hurried = filling.hurry(show.video, tmp_path, 0.0)
    assert hurried.budget_s == 0
    assert 0 <= hurried.coverage < 1
    assert 0 < hurried.found < 1


def test_the_report_is_a_table_and_a_picture(tmp_path: Path) -> None:
    table = report.markdown([report.Row("detect", "a peer", "3.8x", "6x or more")])
    assert "| detect" in table
    assert "cores" in table
    report.draw({"decode": 1.0, "wait": 9.0, "detect": 2.0}, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
