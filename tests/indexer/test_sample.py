from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer import sample
from indexer.config import DetectSettings
from indexer.records import Detections, Faces, Float32, Frame, UInt8


def frames(shots: Iterable[tuple[int, int]], blank: Iterable[int] = ()) -> list[Frame]:
    """Frames of shots given as (first, last), 25 a second."""

    def nothing(width: int, height: int) -> UInt8:
        raise AssertionError(f"nobody may look: {width}x{height}")

    return [
        Frame(i, i, i / 25, shot, i not in set(blank), 0, 4, 4, nothing)
        for shot, (first, last) in enumerate(shots)
        for i in range(first, last + 1)
    ]


def sampled(seen: list[Frame], every_s: float = 0.2) -> list[int]:
    settings = DetectSettings(every_s=every_s)
    return [stretch.look.index for stretch in sample.stretches(seen, settings)]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.floats(0.04, 2.0),
    st.sets(st.integers(0, 200), max_size=30),
)
def test_samples_are_in_order_close_enough_and_reach_the_ends_of_shots(
    lengths: list[int], every_s: float, blank: set[int]
) -> None:
    ends = np.cumsum(lengths)
    shots = list(zip(ends - lengths, ends - 1, strict=True))
    everything = frames(shots, blank)
    chosen = sampled(everything, every_s)
    assert chosen == sorted(set(chosen))
    assert not set(chosen) & blank
    for first, last in shots:
        usable = [i for i in range(first, last + 1) if i not in blank]
        mine = [i for i in chosen if first <= i <= last]
        if not usable:
            assert mine == []
            continue
        assert mine[0] == usable[0]
        assert mine[-1] == usable[-1]
        for a, b in itertools.pairwise(mine):
            between = [i for i in usable if a < i < b]
            assert all(i / 25 - a / 25 < every_s for i in between)


def test_samples_of_a_case_done_by_hand() -> None:
    assert sampled(frames([(0, 12), (13, 14)])) == [0, 5, 10, 12, 13, 14]
    assert sampled(frames([(0, 12)], blank=[0, 1, 12])) == [2, 7, 11]
    assert sampled([]) == []


def test_between_two_looks_of_a_shot_lie_its_usable_frames() -> None:
    seen = frames([(0, 12), (13, 14)], blank=[3])
    between = [
        [frame.index for frame in stretch.between]
        for stretch in sample.stretches(seen, DetectSettings(every_s=0.2))
    ]
    assert between == [[], [1, 2, 4], [6, 7, 8, 9], [11], [], []]


def test_however_long_two_looks_are_apart_few_frames_are_held() -> None:
    *_, last = sample.stretches(frames([(0, 999)]), DetectSettings(every_s=60))
    held = [frame.index for frame in last.between]
    assert last.look.index == 999
    assert 6 <= len(held) <= 12
    assert held == sorted(set(held))


_PATCHES = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)


@dataclass
class Scene:
    """Faces that move steadily, each for a while, and are found wherever they are looked for."""

    faces: list[tuple[int, int, float, float]]
    """First and last frame, x at frame 0, pixels to the right per frame; all are 40 pixels wide."""
    glanced: list[int] = field(default_factory=list)

    def at(self, frame: int, expected: Float32 | None = None) -> Faces:
        """The faces of a frame, those near the expected boxes if they are given."""
        who = [i for i, (first, last, _, _) in enumerate(self.faces) if first <= frame <= last]
        corners = [self.faces[i][2] + self.faces[i][3] * frame for i in who]
        boxes = np.array([[x, 0, x + 40, 40] for x in corners], np.float32).reshape(-1, 4)
        patches = np.array([_PATCHES[i] for i in who], np.uint8).reshape(-1, 8, 8)
        if expected is not None:
            away = np.abs(boxes[:, None, 0] - expected[None, :, 0]).min(axis=1, initial=np.inf)
            boxes, patches = boxes[away <= 40], patches[away <= 40]
        count = len(boxes)
        found = Detections(boxes, np.ones(count, np.float32), np.zeros((count, 5, 2), np.float32))
        chips = np.zeros((count, 8, 8, 3), np.uint8)
        quality, worn = np.ones(count, np.float32), np.zeros((count, 4), np.uint8)
        return Faces(frame, frame / 25, 0, found, chips, quality, patches, worn)

    def glance(self, frame: Frame, expected: Float32, patches: UInt8) -> Faces:
        assert len(expected) == len(patches) > 0
        self.glanced.append(frame.index)
        return self.at(frame.index, expected)

    def between(self, last: int) -> list[Faces]:
        """The glances between looks at frame 0 and at the last frame."""
        inner = frames([(0, last)])[1:-1]
        return sample.between(self.at(0), self.at(last), inner, self.glance, DetectSettings())


def test_who_stays_is_not_glanced_at() -> None:
    assert Scene([(0, 99, 0.0, 0.5), (0, 99, 300.0, -0.5)]).between(10) == []
    assert Scene([]).between(10) == []


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from(["comes", "goes"]))
def test_who_comes_or_goes_is_found_to_the_frame_in_few_glances(
    last: int, end: int, does: str
) -> None:
    span = (end, 99) if does == "comes" else (0, end)
    scene = Scene([(*span, 0.0, 0.2)])
    seen = scene.between(last)
    found = [faces.frame for faces in [scene.at(0), *seen, scene.at(last)] if len(faces.detections)]
    inside = [frame for frame in range(last + 1) if span[0] <= frame <= span[1]]
    if inside:
        assert (found[0], found[-1]) == (inside[0], inside[-1])
    assert len(seen) <= np.log2(last) + 1


@given(st.integers(2, 40), st.lists(st.floats(-12, 12), min_size=1, max_size=4))
def test_who_moves_is_followed_until_neighbours_agree(last: int, speeds: list[float]) -> None:
    scene = Scene([(0, 99, 1000.0 * i, speed) for i, speed in enumerate(speeds)])
    seen = scene.between(last)
    order = [faces.frame for faces in seen]
    assert order == sorted(set(order))
    assert set(order) <= set(range(1, last))
    for i, speed in enumerate(speeds):
        met = [0, *(f.frame for f in seen if near(f, 1000.0 * i + speed * f.frame)), last]
        for a, b in itertools.pairwise(met):
            agree = 40 - abs(speed) * (b - a) >= 0.5 * (40 + abs(speed) * (b - a)) - 1e-3
            assert agree or b == a + 1 or abs(speed) * last > 6 * 40  # too far to be matched


def near(faces: Faces, x: float) -> bool:
    return bool(np.any(np.abs(faces.detections.boxes[:, 0] - x) < 1e-2))


def test_who_leaps_is_expected_halfway_by_the_look_of_the_face() -> None:
    scene = Scene([(0, 99, 0.0, 12.0), (0, 99, 400.0, -12.0)])  # they cross
    seen = scene.between(16)
    assert [len(faces.detections) for faces in seen if faces.frame == 8] == [2]
