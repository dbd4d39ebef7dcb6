from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import nms

from indexer import detect, geometry
from indexer.config import DetectSettings
from indexer.nets import mtcnn
from indexer.nets.mtcnn import Mtcnn
from indexer.records import Detections, Frame, UInt8
from tests import faces

PLAIN = DetectSettings()


@pytest.fixture(scope="module")
def nets() -> Mtcnn:
    torch.set_num_threads(1)
    return mtcnn.load("cpu")


def test_we_find_what_facenet_pytorch_finds(nets: Mtcnn) -> None:
    reference = MTCNN(keep_all=True, min_face_size=20)
    total = agreed = extra = 0
    for image in [*(faces.crowd(seed) for seed in range(6)), faces.collins(), faces.hopper()]:
        boxes, _, landmarks = reference.detect(image, landmarks=True)
        found = detect.detect(nets, [image], DetectSettings(min_face=20 / image.shape[0]))[0]
        overlap = geometry.iou(boxes.astype(np.float32), found.boxes)
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        best = overlap.argmax(axis=1)
        away = np.abs(landmarks - found.landmarks[best]).max(axis=(1, 2)) / sides
        agreed += int(np.sum((overlap.max(axis=1) >= 0.9) & (away <= 0.02)))
        total += len(boxes)
        extra += int(np.sum(overlap.max(axis=0) < 0.9))
    assert total >= 40
    assert agreed >= 0.98 * total
    assert extra <= 0.02 * total


def same(first: Detections, second: Detections) -> bool:
    return all(
        np.allclose(getattr(first, name), getattr(second, name), atol=1e-2)
        for name in ("boxes", "scores", "landmarks")
    )


def test_a_faceless_picture_in_a_batch_harms_nobody(nets: Mtcnn) -> None:
    blank = np.full((360, 640, 3), 90, np.uint8)
    alone = detect.detect(nets, [faces.crowd(0)], PLAIN)[0]
    batch = detect.detect(nets, [blank, faces.crowd(0), blank], PLAIN)
    assert [len(found) for found in batch] == [0, len(alone), 0]
    assert len(alone) >= 4
    assert same(batch[1], alone)


def test_pictures_of_different_sizes_go_together(nets: Mtcnn) -> None:
    pictures = [faces.crowd(1), faces.collins(), faces.crowd(2, 200, 500)]
    together = detect.detect(nets, pictures, PLAIN)
    for image, found in zip(pictures, together, strict=True):
        assert same(found, detect.detect(nets, [image], PLAIN)[0])


@pytest.mark.parametrize("size", [(1, 1), (11, 300), (300, 5), (12, 12)])
def test_a_picture_smaller_than_the_smallest_face_has_none(
    nets: Mtcnn, size: tuple[int, int]
) -> None:
    image = np.zeros((*size, 3), np.uint8)
    assert len(detect.detect(nets, [image], DetectSettings(min_face=1.0))[0]) == 0
    assert len(detect.detect(nets, [image], PLAIN)[0]) == 0


def test_boxes_and_landmarks_belong_together_at_the_border(nets: Mtcnn) -> None:
    image = faces.collins()[60:, 160:]  # cuts through the forehead
    found = detect.detect(nets, [image], PLAIN)[0]
    assert len(found) >= 1
    for box, marks in zip(found.boxes, found.landmarks, strict=True):
        assert np.all(marks > box[:2] - 5)
        assert np.all(marks < box[2:] + 5)


SQUARES = st.lists(
    st.tuples(*[st.integers(-5, 30)] * 2, st.integers(1, 20), st.integers(1, 5), st.integers(0, 2)),
    min_size=1,
    max_size=40,
)


@given(SQUARES, st.sampled_from([0.5, 0.7]))
def test_of_boxes_that_overlap_the_best_is_kept_as_torchvision_has_it(
    squares: list[tuple[int, int, int, int, int]], threshold: float
) -> None:
    x, y, side, score, owner = np.array(squares).T  # many overlaps of just the threshold
    boxes = np.stack([x, y, x + side, y + side], axis=1).astype(np.float32)
    scores = (score / 5).astype(np.float32)
    kept = detect.suppress(boxes, scores, owner, threshold)
    assert np.all(np.diff(scores[kept]) <= 0)
    for picture in range(3):
        mine = np.flatnonzero(owner == picture)
        wanted = nms(torch.from_numpy(boxes[mine]), torch.from_numpy(scores[mine]), threshold)
        assert kept[owner[kept] == picture].tolist() == mine[wanted.numpy()].tolist()


def test_of_no_boxes_none_are_kept() -> None:
    none = np.zeros((0, 4), np.float32)
    assert detect.suppress(none, none[:, 0], np.zeros(0, np.int64), 0.5).tolist() == []


def test_no_pictures_no_faces(nets: Mtcnn) -> None:
    assert detect.detect(nets, [], PLAIN) == []


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.01, 1.0))
def test_the_pyramid_runs_from_the_smallest_face_to_the_whole_picture(
    height: int, width: int, share: float
) -> None:
    scales = detect.pyramid_scales(height, width, DetectSettings(min_face=share))
    assert all(min(height, width) * scale >= 12 for scale in scales)
    if scales:
        assert scales[0] * share * height == pytest.approx(12)
        assert min(height, width) * scales[-1] * PLAIN.pyramid_factor < 12


def frames(shots: Iterable[tuple[int, int]], blank: Iterable[int] = ()) -> list[Frame]:
    """Frames of shots given as (first, last), 25 a second."""

    def nothing(width: int, height: int) -> UInt8:
        raise AssertionError(f"nobody may look: {width}x{height}")

    return [
        Frame(i, i, i / 25, shot, i not in set(blank), 4, 4, nothing)
        for shot, (first, last) in enumerate(shots)
        for i in range(first, last + 1)
    ]


def sampled(seen: list[Frame], every_s: float = 0.2) -> list[int]:
    return [frame.index for frame in detect.sample(seen, every_s)]


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
        assert mine[-1] == usable[-1] or last - usable[-1] >= 8
        for a, b in itertools.pairwise(mine):
            between = [i for i in usable if a < i < b]
            assert all(i / 25 - a / 25 < every_s for i in between)


def test_samples_of_a_case_done_by_hand() -> None:
    assert sampled(frames([(0, 12), (13, 14)])) == [0, 5, 10, 12, 13, 14]
    assert sampled(frames([(0, 12)], blank=[0, 1, 12])) == [2, 7, 11]
    assert sampled([]) == []
