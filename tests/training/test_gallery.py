from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from indexer.records import Float32, UInt8
from tests.training.test_batches import faces
from training.evaluate import encoders, gallery
from training.views import DISTORTIONS


def at(*degrees: float) -> Float32:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_top1_by_hand() -> None:
    assert gallery.top1(at(0, 90, 180), at(10, 100, 100)) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="expected a query or more"):
        gallery.top1(at(), at())


def test_queries_are_two_faces_of_one_person_each() -> None:
    people = np.array([0, 1, 1, 2, 2, 2])
    chosen = gallery.queries(faces(people), seed=1)
    assert sorted(people[chosen.gallery].tolist()) == [1, 2]
    assert np.array_equal(people[chosen.gallery], people[chosen.query])
    assert np.all(chosen.gallery != chosen.query)
    assert len(gallery.queries(faces(people), seed=1, most=1).query) == 1
    assert len(gallery.queries(faces(people[:2]), seed=1).query) == 0


def test_every_distortion_is_looked_for_and_seen_alike_by_all() -> None:
    shown: list[UInt8] = []

    def by_brightness(crops: UInt8) -> Float32:
        shown.append(crops.copy())
        return at(*(crops.mean(axis=(1, 2, 3)) / 3))

    some = faces(np.array([0, 0, 1, 1]))
    some.chips[:2], some.chips[2:] = 60, 180
    chosen = gallery.queries(some, 0)
    for _ in range(2):
        found = gallery.distorted_top1(by_brightness, some, chosen, 4, 0, (1,))
    assert list(found) == ["clean", *DISTORTIONS]
    assert found["clean"] == found["noise"] == [1.0]
    half = len(shown) // 2
    assert all(np.array_equal(a, b) for a, b in zip(shown[:half], shown[half:], strict=True))
    assert gallery.error({"clean": [0.0], "blur": [1.0, 0.5], "fog": [0.0, 0.5]}) == 0.5


def test_sunglasses_cover_the_eyes_and_count_only_when_asked_for() -> None:
    shown: list[UInt8] = []

    def seen(crops: UInt8) -> Float32:
        shown.append(crops.copy())
        return at(*(crops.mean(axis=(1, 2, 3)) / 3))

    some = faces(np.array([0, 0, 1, 1]), side=24)
    some.chips[:2], some.chips[2:] = 150, 240
    some.landmarks[:] = np.array([(8, 8), (16, 8), (12, 12), (9, 16), (15, 16)])
    chosen = gallery.queries(some, 0)
    assert gallery.sunglasses_top1(seen, some, chosen, 20, 0, (1, 5)) == [1.0, 1.0]
    clean, slight, severe = shown
    assert clean.shape == (2, 20, 20, 3)
    for eye in (6, 14):  # the encoder does not see the border of two pixels
        darkness = [pictures[:, 6, eye].mean() for pictures in (clean, slight, severe)]
        assert darkness == sorted(darkness, reverse=True)
        assert np.array_equal(severe[:, 14:], clean[:, 14:])
    found = {"clean": [0.0], "blur": [1.0, 0.5], gallery.SUNGLASSES: [0.0, 0.0]}
    assert gallery.error(found) == 0.25
    assert gallery.error(found, sunglasses=True) == 0.625


COSINES = hnp.arrays(np.float32, 20, elements=st.floats(-1, 1, width=32))


@given(COSINES, st.floats(0, 2))
def test_accepting_as_one_would_count(similarities: Float32, at_distance: float) -> None:
    same = np.arange(20) % 3 == 0
    found = encoders.accepting(similarities, same, at_distance)
    pairs = [
        (np.sqrt(2 - 2 * c) <= at_distance, s) for c, s in zip(similarities, same, strict=True)
    ]
    hits = sum(1 for accepted, is_same in pairs if accepted and is_same)
    taken = sum(1 for accepted, _ in pairs if accepted)
    assert found.accuracy == pytest.approx(np.mean([a == s for a, s in pairs]))
    assert found.precision == pytest.approx(hits / taken if taken else 1.0)
    assert found.recall == pytest.approx(hits / same.sum())


def test_distances_and_neighbours_by_hand() -> None:
    assert encoders.distance(1.0) == 0
    assert encoders.distance(0.0) == pytest.approx(np.sqrt(2))
    assert encoders.distance(-1.0) == pytest.approx(2)
    assert encoders.nearest(at(0, 5, 90, 100, 12), np.array([0, 0, 1, 1, 1])) == 0.8


def test_clusters_are_as_many_as_people() -> None:
    found = encoders.clustered(at(0, 2, 90, 92, 180, 4), np.array([5, 5, 7, 7, 9, 9]))
    assert (found.predicted, found.true) == (3, 3)
    assert found.wcp == pytest.approx(5 / 6)


def test_an_encoder_is_judged_by_narrow_faces_too() -> None:
    """Each person has one striped row of pixels; narrow faces lose the stripes."""
    some = faces(np.repeat(np.arange(8), 4), side=24)
    some.landmarks[:] = np.array([(8, 8), (16, 8), (12, 12), (9, 16), (15, 16)])
    some.chips[:] = 100
    for person in range(8):
        some.chips[some.people == person, person + 8, 2::2] = 220

    def rows(crops: UInt8) -> Float32:
        busy = np.abs(np.diff(crops[..., 0].astype(np.float32), axis=2)).mean(axis=2) + 1e-3
        return (busy / np.linalg.norm(busy, axis=1, keepdims=True)).astype(np.float32)

    sample = encoders.Sample(people=8, severities=(1,), widths=(2, 15))
    found = encoders.assess(rows, some, some, 20, sample)
    assert found.tpr_at_1_percent == found.clusters.wcp == found.clusters.f1 == 1
    assert list(found.tpr_by_width) == [2, 15]
    assert found.tpr_by_width[2] < found.tpr_by_width[15]
    assert list(found.top1) == ["clean", *DISTORTIONS, gallery.SUNGLASSES]
