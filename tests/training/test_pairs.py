from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from indexer.parallel import Workers
from indexer.records import Float32
from training import pairs
from training.evaluate import hac
from training.evaluate.clustering import clustering
from training.fit import Schedule, fit
from training.methods import tracks
from training.methods.tracks import TrackSettings
from training.pairs import TrackFaces


def at(*degrees: float) -> Float32:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def show(seed: int, people: int = 4, each: int = 8, noise: float = 0.35) -> TrackFaces:
    """Tracks of a few people; light that is the same for all people is the largest difference."""
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


@pytest.mark.parametrize("head", ["mlp", "linear"])
@pytest.mark.parametrize("mining", ["ssiam", "tsiam", "pseudo-rf"])
def test_a_head_is_learnt_the_same_twice(mining: str, head: str, tmp_path: Path) -> None:
    settings = TrackSettings(mining=mining, head=head, steps=4, count=16)  # type: ignore[arg-type]
    found = []
    for name in "ab":
        method = tracks.from_tracks(show(0), settings, seed=1)
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
