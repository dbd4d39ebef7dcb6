"""A head learnt from unlabelled pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.nets import head as heads
from indexer.records import Line
from training.__main__ import main
from training.fit_tracks import ENOUGH, Gathered, held_out, judge, learn


def _show(people: int, seed: int) -> Gathered:
    """People seen twice each, at random distances, which move all vectors along one direction."""
    rng = np.random.default_rng(seed)
    who = rng.normal(size=(people, 8)) * 0.3
    common = np.array([2.0, 0, 0, 0, 0, 0, 0, 0])
    far = np.array([0, 1.5, 0, 0, 0, 0, 0, 0]) * rng.normal(size=(2 * people, 1))
    rows = np.tile(who, (2, 1)) + common + far + rng.normal(size=(2 * people, 8)) * 0.05
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    same = np.arange(2 * people).reshape(2, people).T
    different = np.stack([np.arange(people - 1), np.arange(1, people)], axis=1)
    means = rows.astype(np.float32)
    jitter = rng.normal(size=(2, 2 * people, 8)).astype(np.float32) * 0.01
    return Gathered(means, np.stack(means + jitter, axis=1), same, different, people)


def test_pairs_left_out_are_told_apart_better() -> None:
    learnt = learn(_show(60, 0), "encoder")
    assert learnt.after > learnt.before + 0.1
    assert learnt.helps
    assert learnt.with_it.apart >= learnt.without.apart
    line = learnt.head.facts.calibration.wide[0]
    assert line.slope > 0
    assert learnt.head.facts.calibration.genuine > learnt.head.facts.calibration.impostor


def test_the_head_serves_another_part_of_the_show() -> None:
    head, other = learn(_show(60, 0), "encoder").head, _show(60, 1)
    rows = head(other.means)
    same, different = (
        np.sum(rows[pairs[:, 0]] * rows[pairs[:, 1]], axis=1)
        for pairs in (other.same, other.different)
    )
    assert np.median(same) > np.quantile(different, 0.9)


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    learnt = learn(_show(40, 2), "encoder")
    saved = heads.save(tmp_path / "head.safetensors", learnt.head)
    assert saved.facts.digest
    assert np.array_equal(saved.weight, learnt.head.weight)
    assert learn(_show(40, 2), "encoder").head.weight.tobytes() == saved.weight.tobytes()


def test_a_head_that_does_not_help_is_not_kept() -> None:
    """The vectors tell everybody apart already: there is nothing to gain."""
    rows = np.tile(np.eye(40, dtype=np.float32), (2, 1))
    rows += 0.01 * np.random.default_rng(3).normal(size=rows.shape).astype(np.float32)
    show = replace(_show(40, 0), means=rows, halves=np.stack([rows, rows], axis=1))
    learnt = learn(show, "encoder")
    assert learnt.before == 1
    assert not learnt.helps


def test_too_few_pairs_are_refused() -> None:
    show = _show(60, 0)
    few = replace(show, same=show.same[: ENOUGH - 1])
    with pytest.raises(ValueError, match="19 pairs of tracks tied by clothes"):
        learn(few, "encoder")


def test_ties_that_cannot_be_held_out_are_refused() -> None:
    """Every tie is of an odd and an even track: none is left by which to judge a head."""
    show = _show(61, 0)
    with pytest.raises(ValueError, match="has no held-out pairs of tracks"):
        learn(show, "encoder")
    with pytest.raises(ValueError, match="has no held-out pairs of tracks"):
        held_out(show.same)
    assert held_out(np.array([[1, 3], [1, 2], [2, 4]])).tolist() == [[1, 3]]
    assert held_out(np.array([[1, 3], [1, 2], [2, 4]]), odd=False).tolist() == [[2, 4]]


def test_cosines_that_say_nothing_have_a_flat_line() -> None:
    high = np.sqrt(1 - np.square([0.1, 0.5]))
    rows = np.array([[1, 0], [0.1, high[0]], [0.5, high[1]]], np.float32)
    pairs = np.array([[0, 1], [0, 2]])
    judged = judge(rows, rows, pairs, pairs)
    assert judged.calibration.wide == (Line(0.3, 0.0),)
    assert (judged.before, judged.after) == (0.5, 0.5)


def test_no_library_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "head.safetensors"
    code = main(["fit-tracks", str(tmp_path / "nothing"), "--out", str(out)])
    assert code == 2
    assert str(tmp_path / "nothing") in capsys.readouterr().err
    assert not out.exists()
