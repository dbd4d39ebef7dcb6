from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from indexer import cascade, detect, geometry, onepass
from indexer.config import DetectSettings
from indexer.detect import Detector
from indexer.nets import yunet
from indexer.nets.yunet import YuNet
from indexer.records import Detections, Float32, UInt8
from tests import faces
from training.bench.detecting import AS_FACENET

PLAIN = DetectSettings()


@pytest.fixture(scope="module", params=["yunet", "mtcnn"])
def nets(request: pytest.FixtureRequest) -> Detector:
    torch.set_num_threads(1)
    return detect.load(DetectSettings(method=request.param), "cpu")


@pytest.fixture(scope="module")
def yunets() -> YuNet:
    return yunet.load("cpu")


def test_we_find_what_facenet_pytorch_finds() -> None:
    nets = detect.load(AS_FACENET, "cpu")
    reference = MTCNN(keep_all=True, min_face_size=20)
    total = agreed = extra = 0
    for image in [*(faces.crowd(seed) for seed in range(6)), faces.collins(), faces.hopper()]:
        boxes, _, landmarks = reference.detect(image, landmarks=True)
        found = detect.detect(nets, [image], replace(AS_FACENET, min_face=20 / image.shape[0]))[0]
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


def test_a_faceless_picture_in_a_batch_harms_nobody(nets: Detector) -> None:
    blank = np.full((360, 640, 3), 90, np.uint8)
    alone = detect.detect(nets, [faces.crowd(0)], PLAIN)[0]
    batch = detect.detect(nets, [blank, faces.crowd(0), blank], PLAIN)
    assert [len(found) for found in batch] == [0, len(alone), 0]
    assert len(alone) >= 4
    assert same(batch[1], alone)


def test_pictures_of_different_sizes_go_together(nets: Detector) -> None:
    pictures = [faces.crowd(1), faces.collins(), faces.crowd(2, 200, 500)]
    together = detect.detect(nets, pictures, PLAIN)
    for image, found in zip(pictures, together, strict=True):
        assert same(found, detect.detect(nets, [image], PLAIN)[0])


@pytest.mark.parametrize("size", [(1, 1), (11, 300), (300, 5), (12, 12)])
def test_a_picture_smaller_than_the_smallest_face_has_none(
    nets: Detector, size: tuple[int, int]
) -> None:
    image = np.zeros((*size, 3), np.uint8)
    assert len(detect.detect(nets, [image], DetectSettings(min_face=1.0))[0]) == 0
    assert len(detect.detect(nets, [image], PLAIN)[0]) == 0


def test_boxes_and_landmarks_belong_together_at_the_border(nets: Detector) -> None:
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
    x, y, side, score, owner = np.array(squares).T  # integers: many overlaps equal the threshold
    boxes = np.stack([x, y, x + side, y + side], axis=1).astype(np.float32)
    scores = (score / 5).astype(np.float32)
    kept = cascade.suppress(boxes, scores, owner, threshold)
    assert np.all(np.diff(scores[kept]) <= 0)
    for picture in range(3):
        mine = np.flatnonzero(owner == picture)
        wanted = nms(torch.from_numpy(boxes[mine]), torch.from_numpy(scores[mine]), threshold)
        assert kept[owner[kept] == picture].tolist() == mine[wanted.numpy()].tolist()


def test_of_no_boxes_none_are_kept() -> None:
    none = np.zeros((0, 4), np.float32)
    assert cascade.suppress(none, none[:, 0], np.zeros(0, np.int64), 0.5).tolist() == []


def test_no_pictures_no_faces(nets: Detector) -> None:
    assert detect.detect(nets, [], PLAIN) == []


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.01, 1.0))
def test_the_pyramid_runs_from_the_smallest_face_to_the_whole_picture(
    height: int, width: int, share: float
) -> None:
    scales = cascade.pyramid_scales(height, width, DetectSettings(min_face=share))
    assert all(min(height, width) * scale >= 12 for scale in scales)
    if scales:
        assert scales[0] * share * height == pytest.approx(12)
        assert min(height, width) * scales[-1] * PLAIN.pyramid_factor < 12


def moved(image: UInt8, right: int, down: int) -> UInt8:
    return np.roll(image, (down, right), axis=(0, 1))


@given(st.integers(-25, 25), st.integers(-25, 25))
@settings(max_examples=10)
def test_a_known_face_is_found_where_it_has_gone(nets: Detector, right: int, down: int) -> None:
    image = faces.collins()
    known = detect.detect(nets, [image], PLAIN)[0].only(np.arange(1))
    patches = detect.patches(image, known.boxes)
    found = detect.find_again(nets, moved(image, right, down), known.boxes, patches, PLAIN)
    assert len(found) == 1
    shift = np.array([right, down], dtype=np.float32)
    assert geometry.iou(found.boxes, known.boxes + np.tile(shift, 2)) >= 0.8
    away = np.abs(found.landmarks - (known.landmarks + shift))
    assert away.max() <= 0.06 * (known.boxes[0, 2] - known.boxes[0, 0])


def test_a_face_that_has_gone_is_not_found_nor_is_none_from_none(nets: Detector) -> None:
    image = faces.collins()
    known = detect.detect(nets, [image], PLAIN)[0]
    patches = detect.patches(image, known.boxes)
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    for other in (noise, np.zeros_like(image)):
        assert len(detect.find_again(nets, other, known.boxes, patches, PLAIN)) == 0
    assert patches.shape == (len(known), 20, 20)
    nobody = detect.find_again(nets, image, known.boxes[:0], patches[:0], PLAIN)
    assert len(nobody) == 0
    assert len(detect.patches(image, known.boxes[:0])) == 0


def test_two_that_find_the_same_face_are_one(nets: Detector) -> None:
    image = faces.collins()
    known = detect.detect(nets, [image], PLAIN)[0].only(np.zeros(2, np.int64))
    patches = detect.patches(image, known.boxes)
    assert len(detect.find_again(nets, image, known.boxes, patches, PLAIN)) == 1


def slowly(outputs: list[Float32], threshold: float) -> list[tuple[float, ...]]:
    """Return score, box and landmarks of each cell above the threshold, cell by cell."""
    found = []
    for stride, maps in zip((8, 16, 32), outputs, strict=True):
        for picture in maps:
            for row in range(picture.shape[1]):
                for column in range(picture.shape[2]):
                    score, dx, dy, wide, high, *marks = picture[:, row, column].tolist()
                    if score >= threshold:
                        x, y = (column + dx) * stride, (row + dy) * stride
                        w, h = np.exp(wide) * stride, np.exp(high) * stride
                        marks = [
                            (m + (row if i % 2 else column)) * stride for i, m in enumerate(marks)
                        ]
                        found.append((score, x - w / 2, y - h / 2, x + w / 2, y + h / 2, *marks))
    return found


def test_cells_become_faces_as_a_slow_loop_has_it(yunets: YuNet) -> None:
    canvas = np.zeros((384, 640, 3), np.uint8)
    canvas[:360] = faces.crowd(3, 360, 640)
    outputs = yunets.whole(canvas[None])
    wanted = np.array(sorted(slowly(outputs, 0.6)))
    found = onepass.find(yunets, [canvas[:360]], DetectSettings(min_face=0.04, min_score=0.6))[0]
    assert len(found) >= 4
    rows = np.concatenate(
        [found.scores[:, None], found.boxes, found.landmarks.reshape(-1, 10)], axis=1
    )
    for row in rows:  # each is one of the cells
        assert np.abs(wanted - row).max(axis=1).min() <= 1e-3
    overlap = geometry.iou(wanted[:, 1:5].astype(np.float32), found.boxes)
    assert np.all(overlap.max(axis=1) > 0.3)  # and no cell is left that none of them covers
    between = geometry.iou(found.boxes, found.boxes) - np.eye(len(found))
    assert between.max() <= 0.3


@pytest.mark.parametrize("height", [180, 360, 1080])
def test_how_large_a_picture_is_does_not_matter(yunets: YuNet, height: int) -> None:
    """The same faces are found at any size of the picture, small ones and one that fills it."""
    for image in (faces.crowd(4, 360, 640), faces.collins()):
        scale = height / image.shape[0]
        sized = np.asarray(cv2.resize(image, None, fx=scale, fy=scale), np.uint8)
        known = detect.detect(yunets, [image], PLAIN)[0]
        found = detect.detect(yunets, [sized], PLAIN)[0]
        wide = known.only(np.flatnonzero(known.widths > 0.07 * image.shape[0]))
        assert len(wide) >= 1
        overlap = geometry.iou(wide.boxes * np.float32(scale), found.boxes)
        assert overlap.max(axis=1).min() >= 0.6


def test_near_a_known_face_the_one_that_is_where_it_should_be_is_found(yunets: YuNet) -> None:
    """Of two faces in a window, the expected one; none if both are elsewhere."""
    image = cv2.resize(faces.collins(), (80, 80), interpolation=cv2.INTER_AREA)
    window = np.zeros((1, 160, 160, 3), np.uint8)
    window[0, 40:120, :80] = image
    window[0, 40:120, 80:] = image[:, ::-1]
    both = detect.detect(yunets, [window[0]], DetectSettings(min_face=0.09))[0]
    assert len(both) == 2
    for box in both.boxes:
        found, owner = onepass.find_near(yunets, window, box[None], PLAIN)
        assert owner.tolist() == [0]
        assert geometry.iou(found.boxes, box[None]) >= 0.7
    away = np.array([[60, 0, 100, 30]], np.float32)
    found, owner = onepass.find_near(yunets, window, away, PLAIN)
    assert len(found) == len(owner) == 0
