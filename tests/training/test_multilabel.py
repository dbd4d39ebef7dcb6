"""The parts of naming several characters: head, method, faces' owners, metrics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from indexer.errors import WeightsError
from indexer.nets.weights import DEFAULT_ENCODER, read_facts
from indexer.parallel import Workers
from indexer.records import Bool, Float64
from training import head as heads
from training.encoders import Trainable
from training.evaluate.multilabel import calibration_error, choose_thresholds, still_metrics
from training.fit import Schedule, fit
from training.head import Head, HeadFacts
from training.methods.multilabel import (
    LinearHead,
    MultiLabelSettings,
    OnCrops,
    OnVectors,
    positive_weights,
)
from training.predict import expanded
from training.still_faces import matched
from training.views import Viewer, ViewSettings

FACTS = HeadFacts("head/1", ("Ada", "Ben"), "e" * 64, (0.4, 0.6), 2.0, -1.0, "max", "")
RNG = np.random.default_rng(0)
shares = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=st.floats(0, 1)
)


def cloud(count: int, classes: int, spread: float = 0.3) -> tuple[np.ndarray, Bool]:
    """Return unit vectors around a direction per class, and around one more for strangers."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(classes + 1, 16)) + 3
    whose = np.arange(count) % (classes + 1)
    rows = centres[whose] + spread * rng.normal(size=(count, 16))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit, whose[:, None] == np.arange(classes)


def test_a_head_can_be_worked_out_by_hand_kept_and_read(tmp_path: Path) -> None:
    weight = np.array([[2, 0], [0, 4]], np.float32)
    head = Head(weight, np.array([0, -1], np.float32), FACTS)
    vectors = np.array([[0.5, 0], [0, 1]], np.float32)
    assert heads.logits(head, vectors).tolist() == [[1, -1], [0, 3]]
    odds = np.exp(2 * np.array([[1, -1], [0, 3]]) - 1.0)
    assert heads.probabilities(head, vectors) == pytest.approx(odds / (1 + odds))
    assert heads.probabilities(head, vectors[:0]).shape == (0, 2)
    kept = heads.save(tmp_path / "new" / "head.safetensors", head)
    read = heads.load(tmp_path / "new" / "head.safetensors", FACTS.encoder_id)
    assert read.facts == kept.facts
    assert (read.weight == weight).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["head.safetensors"]


def test_heads_of_others_damaged_ones_and_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(WeightsError, match="no such file"):
        heads.load(path, FACTS.encoder_id)
    heads.save(path, Head(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), FACTS))
    with pytest.raises(WeightsError, match="another encoder"):
        heads.load(path, "f" * 64)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="digest"):
        heads.load(path, FACTS.encoder_id)
    path.write_bytes(content[:20])
    with pytest.raises(WeightsError, match="not a head of this project"):
        heads.load(path, FACTS.encoder_id)
    with pytest.raises(WeightsError, match="not a head of this project"):
        heads.load(DEFAULT_ENCODER, FACTS.encoder_id)
    with pytest.raises(ValueError, match="expected 2 rows"):
        Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), FACTS)


@settings(deadline=None)
@given(shares, st.data())
def test_pictures_are_as_a_loop_over_their_faces_says(faces: Float64, data: st.DataObject) -> None:
    numbers = st.lists(st.integers(0, 3), min_size=len(faces), max_size=len(faces))
    picture = np.array(data.draw(numbers), np.int64)
    most, noisy = (heads.in_pictures(faces, picture, 4, way) for way in ("max", "noisy-or"))
    for m in range(4):
        largest, nobody = [0.0] * 3, [1.0] * 3
        for row, number in zip(faces, picture, strict=True):
            if number == m:
                largest = [max(a, b) for a, b in zip(largest, row, strict=True)]
                nobody = [a * (1 - b) for a, b in zip(nobody, row, strict=True)]
        assert most[m].tolist() == largest
        assert noisy[m] == pytest.approx([1 - q for q in nobody])
    assert (noisy >= most - 1e-12).all()


@settings(deadline=None)
@given(shares, st.data())
def test_no_threshold_of_a_class_beats_the_chosen_one(p: Float64, data: st.DataObject) -> None:
    so = data.draw(arrays.arrays(np.bool_, p.shape))
    chosen = choose_thresholds(so, p)
    for k, threshold in enumerate(chosen):
        best = max((f1(so[:, k], p[:, k] >= at) for at in p[:, k] if at > 0), default=0.0)
        assert f1(so[:, k], p[:, k] >= threshold) >= best - 1e-12
        if not so[:, k].any():
            assert threshold == 0.5


def f1(so: Bool, said: Bool) -> float:
    hits = float((so & said).sum())
    return 2 * hits / max(1, so.sum() + said.sum())


def test_the_numbers_by_hand() -> None:
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], bool)
    p = np.array([[0.9, 0.1, 0.2], [0.4, 0.8, 0.1], [0.6, 0.2, 0.6], [0.1, 0.7, 0.0]])
    got = still_metrics(truth, p, np.full(3, 0.5))
    assert got.ap[:2] == pytest.approx([(1 + 2 / 3) / 2, 1.0])
    assert np.isnan(got.ap[2])
    assert got.mean_ap == pytest.approx((5 / 6 + 1) / 2)
    assert got.f1 == pytest.approx([0.5, 1.0, 0.0])
    assert got.macro_f1 == pytest.approx(0.75)
    assert got.micro_f1 == pytest.approx(6 / 9)
    assert got.hamming == pytest.approx(3 / 12)
    assert got.support.tolist() == [2, 2, 0]
    assert choose_thresholds(truth, p).tolist() == pytest.approx([0.325, 0.5, 0.5])
    with pytest.raises(ValueError, match="expected"):
        still_metrics(truth[:0], p[:0], np.full(3, 0.5))


def test_calibration_error_is_nothing_for_certainties_that_are_right_and_a_third_by_hand() -> None:
    so = np.array([True, False, False])
    assert calibration_error(so, so.astype(np.float64)) == 0
    assert calibration_error(so, np.full(3, 2 / 3)) == pytest.approx(1 / 3)
    assert calibration_error(so[:0], np.zeros(0)) == 0


def test_rare_classes_weigh_more() -> None:
    targets = np.array([[1, 0], [1, 0], [0, 0], [0, 1], [0, 0]], bool)
    assert positive_weights(targets, 1.0).tolist() == [1.5, 4.0]
    assert positive_weights(targets, 0.0).tolist() == [1.0, 1.0]
    assert positive_weights(np.zeros((3, 1), bool), 1.0).tolist() == [2.0]


def test_a_folded_head_does_the_same_to_vectors_as_they_are() -> None:
    vectors, targets = cloud(40, 3)
    module = LinearHead(vectors, targets)
    weight, bias = module.folded()
    with torch.no_grad():
        expected = module(torch.from_numpy(vectors)).numpy()
    assert vectors @ weight.T + bias == pytest.approx(expected, abs=1e-3)


def test_training_on_vectors_names_the_classes_and_no_stranger(tmp_path: Path) -> None:
    vectors, targets = cloud(80, 3)
    seen: list[float] = []

    def probe(logits: object) -> dict[str, float]:
        assert callable(logits)
        seen.append(float(np.mean((logits(vectors) > 0) == targets)))
        return {"right": seen[-1]}

    module = LinearHead(vectors, targets)
    method = OnVectors(module, vectors[None], targets, MultiLabelSettings(together=16), probe)
    with Workers(1) as workers:
        fit(method, Schedule(8, 0.02), tmp_path / "run", torch.device("cpu"), workers)
    weight, bias = module.folded()
    assert ((vectors @ weight.T + bias > 0) == targets).all()
    assert len(seen) == 9


def test_training_on_crops_moves_encoder_and_head(tmp_path: Path) -> None:
    facts = dataclasses.replace(read_facts(DEFAULT_ENCODER), input_size=8, dimension=16)
    encoder = Trainable(nn.Sequential(nn.Flatten(), nn.Linear(192, 16)), facts)
    vectors, targets = cloud(12, 2)
    module = nn.ModuleDict({"encoder": encoder.module, "head": LinearHead(vectors, targets)})
    before = {name: value.clone() for name, value in module.state_dict().items()}
    method = OnCrops(
        encoder=encoder,
        module=module,
        chips=RNG.integers(0, 256, (12, 10, 10, 3), np.uint8),
        targets=targets,
        settings=MultiLabelSettings(together=4, encoder_rate=1.0),
        viewer=Viewer(8, (np.array(facts.template) * 8 / 112).astype(np.float32)),
        views=ViewSettings(),
        probe=lambda now, logits: {"shape": float(logits(vectors).shape[1])},
    )
    schedule = Schedule(2, 0.01, keep="last")
    with Workers(2) as workers:
        fitted = fit(method, schedule, tmp_path / "run", torch.device("cpu"), workers)
    after = module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"encoder.1.weight", "head.linear.weight"} <= moved
    assert "head.centre" not in moved
    assert fitted.history[-1]["shape"] == 2


def test_a_face_is_of_whom_its_box_fits_best_and_of_nobody_otherwise() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], np.float32)
    annotated = np.array([[1, 1, 11, 11], [100, 0, 110, 10]], np.float32)
    classes = np.array([7, 3])
    assert matched(boxes, annotated, classes).tolist() == [-1, 7, -1]
    assert matched(boxes[:0], annotated, classes).tolist() == []
    assert matched(boxes, annotated[:0], classes[:0]).tolist() == [-1, -1, -1]


def test_a_grown_box_stays_within_the_picture() -> None:
    boxes = np.array([[10, 10, 20, 30], [-5, 0, 5, 50], [70, 0, 90, 10]], np.float32)
    grown = expanded(boxes, 0.5, 60, 50)
    assert grown.tolist() == [[5, 0, 25, 40], [0, 0, 10, 50], [60, 0, 60, 15]]
    assert expanded(boxes[:0], 0.5, 60, 50).shape == (0, 4)
