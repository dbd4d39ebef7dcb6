"""One contract for all backends and all made videos; what decord refuses is listed by name."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys
import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from indexer.config import DecodeSettings
from indexer.decode import open_video, screen, with_decord
from indexer.errors import VideoError
from indexer.records import DecodeReport, Frame
from tests import videos
from tests.videos import COLOURS, Recipe, make, read_colours, read_index

PYAV = DecodeSettings(backend="pyav")
DECORD = DecodeSettings(backend="decord")
REFERENCE = DecodeSettings(frames="reference")
USE_PYAV = "set decode.backend=pyav"

VARYING = (0, 1, 2, 5, 6, 10, 11, 12, 20, 21, 22, 30)
OPEN_GOP = {"x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10:bframes=3"}
CLIPS = {
    "b_frames.mp4": Recipe(),
    "b_frames.mkv": Recipe(bframes=3, rate=Fraction(24000, 1001)),
    "no_b_frames.mp4": Recipe(bframes=0),
    "one_frame.mp4": Recipe(count=1),
    "many_runs.mp4": Recipe(count=150, gop=12),
    "one_keyframe.mp4": Recipe(count=120, gop=1000),
    "all_keyframes.mkv": Recipe(count=100, gop=1, bframes=0),
    "open_gop.mp4": Recipe(count=60, codec="libx265", options=OPEN_GOP),
    "vp9.webm": Recipe(codec="libvpx-vp9"),
    "flash.flv": Recipe(),
    "fragmented.mp4": Recipe(count=40, muxing={"movflags": "frag_keyframe+empty_moov"}),
    "motion.avi": Recipe(codec="mjpeg", pix_fmt="yuvj420p", range=videos.FULL),
    "dropped.avi": Recipe(codec="mpeg4", bframes=0, ticks=VARYING),
    "b_frames.avi": Recipe(),
    "divx.avi": Recipe(codec="mpeg4"),
    "raw.h264": Recipe(),
    "broadcast.ts": Recipe(),
    "dvd.mpg": Recipe(codec="mpeg2video"),
    "media.wmv": Recipe(codec="wmv2"),
    "varying.mp4": Recipe(ticks=VARYING, time_base=Fraction(1, 100)),
    "varying.mkv": Recipe(ticks=VARYING, time_base=Fraction(1, 100)),
    "late_start.mp4": Recipe(ticks=tuple(range(100, 120))),
    "audio_first.mp4": Recipe(ticks=tuple(range(10, 40)), audio_s=2.0),
    "audio_longer.mkv": Recipe(audio_s=3.0),
    "starts_late.mkv": Recipe(ticks=tuple(range(50, 100)), time_base=Fraction(1, 25), count=50),
    "odd_size.mp4": Recipe(size=(161, 97), codec="mpeg4", bframes=0),
    "ten_bits.mp4": Recipe(pix_fmt="yuv420p10le", matrix=videos.BT2020),
    "four_four_four.mp4": Recipe(pix_fmt="yuv444p"),
    "bt709.mp4": Recipe(matrix=videos.BT709),
    "full_range.mp4": Recipe(matrix=videos.BT709, range=videos.FULL),
    "untagged.mp4": Recipe(tagged=False, range=0),
    "quarter_turn.mp4": Recipe(rotation=90),
    "half_turn.mp4": Recipe(rotation=180),
    "three_quarter_turn.mp4": Recipe(rotation=270),
    "mirrored.mp4": Recipe(mirrored=True),
    "mirrored_turned.mp4": Recipe(mirrored=True, rotation=90),
    "wide_pixels.mp4": Recipe(pixel_aspect=Fraction(4, 3)),
    "wide_pixels_turned.mp4": Recipe(pixel_aspect=Fraction(4, 3), rotation=90),
    "tall_pixels.mkv": Recipe(pixel_aspect=Fraction(8, 9)),
    "nearly_square.mkv": Recipe(pixel_aspect=Fraction(399, 400)),
}
SIZES = {  # where the size is not the recipe's
    "wide_pixels.mp4": (213, 96),
    "wide_pixels_turned.mp4": (160, 128),
    "tall_pixels.mkv": (160, 108),
}
PROMISED = {"dropped.avi": 31}  # frames that the container claims, where that is wrong
DECORD_REFUSES = {
    "b_frames.avi": "has no presentation times, which decord needs",
    "divx.avi": "has no presentation times, which decord needs",
    "raw.h264": "decord may misread h264",
    "broadcast.ts": "decord may misread mpegts",
    "dvd.mpg": "decord may misread mpeg",
    "media.wmv": "decord may misread asf",
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {name: make(folder / name, recipe) for name, recipe in CLIPS.items()}


def read(path: Path, how: DecodeSettings) -> tuple[list[Frame], DecodeReport]:
    with open_video(path, how) as video:
        return list(video), video.report()


def indices(frames: list[Frame]) -> list[int]:
    return [read_index(frame.pixels()) for frame in frames]


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize("name", CLIPS)
def test_a_video_gives_its_frames_in_order_with_their_times_and_colours(
    name: str, backend: Literal["pyav", "decord"], clips: dict[str, Path]
) -> None:
    how, recipe = DecodeSettings(backend=backend), CLIPS[name]
    if backend == "decord" and name in DECORD_REFUSES:
        with pytest.raises(VideoError) as refusal:
            open_video(clips[name], how)
        assert refusal.value.problem == DECORD_REFUSES[name]
        assert refusal.value.remedy == USE_PYAV
        return

    with open_video(clips[name], how) as video:
        frames, report, facts = list(video), video.report(), video.facts

    start = min(recipe.times) if not recipe.audio_s else 0
    assert [frame.index for frame in frames] == list(range(len(recipe.times)))
    assert [frame.time_s for frame in frames] == pytest.approx(
        [float(time - start) for time in recipe.times],
        abs=6e-4,  # Matroska keeps milliseconds
    )
    assert [
        float(frame.pts * facts.time_base) - facts.start_s for frame in frames
    ] == pytest.approx([frame.time_s for frame in frames], abs=1e-9)
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    assert (facts.width, facts.height) == SIZES.get(name, recipe.size)
    assert facts.rotation == recipe.rotation
    for frame in frames:
        pixels = frame.pixels()
        assert (frame.width, frame.height) == (facts.width, facts.height)
        assert pixels.shape == (facts.height, facts.width, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert read_index(pixels) == frame.index
        assert np.abs(read_colours(pixels) - COLOURS).max() < 6
    assert facts.expected_frames in (0, PROMISED.get(name, len(frames)))
    assert report == DecodeReport(len(frames), 0, 0, facts.expected_frames, truncated=False)


@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
def test_a_render_smaller_larger_or_of_another_shape_shows_the_same_picture(
    how: DecodeSettings, clips: dict[str, Path]
) -> None:
    for name in ("quarter_turn.mp4", "mirrored_turned.mp4", "odd_size.mp4", "ten_bits.mp4"):
        frames, _ = read(clips[name], how)
        for width, height in ((80, 48), (61, 37), (400, 300), (100, 300)):
            pixels = frames[13].render(width, height)
            assert pixels.shape == (height, width, 3)
            assert read_index(pixels) == 13
            assert np.abs(read_colours(pixels) - COLOURS).max() < 6


def test_the_first_frame_of_a_clip_checked_by_hand(clips: dict[str, Path]) -> None:
    frames, _ = read(clips["audio_first.mp4"], PYAV)
    assert frames[0].time_s == 0.4  # the pictures begin ten frames, at 25 fps, after the sound
    assert frames[1].pts - frames[0].pts == 512  # of 12800 in a second
    frames, _ = read(clips["varying.mp4"], PYAV)
    assert [frame.time_s for frame in frames[:5]] == [0.0, 0.01, 0.02, 0.05, 0.06]
    assert tuple(read_colours(frames[0].pixels())[0].round(-1)) == (220, 30, 30)


def test_shrinking_averages_areas(tmp_path: Path) -> None:
    # All five columns of 32 pixels fall into the single pixel of a row of the small picture.
    path = make(tmp_path / "clip.mp4", Recipe(count=1, options={"qp": "0"}))
    row = read(path, PYAV)[0][0].render(1, 96)[80, 0]
    means = [*COLOURS, COLOURS[0]]  # the stripe has five columns and four colours
    assert np.abs(row - np.mean(means, axis=0)).max() < 4


@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
def test_the_number_of_threads_changes_nothing(how: DecodeSettings, clips: dict[str, Path]) -> None:
    for name in set(CLIPS) - set(DECORD_REFUSES) if how is DECORD else CLIPS:
        several, expected = read(clips[name], how)
        one, report = read(clips[name], DecodeSettings(backend=how.backend, threads=1))
        assert report == expected
        assert [frame.pts for frame in one] == [frame.pts for frame in several]
        for ours, theirs in zip(one, several, strict=True):
            assert np.array_equal(ours.render(80, 48), theirs.render(80, 48))


@pytest.mark.parametrize("name", CLIPS)
def test_reference_frames_are_some_of_all_at_their_own_times(
    name: str, clips: dict[str, Path]
) -> None:
    every, _ = read(clips[name], PYAV)
    some, report = read(clips[name], REFERENCE)
    times = {frame.pts: read_index(frame.pixels()) for frame in every}
    assert [times[frame.pts] for frame in some] == indices(some)
    assert [frame.index for frame in some] == list(range(len(some)))
    assert (report.frames, report.corrupt_frames, report.lost_packets) == (len(some), 0, 0)
    assert not report.truncated
    if name in ("raw.h264", "no_b_frames.mp4", "all_keyframes.mkv", "b_frames.avi"):
        assert len(some) == len(every)  # there are no times, or each frame needs the one before
    if name in ("b_frames.mp4", "many_runs.mp4", "broadcast.ts", "open_gop.mp4"):
        assert len(some) <= 0.7 * len(every)


def test_a_video_entered_at_a_reference_frame_goes_on_as_it_would(clips: dict[str, Path]) -> None:
    some, _ = read(clips["many_runs.mp4"], REFERENCE)
    for at in (1, 7, len(some) - 1):
        with open_video(clips["many_runs.mp4"], REFERENCE, some[at]) as video:
            assert [(f.index, f.pts) for f in video] == [(f.index, f.pts) for f in some[at:]]


def test_decord_gives_the_pixels_that_pyav_gives(clips: dict[str, Path]) -> None:
    for name in ("b_frames.mp4", "open_gop.mp4", "many_runs.mp4", "vp9.webm", "mirrored.mp4"):
        for ours, theirs in zip(
            read(clips[name], PYAV)[0], read(clips[name], DECORD)[0], strict=True
        ):
            assert ours.pts == theirs.pts
            assert np.array_equal(ours.pixels(), theirs.pixels())


@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("clip.mp4", Recipe(size=(640, 360), matrix=videos.BT601)),
        ("clip.mp4", Recipe(size=(1024, 576), matrix=videos.BT601)),
        ("clip.mp4", Recipe(size=(1280, 536), matrix=videos.BT709)),
        ("clip.mp4", Recipe(size=(400, 720), rotation=90, matrix=videos.BT709)),
        ("clip.webm", Recipe(size=(1280, 720), matrix=videos.BT709, codec="libvpx-vp9")),
    ],
    ids=lambda value: f"{value.size[0]}x{value.size[1]}" if isinstance(value, Recipe) else value,
)
def test_untagged_colours_are_bt709_in_high_definition(
    name: str, recipe: Recipe, how: DecodeSettings, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(recipe, count=10, tagged=False, range=0)
    frames, _ = read(make(tmp_path / name, recipe), how)
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(10)])
    for frame in frames:
        assert np.abs(read_colours(frame.pixels()) - COLOURS).max() < 6
        assert np.abs(read_colours(frame.render(160, 96)) - COLOURS).max() < 6


@settings(max_examples=12)
@given(
    count=st.integers(1, 40),
    rate=st.sampled_from([Fraction(10), Fraction(24000, 1001), Fraction(25), Fraction(60)]),
    gop=st.integers(1, 20),
    bframes=st.integers(0, 4),
    ending=st.sampled_from(["mp4", "mkv", "ts", "avi"]),
    threads=st.integers(1, 3),
)
def test_as_many_frames_come_out_as_went_in_each_at_its_time(
    count: int, rate: Fraction, gop: int, bframes: int, ending: str, threads: int
) -> None:
    assume(ending != "ts" or count >= 10)  # FFmpeg does not recognise fewer packets
    recipe = Recipe(count=count, rate=rate, gop=gop, bframes=bframes, size=(80, 48))
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / f"clip.{ending}", recipe)
        frames, report = read(path, DecodeSettings(threads=threads))
    assert indices(frames) == list(range(count))
    assert [frame.time_s for frame in frames] == pytest.approx(
        [float(index / rate) for index in range(count)], abs=6e-4
    )
    assert (report.frames, report.truncated) == (count, False)


def test_a_frame_that_nobody_renders_is_not_converted(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    class Counting:
        def __init__(self) -> None:
            self.scaler = VideoReformatter()

        def reformat(
            self,
            picture: av.VideoFrame,
            width: int,
            height: int,
            **how: Any,  # noqa: ANN401
        ) -> av.VideoFrame:
            sizes.append((width, height))
            return self.scaler.reformat(picture, width, height, **how)

    monkeypatch.setattr(screen, "VideoReformatter", Counting)
    frames, _ = read(clips["b_frames.mp4"], PYAV)
    assert sizes == []
    frames[3].render(80, 48)
    frames[7].pixels()
    assert sizes == [(80, 48), (160, 96)]


@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
def test_a_frame_stays_what_it_was(how: DecodeSettings, clips: dict[str, Path]) -> None:
    with open_video(clips["many_runs.mp4"], how) as video:
        reading = iter(video)
        early = [next(reading) for _ in range(3)]
        before = [frame.pixels() for frame in early]
        rest = list(reading)
    for frame, pixels in zip(early, before, strict=True):
        assert np.array_equal(frame.pixels(), pixels)
        pixels[:] = 0  # what render returned is the caller's
        assert read_index(frame.pixels()) == frame.index
    assert indices(rest) == list(range(3, 150))


def test_a_video_is_read_once_and_while_open(clips: dict[str, Path]) -> None:
    with open_video(clips["b_frames.mp4"], PYAV) as video:
        reading = iter(video)
        assert next(reading).index == 0
        assert video.report() == DecodeReport(1, 0, 0, 20, truncated=False)
        with pytest.raises(ValueError, match="expected to be read once"):
            iter(video)
    with pytest.raises(ValueError, match="expected an open video"):
        next(reading)
    assert video.report().frames == 1


def test_a_size_below_one_is_the_callers_mistake(clips: dict[str, Path]) -> None:
    frames, _ = read(clips["b_frames.mp4"], PYAV)
    with pytest.raises(ValueError, match="expected a size of at least 1x1, got 0x48"):
        frames[0].render(0, 48)


@pytest.mark.parametrize("name", ["film.txt", "film.avi", "film", "1: a %03d.mp4", "film.jpg"])
def test_the_content_decides_not_the_name(name: str, clips: dict[str, Path]) -> None:
    path = clips["b_frames.mp4"].with_name(name)
    path.write_bytes(clips["b_frames.mp4"].read_bytes())
    assert indices(read(path, PYAV)[0]) == list(range(20))


def test_tags_that_are_not_utf8_do_no_harm(tmp_path: Path, clips: dict[str, Path]) -> None:
    path = tmp_path / "clip.mp4"
    content = clips["b_frames.mp4"].read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xe9\xe8\xff\xfe"))
    assert len(read(path, PYAV)[0]) == 20


def test_a_change_of_size_in_mid_stream_keeps_the_first_ones_size(tmp_path: Path) -> None:
    late = Recipe(ticks=tuple(range(20, 40)), size=(320, 192), bframes=0)
    small, large = make(tmp_path / "1.ts", Recipe(bframes=0)), make(tmp_path / "2.ts", late)
    small.write_bytes(small.read_bytes() + large.read_bytes())
    frames, report = read(small, PYAV)
    assert report == DecodeReport(40, 0, 0, 0, truncated=False)
    assert indices(frames) == [*range(20), *range(20)]
    assert {frame.pixels().shape for frame in frames} == {(96, 160, 3)}
    assert frames[-1].time_s == pytest.approx(39 / 25)


def join(path: Path, *parts: tuple[int, int]) -> list[Frame]:
    """Return the frames of recordings joined to one file; parts are (start, count) of each."""
    joined = b""
    for start, count in parts:
        recipe = Recipe(ticks=tuple(range(start, start + count)), bframes=0)
        joined += make(path / "part.ts", recipe).read_bytes()
    (path / "joined.ts").write_bytes(joined)
    return read(path / "joined.ts", PYAV)[0]


def test_joined_recordings_follow_on_where_the_clock_starts_anew(tmp_path: Path) -> None:
    frames = join(tmp_path, (100, 10), (0, 10))
    assert indices(frames) == [*range(10), *range(10)]
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(20)])


def test_a_leap_that_the_next_frame_takes_back_is_flattened(tmp_path: Path) -> None:
    frames = join(tmp_path, (0, 10), (5000, 1), (11, 10))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(21)])


def test_a_gap_between_recordings_stays(tmp_path: Path) -> None:
    times = [frame.time_s for frame in join(tmp_path, (0, 10), (110, 10))]
    assert times[10] - times[9] == pytest.approx(101 / 25)


def test_times_that_repeat_are_pushed_on_by_a_tick(tmp_path: Path) -> None:
    milliseconds = (0, 40, 40, 80, 80, 80, 120)
    recipe = Recipe(bframes=0, ticks=milliseconds, time_base=Fraction(1, 1000))
    path = make(tmp_path / "clip.mkv", recipe)
    for how in (PYAV, DECORD):
        frames, _ = read(path, how)
        assert [frame.pts for frame in frames] == [0, 40, 41, 80, 81, 82, 120]
        assert indices(frames) == list(range(7))


def test_an_edit_list_leaves_out_what_it_says(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mp4", Recipe(count=40))
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    shown_ms, begin = struct.unpack_from(">Ii", content, at)
    struct.pack_into(">Ii", content, at, shown_ms // 2, begin + 10 * 512)
    path.write_bytes(content)
    for how in (PYAV, DECORD):
        frames, report = read(path, how)
        assert indices(frames) == list(range(10, 30))
        assert frames[0].time_s == 0
        assert report == DecodeReport(20, 0, 0, 40, truncated=False)


@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("clip.mp4", Recipe(count=60, muxing={"movflags": "faststart"})),
        ("clip.mkv", Recipe(count=60)),
        ("clip.webm", Recipe(count=60, codec="libvpx-vp9")),
        ("sound.mkv", Recipe(count=60, audio_s=3.0)),
    ],
)
def test_of_a_file_cut_short_the_whole_frames_come_out(
    name: str, recipe: Recipe, how: DecodeSettings, tmp_path: Path
) -> None:
    path = videos.cut(make(tmp_path / name, recipe), 0.6)
    for threads in (1, 2):
        frames, report = read(path, DecodeSettings(backend=how.backend, threads=threads))
        assert 5 < len(frames) < 45
        assert indices(frames) == [round(frame.time_s * 25) for frame in frames]
        assert report.truncated
        assert report.frames == len(frames)
        assert (report.corrupt_frames, report.expected_frames in (0, 60)) == (0, True)
        assert report.lost_packets == (1 if name == "clip.mp4" else 0)  # cut within a packet


def test_a_broken_fragment_ends_the_video(tmp_path: Path) -> None:
    recipe = Recipe(count=60, muxing={"movflags": "frag_keyframe+empty_moov"})
    path = make(tmp_path / "clip.mp4", recipe)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"tfhd") + 12] = 0x92  # the last fragment's data offset points nowhere
    path.write_bytes(content)
    frames, report = read(path, PYAV)
    assert indices(frames) == list(range(48))
    assert report == DecodeReport(48, 0, 0, 0, truncated=True)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts"])
def test_damage_in_the_middle_is_counted_and_survived(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / name, Recipe(count=60, options={"qp": "10"}))
    frames, report = read(videos.blot(path, 24), PYAV)  # a keyframe
    assert report.frames == len(frames) >= 45
    assert report.corrupt_frames + report.lost_packets > 0
    assert not report.truncated
    read_back = indices(frames)
    assert read_back[:20] == list(range(20))
    assert read_back[-20:] == list(range(40, 60))
    assert frames[-1].time_s == pytest.approx(59 / 25, abs=1e-3)
    assert capfd.readouterr() == ("", "")


def test_decord_says_where_damage_stopped_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "clip.mp4", Recipe(count=120, options={"qp": "10"}))
    with open_video(videos.blot(path, 84, start=0.0), DECORD) as video:
        with pytest.raises(VideoError, match=USE_PYAV) as stop:
            list(video)
        assert 30 <= video.report().frames < 90
    assert stop.value.problem == "decord fails after 1.44 s"  # where the damaged run starts
    assert capfd.readouterr() == ("", "")


def test_decord_does_not_tell_of_damage_that_it_covers_up(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mp4", Recipe(count=60, options={"qp": "10"}))
    videos.blot(path, 24)
    assert read(path, PYAV)[1].corrupt_frames > 0
    assert read(path, DECORD)[1] == DecodeReport(60, 0, 0, 60, truncated=False)


def test_a_recording_that_starts_between_keyframes_counts_its_first_frames_as_corrupt(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "clip.ts", Recipe(count=60))
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 188 // 3 * 188 :])
    frames, report = read(path, PYAV)
    good = indices(frames)[report.corrupt_frames :]
    assert 0 < report.corrupt_frames < 12
    assert good == list(range(60 - len(good), 60))


STILL = ("is a still image", "enroll")
UNREADABLE = ("is not a video that FFmpeg can read", "check that it plays")


@pytest.mark.parametrize(
    ("name", "content", "problem", "remedy"),
    [
        ("film.mp4", b"", "is an empty file", "download it again"),
        ("film.mp4", np.random.default_rng(0).bytes(20_000), *UNREADABLE),
        ("film.mp4", bytes(20_000), *UNREADABLE),
        ("film.mp4", b"Once upon a time there was a film.\n" * 50, *UNREADABLE),
        ("film.mp4", b"<!DOCTYPE html><title>404</title>" * 50, *UNREADABLE),
        ("film.mp4", b"ffconcat version 1.0\nfile 'b_frames.mp4'\n", *UNREADABLE),
        ("film.txt", b"Once upon a time there was a film.\n" * 50, "is a text file", "video"),
        ("film.nfo", b"Once upon a time there was a film.\n" * 50, "is a text file", "video"),
        ("film.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHi\n\n" * 5, "only subtitle", "video"),
        ("still.jpg", cv2.imencode(".jpg", videos.picture(1, (160, 96)))[1].tobytes(), *STILL),
        ("still.mp4", cv2.imencode(".jpg", videos.picture(1, (160, 96)))[1].tobytes(), *STILL),
        ("still.mp4", cv2.imencode(".png", videos.picture(1, (160, 96)))[1].tobytes(), *STILL),
        ("still.webp", cv2.imencode(".webp", videos.picture(1, (160, 96)))[1].tobytes(), *STILL),
        ("still.avif", cv2.imencode(".avif", videos.picture(1, (160, 96)))[1].tobytes(), *STILL),
    ],
)
@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
def test_what_is_no_video_is_refused_in_one_line(
    name: str, content: bytes, problem: str, remedy: str, how: DecodeSettings, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoError) as refusal:
        open_video(path, how)
    assert problem in refusal.value.problem
    assert remedy in refusal.value.remedy
    assert refusal.value.path == str(path)
    assert "\n" not in str(refusal.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="there is no such file"):
        open_video(tmp_path / "missing.mp4", PYAV)
    with pytest.raises(VideoError, match="is not a file"):
        open_video(tmp_path, PYAV)


def test_sound_alone_is_refused_and_its_cover_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no moving pictures, only audio"):
        open_video(videos.make_audio(tmp_path / "song.m4a"), PYAV)
    jpeg = cv2.imencode(".jpg", videos.picture(1, (160, 96)))[1].tobytes()
    song = videos.make_audio(tmp_path / "song.aac")
    song.write_bytes(videos.with_cover(song.read_bytes(), jpeg))
    with pytest.raises(VideoError, match="no moving pictures, only audio, video"):
        open_video(song, PYAV)


def test_an_mp4_without_its_index_is_called_cut_off(tmp_path: Path) -> None:
    path = videos.cut(make(tmp_path / "clip.mp4", Recipe(count=60)), 0.9)
    with pytest.raises(VideoError, match=r"is cut off: an MP4 without its index \(moov\)"):
        open_video(path, PYAV)
    whole = make(tmp_path / "front.mp4", Recipe(count=60, muxing={"movflags": "faststart"}))
    with pytest.raises(VideoError, match="is cut off"):
        open_video(videos.cut(whole, 0.05), PYAV)


def test_a_playlist_and_an_unknown_codec_are_refused(clips: dict[str, Path]) -> None:
    playlist = clips["broadcast.ts"].with_name("list.m3u8")
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.8,\n"
    playlist.write_text(f"{head}{clips['broadcast.ts']}\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError, match="is a playlist"):
        open_video(playlist, PYAV)
    strange = playlist.with_name("strange.mp4")
    strange.write_bytes(clips["b_frames.mp4"].read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match="is in a codec that FFmpeg cannot decode"):
        open_video(strange, PYAV)


def test_a_video_without_a_frame_that_decodes_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mkv", Recipe(count=1))
    content = bytearray(path.read_bytes())
    data = content.index(b"\xa3", content.index(b"\x1f\x43\xb6\x75"))  # the block of the frame
    content[data + 8 : -60] = bytes(len(content) - 60 - data - 8)
    path.write_bytes(content)
    with pytest.raises(VideoError, match="not one frame can be decoded"):
        open_video(path, PYAV)


def test_decord_that_is_not_there_is_explained(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(VideoError, match=f"decord is not installed .*{USE_PYAV}"):
        open_video(clips["b_frames.mp4"], DECORD)


def test_decord_is_given_no_more_than_fits_in_memory(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_decord, "_BYTES", 100 * 160 * 96 * 3)
    assert len(read(clips["many_runs.mp4"], DECORD)[0]) == 150
    with pytest.raises(VideoError, match="more than 100 frames between closed keyframes"):
        open_video(clips["one_keyframe.mp4"], DECORD)


def test_importing_takes_neither_decord_nor_torch() -> None:
    code = "import sys, indexer.decode; assert not {'decord', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("how", [PYAV, DECORD], ids=lambda how: how.backend)
@pytest.mark.parametrize("name", [name for name in CLIPS if "_turn" not in name])
def test_a_video_entered_at_a_frame_goes_on_as_if_read_from_the_beginning(
    name: str, how: DecodeSettings, clips: dict[str, Path]
) -> None:
    if how is DECORD and name in DECORD_REFUSES:
        pytest.skip(DECORD_REFUSES[name])
    everything, report = read(clips[name], how)
    for start in everything[:: len(everything) // 6 + 1]:
        with open_video(clips[name], how, start.let_go()) as video:
            rest = list(video)
            assert video.report().frames == report.frames
        assert [(f.index, f.pts, f.time_s) for f in rest] == [
            (f.index, f.pts, f.time_s) for f in everything[start.index :]
        ]
        for again, before in zip(rest[:3], everything[start.index :], strict=False):
            np.testing.assert_array_equal(again.pixels(), before.pixels())
