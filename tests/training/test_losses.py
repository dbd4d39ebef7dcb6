"""Each loss against its paper's formula, written out over vectors given by their angles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import nn

from indexer.errors import ConfigError
from indexer.nets import weights
from indexer.records import Float32, Int64
from tests.training.test_batches import faces
from training.encoders import Trainable
from training.methods import arcface, contrastive, distil, landmarks
from training.methods.arcface import ArcFace, ArcFaceSettings
from training.methods.contrastive import Contrastive, ContrastiveSettings
from training.methods.distil import Distil, DistilSettings
from training.methods.siamese import Siamese, SiameseSettings
from training.methods.simclr import SimClr, SimClrSettings
from training.methods.tracks import FromTracks, TrackSettings
from training.methods.whitening import Whitening
from training.pairs import Pairs, TrackFaces
from training.views import Viewer, ViewSettings

CPU = torch.device("cpu")
FACTS = weights.read_facts(weights.DEFAULT_ENCODER)
SIZE = FACTS.input_size
VIEWER = Viewer(SIZE, np.array(FACTS.template, np.float32))
SOME = faces(np.zeros(1, np.int64))
ANGLES = st.lists(st.integers(0, 359), min_size=4, max_size=4, unique=True)


class Given(nn.Module):
    """Returns the same vectors for any input."""

    def __init__(self, rows: Float32) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.from_numpy(rows))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return self.rows[: len(seen)]

    def features(self, seen: torch.Tensor) -> torch.Tensor:
        return self.rows[: len(seen)]

    def strayed(self) -> torch.Tensor:
        return torch.zeros(())


def at(*degrees: float, length: float = 1.0) -> Float32:
    """Return vectors of the plane, given by their angles."""
    turns = np.radians(degrees)
    return (length * np.stack([np.cos(turns), np.sin(turns)], axis=1)).astype(np.float32)


def crops(count: int) -> np.ndarray:
    return np.zeros((count, SIZE, SIZE, 3), np.uint8)


def encoder(rows: Float32) -> Trainable:
    return Trainable(Given(rows), FACTS)


def probe(_: Trainable) -> dict[str, float]:
    return {}


def cosine(first: float, second: float) -> float:
    return math.cos(math.radians(first - second))


def distance(first: float, second: float) -> float:
    return math.sqrt(max(0.0, 2 - 2 * cosine(first, second)))


def simclr_loss(degrees: Sequence[float], temperature: float) -> float:
    rows = encoder(at(*degrees, length=3.0))  # NT-Xent depends on directions only
    how = SimClrSettings(temperature=temperature)
    method = SimClr(rows, rows.module, SOME, how, VIEWER, ViewSettings(), 0, probe)
    return method.loss(crops(len(degrees)), CPU).item()


@given(ANGLES, st.floats(0.1, 2))
def test_simclr_pairs_the_two_views_of_each_face(degrees: list[int], temperature: float) -> None:
    total = 0.0
    for i, own in enumerate(degrees):
        partner = (i + 2) % 4  # rows are all first views, then all second ones
        terms = {
            j: math.exp(cosine(own, other) / temperature)
            for j, other in enumerate(degrees)
            if j != i
        }
        total -= math.log(terms[partner] / sum(terms.values()))
    found = simclr_loss(degrees, temperature)
    assert found == pytest.approx(total / 4, rel=1e-3, abs=1e-4)


@given(ANGLES, st.floats(0.2, 1.9))
def test_siamese_pulls_pairs_of_one_and_pushes_pairs_of_two(
    degrees: list[int], margin: float
) -> None:
    gaps = [abs(distance(one, other) - margin) for one in degrees[:2] for other in degrees[2:]]
    assume(min(gaps) > 1e-3)  # at the margin, rounding says whether a pair counts
    people: Int64 = np.array([0, 0, 1, 1])
    method = Siamese(
        encoder(at(*degrees, length=2.0)),
        SOME,
        SiameseSettings(margin=margin),
        VIEWER,
        ViewSettings(),
        probe,
    )
    near: list[float] = []
    far: list[float] = []
    for i in range(4):
        for j in range(4):
            if i != j:
                apart = distance(degrees[i], degrees[j])
                (near if people[i] == people[j] else far).append(
                    apart if people[i] == people[j] else max(0.0, margin - apart)
                )
    # The library's mean is over the pairs with a loss above 0.
    wanted = sum(
        np.mean(losing) for some in (near, far) if (losing := [one for one in some if one > 1e-4])
    )
    found = method.loss((crops(4), people), CPU).item()
    assert found == pytest.approx(wanted, rel=2e-2, abs=2e-3)


def arcface_of(degrees: Sequence[float], directions: Sequence[float], **how: float) -> ArcFace:
    settings = ArcFaceSettings(**how)  # type: ignore[arg-type]
    loss = ArcFaceLoss(len(directions), 2, margin=settings.margin, scale=settings.scale)
    with torch.no_grad():
        loss.W.copy_(torch.from_numpy(at(*directions).T))
    rows = encoder(at(*degrees, length=5.0))
    return ArcFace(rows, loss, SOME, settings, VIEWER, ViewSettings(), probe)


@given(st.floats(0, 150), st.floats(0, 360))
def test_arcface_adds_the_margin_to_the_angle(own: float, turn: float) -> None:
    method = arcface_of([turn + own], [turn, turn + 180], margin=10.0, scale=8.0)
    batch = arcface.Batch(crops(1), np.array([0]), plain=False)
    right, wrong = math.exp(8 * cosine(own + 10, 0)), math.exp(8 * cosine(own, 180))
    wanted = -math.log(right / (right + wrong))
    assert method.loss(batch, CPU).item() == pytest.approx(wanted, rel=5e-3, abs=1e-4)


@given(st.floats(0, 360), st.floats(0, 0.5))
def test_before_the_margin_comes_cross_entropy_with_smoothed_labels(
    own: float, smoothing: float
) -> None:
    method = arcface_of([own], [0, 120, 240], scale=4.0, smoothing=smoothing)
    batch = arcface.Batch(crops(1), np.array([1]), plain=True)
    logits = [4 * cosine(own, direction) for direction in (0, 120, 240)]
    logs = [one - math.log(sum(map(math.exp, logits))) for one in logits]
    wanted = -sum((1 - smoothing) * (i == 1) * v + smoothing / 3 * v for i, v in enumerate(logs))
    assert method.loss(batch, CPU).item() == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@given(ANGLES, ANGLES, st.floats(0.1, 1.5), st.floats(0, 2))
def test_contrastive_holds_distorted_faces_against_clean_ones(
    distorted: list[int], anchors: list[int], margin: float, itself: float
) -> None:
    clean = [angle + 7 for angle in distorted]
    settings = ContrastiveSettings(margin=margin, itself=itself)
    rows = encoder(at(*distorted, length=0.5))
    method = Contrastive(rows, SOME, at(0), settings, VIEWER, ViewSettings(), probe)
    batch = contrastive.Batch(crops(4), at(*clean), at(*anchors))
    total = 0.0
    for i, own in enumerate(distorted):
        nearest = min(distance(own, other) for j, other in enumerate(anchors) if j != i)
        total += distance(own, anchors[i]) ** 2 + max(0.0, margin - nearest) ** 2
        total += itself * distance(own, clean[i]) ** 2
    assert method.loss(batch, CPU).item() == pytest.approx(total / 4, rel=5e-3, abs=5e-3)


@given(ANGLES, st.lists(st.booleans(), min_size=3, max_size=3))
def test_heads_of_tracks_weigh_both_kinds_of_pair_alike(
    degrees: list[int], same: list[bool]
) -> None:
    vectors = at(*degrees)
    shown = TrackFaces(vectors, np.arange(4), np.zeros((4, 4), bool))
    pairs = Pairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array(same))

    def mine(_: int, __: np.random.Generator) -> Pairs:
        return pairs

    class Same(Given):
        def forward(self, seen: torch.Tensor) -> torch.Tensor:
            return seen

    module = Same(vectors)
    method = FromTracks(module, shown, TrackSettings(margin=1.2), mine)  # type: ignore[arg-type]
    apart = [distance(degrees[i], degrees[i + 1]) for i in range(3)]
    pull = [d**2 for d, alike in zip(apart, same, strict=True) if alike]
    push = [max(0.0, 1.2 - d) ** 2 for d, alike in zip(apart, same, strict=True) if not alike]
    wanted = sum(np.mean(some) for some in (pull, push) if some)
    assert method.loss(pairs, CPU).item() == pytest.approx(wanted, rel=1e-3, abs=1e-3)


@given(st.floats(-50, 50), st.floats(1, 20), st.floats(0.1, 5))
def test_wing_is_a_logarithm_near_zero_and_l1_from_its_width_on(
    error: float, width: float, curvature: float
) -> None:
    found = float(landmarks.wing(torch.tensor(error, dtype=torch.float64), width, curvature))
    shift = width - width * math.log(1 + width / curvature)
    size = abs(error)
    wanted = width * math.log(1 + size / curvature) if size < width else size - shift
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    edge = torch.tensor([width * (1 - 1e-9), width], dtype=torch.float64)
    below, on = landmarks.wing(edge, width, curvature).tolist()
    assert below == pytest.approx(on, rel=1e-6)  # continuous where the two parts meet


def test_points_are_off_by_distances_of_the_eyes() -> None:
    true = np.array([[[0, 0], [2, 0], [1, 1], [0, 2], [2, 2]]], np.float32)
    moved = true + np.array([0, 1], np.float32)
    assert landmarks.error_by_eyes(moved, true).tolist() == pytest.approx([0.5])
    assert landmarks.error_by_eyes(true, true).tolist() == [0]


@pytest.mark.parametrize("precision", [torch.bfloat16])
def test_losses_are_exact_where_the_forward_pass_is_rounded(precision: torch.dtype) -> None:
    method = arcface_of([31.0], [0, 40, 80], margin=10.0, scale=48.0)
    batch = arcface.Batch(crops(1), np.array([1]), plain=False)
    exact = method.loss(batch, CPU).item()
    with torch.autocast("cpu", dtype=precision):
        assert method.loss(batch, CPU).item() == pytest.approx(exact, rel=1e-5)
        rounded = at(31.0) @ at(40.0).T
        assert rounded.shape == (1, 1)


class Turned(nn.Module):
    """Returns the first pixel, which is another one in a mirror image."""

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return seen[:, :2, 0, 0]


@given(ANGLES, st.floats(0.05, 1), st.floats(0, 2))
def test_distil_holds_views_against_what_the_teacher_says_of_clean_faces(
    views: Sequence[int], temperature: float, apart: float
) -> None:
    clean = np.random.default_rng(views[0]).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    weight = np.array([[2, 1], [0, 1]], np.float32)
    bias = np.array([0.1, -0.2], np.float32)
    method = Distil(
        Trainable(Given(at(*views, length=3)), FACTS),
        Trainable(Turned(), FACTS),
        Whitening(weight, bias),
        SOME,
        DistilSettings(temperature=temperature, apart=apart),
        VIEWER,
        ViewSettings(),
        0,
        lambda _: {},
    )
    loss = method.loss(distil.Batch(clean, clean), CPU).item()

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    levels = (clean.astype(np.float64) - FACTS.mean) / FACTS.std
    goal = unit(unit(levels[:, 0, 0, :2]) + unit(levels[:, 0, -1, :2]))
    compared = [unit(rows @ weight.T + bias) for rows in (at(*views).astype(np.float64), goal)]
    cosines = compared[0] @ compared[1].T
    told = [math.log(sum(math.exp(c / temperature) for c in row)) for row in cosines]
    told = [total - cosines[i, i] / temperature for i, total in enumerate(told)]
    wanted = np.mean(1 - cosines.diagonal()) + apart * np.mean(told)
    assert loss == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    with pytest.raises(ValueError, match="taught: expected what is said of each face"):
        replace(method, taught=goal.astype(np.float32))  # some are blended
    taught = distil.Batch(clean, clean, goal.astype(np.float32))
    assert method.loss(taught, CPU).item() == pytest.approx(loss, rel=1e-3, abs=1e-4)


class WithMaps(nn.Module):
    """An encoder whose maps are its input times a number; its head returns their first place."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.first, self.head = nn.Parameter(torch.tensor(times)), Turned()
        self.head.register_parameter("last", nn.Parameter(torch.zeros(3)))

    def maps(self, seen: torch.Tensor) -> torch.Tensor:
        return self.first * seen

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.head(self.maps(seen))
        return vectors


AS_IT_IS = Whitening(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))


TEACHERS = replace(FACTS, mean=(100.0, 120.0, 140.0), std=(50.0, 60.0, 70.0))
"""Facts of a teacher whose input has another normalisation."""


def with_maps(times: float, how: DistilSettings, count: int = 2) -> Distil:
    module, teacher = Trainable(WithMaps(times), FACTS), Trainable(WithMaps(1.0), TEACHERS)
    side = SIZE + 20
    chips = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    some = replace(faces(np.arange(count)), chips=chips)
    views = ViewSettings(flip=1, turn=0, scale=0, shift=0, light=0, colour=0, grey=0, distorted=0)
    return Distil(module, teacher, AS_IT_IS, some, how, VIEWER, views, 0, lambda _: {})


@given(st.floats(0.5, 2), st.floats(0.1, 3), st.integers(0, 99))
def test_distil_weighs_what_the_maps_of_clean_faces_do_not_explain(
    times: float, weight: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clean, views, placed = rng.integers(0, 256, (3, 4, SIZE, SIZE, 3), dtype=np.uint8)
    method = with_maps(times, DistilSettings(maps=weight))
    loss = method.loss(distil.Batch(clean, views, placed=placed), CPU).item()
    without = with_maps(times, DistilSettings()).loss(distil.Batch(clean, views), CPU).item()
    seen = (views.astype(np.float64) - FACTS.mean) / FACTS.std
    wanted = (placed.astype(np.float64) - TEACHERS.mean) / TEACHERS.std
    missed = ((times * seen - wanted) ** 2).mean(axis=0).sum()
    share = missed / wanted.var(axis=0, ddof=1).sum()
    assert loss == pytest.approx(without + weight * share, rel=1e-3, abs=1e-4)


def test_maps_that_are_compiled_teach_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Callable[..., object]] = []

    def compile_(function: Callable[..., object]) -> Callable[..., object]:
        compiled.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    levels = np.random.default_rng(0).integers(0, 256, (3, 4, SIZE, SIZE, 3), dtype=np.uint8)
    batch = distil.Batch(levels[0], levels[1], placed=levels[2])
    plainly = with_maps(0.7, DistilSettings(maps=1.0)).loss(batch, CPU)
    assert not compiled
    method = with_maps(0.7, DistilSettings(maps=1.0, compiled=True))
    assert [method.loss(batch, CPU).item() for _ in range(2)] == [plainly.item()] * 2
    assert compiled == [method.encoder.module.maps]


def test_with_maps_a_batch_has_each_view_and_the_face_in_its_place_mirrored_alike() -> None:
    method = with_maps(1.0, DistilSettings(batch=2, blended=0.0, maps=1.0))
    batch = method.batch(0, 0, np.random.default_rng(0))
    assert batch.placed is not None
    assert np.array_equal(batch.views, batch.placed)
    assert np.array_equal(batch.placed, batch.clean[:, :, ::-1])
    assert (
        with_maps(1.0, DistilSettings(batch=2)).batch(0, 0, np.random.default_rng(0)).placed is None
    )


def test_of_one_face_maps_are_refused() -> None:
    faces = with_maps(1.0, DistilSettings(maps=0.0), count=1).faces
    with pytest.raises(ConfigError, match="there is only one to train on"):
        distil.require_others(faces, DistilSettings(maps=1.0))
    distil.require_others(faces, DistilSettings(maps=0.0))


@given(st.integers(2, 8), st.integers(0, 99))
def test_the_same_is_explained_and_a_mean_explains_nothing(rows: int, seed: int) -> None:
    wanted = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, 3, 2)))
    assert distil.unexplained(wanted, wanted).item() == 0
    mean = wanted.mean(dim=0).expand_as(wanted)
    assert distil.unexplained(mean, wanted).item() == pytest.approx((rows - 1) / rows, rel=1e-5)


def test_a_head_learns_as_fast_as_asked() -> None:
    def rates(head_rate: float) -> list[tuple[int, float]]:
        method = with_maps(1.0, DistilSettings(head_rate=head_rate))
        distil.prepare(method.module, method.settings)
        return [(sum(one.numel() for one in some), rate) for some, rate in method.groups()]

    assert rates(1.0) == [(4, 1.0)]
    assert rates(0.25) == [(1, 1.0), (3, 0.25)]
    assert rates(0.0) == [(1, 1.0)]


def test_a_blend_lies_between_two_faces() -> None:
    one, other = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 3), 100, np.uint8)
    assert distil.blend(one, other, 0.3).tolist() == np.full((2, 2, 3), 130).tolist()
    assert distil.blend(one, other, 1.0).tolist() == one.tolist()
