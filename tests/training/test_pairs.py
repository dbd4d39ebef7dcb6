from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from indexer.parallel import Workers
from indexer.records import Float32
from training import pairs
from training.bench import tracks as bench
from training.evaluate import hac
from training.evaluate.clustering import clustering
from training.fit import Schedule, fit
from training.methods import tracks
from training.methods.tracks import Linear, TrackSettings
from training.methods.whitening import whitening
from training.pairs import TrackFaces


def at(*degrees: float) -> Float32:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def show(seed: int, people: int = 4, each: int = 8, noise: float = 0.35) -> TrackFaces:
    """Tracks of a few people; they differ most by light, along one direction for all people."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 16))
    light = rng.normal(size=16)
    of_track = np.repeat(np.arange(people), each)
    rows = [
        centres[who] + rng.normal() * light + noise * rng.normal(size=(5, 16)) for who in of_track
    ]
    vectors = np.concatenate(rows).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    together = np.zeros((len(of_track),) * 2, bool)
    for _ in range(3 * len(of_track)):
        one, other = rng.integers(len(of_track), size=2)
        if of_track[one] != of_track[other]:
            together[one, other] = together[other, one] = True
    return TrackFaces(vectors, np.repeat(np.arange(len(of_track)), 5), together)


def tied(seed: int, people: int = 4, each: int = 8, noise: float = 0.35) -> TrackFaces:
    """Return `show` with each track tied to the next one of its person."""
    next_one = np.arange(people * each).reshape(people, each)
    ties = np.stack([next_one[:, :-1].ravel(), next_one[:, 1:].ravel()], axis=1)
    return replace(show(seed, people, each, noise), ties=ties)


@given(st.integers(0, 40), st.integers(3, 30))
def test_ranking_as_the_paper_words_it(seed: int, subset: int) -> None:
    vectors = show(seed).vectors
    found = pairs.by_ranking(vectors, subset, 4, np.random.default_rng(seed))
    inside = np.random.default_rng(seed).permutation(len(vectors))[:subset]
    nearest, farthest = [], []
    for one in inside:
        apart = sorted((1 - float(vectors[one] @ vectors[o]), int(o)) for o in inside if o != one)
        nearest.append(apart[0][0])
        farthest.append(apart[-1][0])
    distances = 1 - np.sum(vectors[found.first] * vectors[found.second], axis=1)
    assert distances[found.same] == pytest.approx(sorted(nearest)[::-1][:4], abs=1e-5)
    assert distances[~found.same] == pytest.approx(sorted(farthest)[:4], abs=1e-5)


@given(st.integers(0, 40))
def test_pairs_by_tracks_keep_to_the_tracks(seed: int) -> None:
    faces = show(seed)
    rivals = pairs.others(faces, farthest=3)
    found = pairs.by_tracks(faces, rivals, np.arange(20), np.random.default_rng(seed))
    one, other = faces.track[found.first], faces.track[found.second]
    assert np.array_equal(one == other, found.same)
    assert np.all(found.first != found.second)
    assert np.all(rivals.allowed[one[~found.same], other[~found.same]])
    assert found.same.sum() == 2 * 20
    assert (~found.same).sum() == 4 * 20


def test_others_by_hand() -> None:
    together = np.zeros((4, 4), bool)
    together[0, 1] = together[1, 0] = True
    faces = TrackFaces(at(0, 20, 100, 180), np.arange(4), together)
    allowed = pairs.others(faces, farthest=1).allowed
    assert allowed.tolist() == [
        [False, True, False, False],
        [True, False, False, False],
        [True, False, False, False],
        [True, False, False, False],
    ]


def test_means_and_refusals() -> None:
    faces = TrackFaces(at(0, 90, 45), np.array([0, 0, 1]), np.zeros((2, 2), bool))
    assert faces.means() == pytest.approx(np.array([[0.5, 0.5], [0.5**0.5, 0.5**0.5]]))
    with pytest.raises(ValueError, match="rise"):
        TrackFaces(at(0, 1), np.array([1, 0]), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="all of 0 to 1"):
        TrackFaces(at(0, 1), np.array([0, 0]), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="ties: expected pairs of 0 to 1"):
        TrackFaces(at(0, 1), np.arange(2), np.zeros((2, 2), bool), np.array([[0, 2]]))
    with pytest.raises(ValueError, match="three faces"):
        tracks.from_tracks(
            TrackFaces(at(0, 1), np.arange(2), np.zeros((2, 2), bool)), TrackSettings(), 0
        )


def test_nobody_asks_and_nobody_answers() -> None:
    faces = TrackFaces(at(0), np.zeros(1, np.int64), np.zeros((1, 1), bool))
    found = pairs.by_tracks(
        faces, pairs.others(faces), np.zeros(1, np.int64), np.random.default_rng(0)
    )
    assert len(found.first) == 0
    assert len(pairs.by_ties(faces, 8, np.random.default_rng(0)).first) == 0


def test_pairs_by_ties_are_faces_of_tied_tracks() -> None:
    faces = tied(2)
    found = pairs.by_ties(faces, 4000, np.random.default_rng(0))
    tracks_of = np.stack([faces.track[found.first], faces.track[found.second]], axis=1)
    assert np.array_equal(np.unique(tracks_of, axis=0), np.unique(faces.ties, axis=0))
    assert np.all(found.same)
    assert {*found.first, *found.second} == set(range(len(faces.vectors)))


@pytest.mark.parametrize("head", ["mlp", "linear", "tied"])
@pytest.mark.parametrize("mining", ["ssiam", "tsiam", "pseudo-rf"])
def test_a_head_is_learnt_the_same_twice(mining: str, head: str, tmp_path: Path) -> None:
    settings = TrackSettings(mining=mining, head=head, steps=4, count=16)  # type: ignore[arg-type]
    found = []
    for name in "ab":
        method = tracks.from_tracks(tied(0), settings, seed=1)
        with Workers(2) as workers:
            schedule = Schedule(epochs=2, learning_rate=1e-2, keep="last")
            done = fit(method, schedule, tmp_path / name, torch.device("cpu"), workers)
        found.append(tracks.features(method.module, method.faces.vectors))
    assert done.history[2]["loss"] < done.history[1]["loss"] * 1.5
    assert np.array_equal(found[0], found[1])


def test_tracks_teach_what_does_not_matter(tmp_path: Path) -> None:
    faces, people = show(3, noise=0.5), np.repeat(np.arange(4), 8)
    before = clustering(people, hac.into(4, faces.means()))
    settings = TrackSettings(mining="tsiam", head="linear", stay=0.01)
    method = tracks.from_tracks(faces, settings, seed=0)
    with Workers(1) as workers:
        schedule = Schedule(epochs=10, learning_rate=1e-2, keep="last")
        fit(method, schedule, tmp_path / "checkpoint", torch.device("cpu"), workers)
    means = faces.means(tracks.features(method.module, faces.vectors))
    after = clustering(people, hac.into(4, means))
    assert after.wcp > before.wcp or after.wcp == 1


def test_the_number_of_people_is_found_where_it_is_plain() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    features = np.repeat(centres, 6, axis=0) + rng.normal(size=(18, 2))
    assert hac.estimated(features.astype(np.float32)) == 3
    assert hac.estimated(features[:1].astype(np.float32)) == 1
    assert hac.into(1, features[:1].astype(np.float32)).tolist() == [0]


def test_a_tied_head_begins_as_what_evens_out_ties() -> None:
    """Untrained, it is the closed-form whitening; without ties, the identity."""
    faces = tied(5)
    settings = TrackSettings(mining="tsiam", head="tied")
    module = tracks.from_tracks(faces, settings, seed=0).module
    even = whitening(faces.means(), faces.ties)
    assert np.allclose(tracks.features(module, faces.vectors), even(faces.vectors), atol=1e-5)
    weight, bias, _ = module.applied()
    assert np.allclose(weight, even.weight, atol=1e-6)
    assert np.allclose(bias, even.bias, atol=1e-6)
    module = tracks.from_tracks(show(5), settings, seed=0).module
    assert np.allclose(tracks.features(module, faces.vectors), faces.vectors, atol=1e-6)


@pytest.mark.parametrize("mining", ["ssiam", "tsiam"])
def test_a_tied_head_is_shown_pairs_of_tied_tracks(mining: str) -> None:
    faces = tied(4)
    settings = TrackSettings(mining=mining, head="tied", count=16)  # type: ignore[arg-type]
    found = tracks.from_tracks(faces, settings, seed=0).batch(0, 0, np.random.default_rng(0))
    last = slice(-2 * settings.count, None)
    pairs_of = np.stack([faces.track[found.first[last]], faces.track[found.second[last]]], axis=1)
    ties = {tuple(one) for one in faces.ties.tolist()}
    assert {tuple(one) for one in pairs_of.tolist()} <= ties
    assert found.same[last].all()
    plain = replace(settings, head="linear")
    usual = tracks.from_tracks(faces, plain, seed=0).batch(0, 0, np.random.default_rng(0))
    assert len(found.same) == len(usual.same) + 2 * settings.count


@pytest.mark.parametrize("mining", ["ssiam", "tsiam"])
def test_ties_teach_what_tracks_cannot(mining: str, tmp_path: Path) -> None:
    """Light is constant within a track, so tracks alone do not teach that it is irrelevant."""
    faces, people = tied(3, noise=0.5), np.repeat(np.arange(4), 8)
    found = {}
    for head in ("linear", "tied"):
        settings = TrackSettings(mining=mining, head=head, stay=0.1)  # type: ignore[arg-type]
        method = tracks.from_tracks(faces, settings, seed=0)
        with Workers(1) as workers:
            schedule = Schedule(epochs=2, learning_rate=1e-3, keep="last")
            fit(method, schedule, tmp_path / head, torch.device("cpu"), workers)
        assert isinstance(method.module, Linear)
        means = faces.means(tracks.features(method.module, faces.vectors))
        found[head] = clustering(people, hac.into(4, means)).wcp
    assert found["tied"] > found["linear"] + 0.1


def test_gains_are_over_the_base_and_by_episode() -> None:
    """Two episodes and two seeds, with means worked out by hand."""

    def reached(*wcp: float) -> list[bench.Outcome]:
        people = clustering(np.arange(2), np.arange(2))
        known = [replace(people, wcp=one) for one in wcp]
        return [bench.Outcome(one, people, people, 3.0 + n) for n, one in enumerate(known)]

    found = {
        "base": {"a": reached(0.8), "b": reached(0.9)},
        "TSiam": {"a": reached(0.9, 0.86), "b": reached(0.9, 0.88)},
    }
    base, ours = bench.gains(found)
    assert base == ["base", "0.850", "+0.0 ± 0.0", "+0.0 to +0.0", "0 of 2", "0.0", "3.0"]
    assert ours == ["TSiam", "0.885", "+3.5 ± 4.5", "-1.0 to +8.0", "1 of 2", "2.0", "4.0"]
