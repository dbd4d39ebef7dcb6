from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from indexer.errors import ConfigError, WeightsError
from indexer.parallel import Workers
from indexer.records import Float32
from training import encoders
from training.fit import Fitted, Schedule, fit

CPU = torch.device("cpu")
SCHEDULE = Schedule(epochs=4, learning_rate=0.05, warm_up=0.25, keep="last", seed=3)


class StoppedError(Exception):
    """Interrupts a run."""


@dataclass
class Line:
    """A method that learns y = 2 x from noisy points, with dropout."""

    module: nn.Module
    scores: Callable[[nn.Module], float]
    stop_at: tuple[int, int] = (-1, -1)
    steps: int = 5
    made: list[tuple[int, int]] = field(default_factory=list)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        return [(list(self.module.parameters()), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Float32:
        self.made.append((epoch, step))
        return rng.normal(size=(8, 1)).astype(np.float32)

    def loss(self, batch: Float32, device: torch.device) -> torch.Tensor:
        if self.made and self.stop_at in self.made:
            raise StoppedError
        x = torch.from_numpy(batch).to(device)
        return (self.module(x) - 2 * x).square().mean()

    def measure(self, device: torch.device) -> Mapping[str, float]:
        return {"score": self.scores(self.module)}


def line(
    stop_at: tuple[int, int] = (-1, -1), scores: Callable[[nn.Module], float] | None = None
) -> Line:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    return Line(module, scores or (lambda _: 0.0), stop_at)


def run(method: Line, where: Path, schedule: Schedule = SCHEDULE, workers: int = 1) -> Fitted:
    with Workers(workers) as some:
        return fit(method, schedule, where, CPU, some)


def weights(method: Line) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in method.module.state_dict().values()]


@pytest.mark.parametrize("stop_at", [(0, 3), (2, 0), (2, 2), (3, 4)])
def test_an_interrupted_run_ends_as_one_that_was_not(
    stop_at: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.fit._SAVE_EVERY_S", 0.0)  # save after each step
    whole, first, second = line(), line(stop_at), line()
    usual = run(whole, tmp_path / "whole.pt")
    with pytest.raises(StoppedError):
        run(first, tmp_path / "halves.pt")
    with torch.no_grad():
        for parameter in second.module.parameters():
            parameter.zero_()  # only the checkpoint must count
    resumed = run(second, tmp_path / "halves.pt", workers=2)
    assert resumed.resumed is (stop_at != (0, 0))
    assert min(second.made) > (0, 0)
    assert resumed.history == usual.history
    for ours, theirs in zip(weights(second), weights(whole), strict=True):
        assert torch.equal(ours, theirs)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, again = line(), line()
    done = run(first, tmp_path / "run.pt")
    assert run(again, tmp_path / "run.pt") == replace(done, resumed=True)
    assert again.made == []
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))


def test_the_loss_falls_and_the_best_epoch_comes_out(tmp_path: Path) -> None:
    def minus_error(module: nn.Module) -> float:
        x = torch.linspace(-1, 1, 9)[:, None]
        return -float((module(x) - 2 * x).square().mean())

    method = line(scores=minus_error)
    fitted = run(method, tmp_path / "run.pt", replace(SCHEDULE, epochs=12, keep="best"))
    scores = [row["score"] for row in fitted.history]
    assert fitted.history[-1]["loss"] < fitted.history[1]["loss"]
    assert [row["epoch"] for row in fitted.history] == list(range(13))
    assert fitted.chosen == int(np.argmax(scores))
    method.module.eval()
    with torch.no_grad():
        assert minus_error(method.module) == pytest.approx(max(scores))


def test_it_may_be_measured_every_few_epochs_and_learns_the_same(tmp_path: Path) -> None:
    scores = iter([0.0, 1.0, 2.0])  # before, after three epochs, and at the end
    always, rarely = line(), line(scores=lambda _: next(scores))
    run(always, tmp_path / "always.pt")
    fitted = run(rarely, tmp_path / "rarely.pt", replace(SCHEDULE, probed=3))
    assert [("score" in row) for row in fitted.history] == [True, False, False, True, True]
    assert list(scores) == []
    for ours, theirs in zip(weights(rarely), weights(always), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="probed: expected 1"):
        replace(SCHEDULE, probed=3, patience=2)


def test_what_is_not_trained_keeps_its_statistics(tmp_path: Path) -> None:
    method = line()
    encoders.settle(method.module)
    norm, dropout = method.module[1], method.module[2]  # type: ignore[index]
    before = [norm.running_mean.clone(), norm.running_var.clone(), norm.weight.clone()]
    method.groups = lambda: [(encoders.trained(method.module), 1.0)]  # type: ignore[method-assign]
    run(method, tmp_path / "run.pt")
    after = [norm.running_mean, norm.running_var, norm.weight]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert dropout.p == 0
    first = line().module[0].weight  # type: ignore[index]
    assert not torch.equal(method.module[0].weight, first)  # type: ignore[index]


def test_without_a_better_score_it_stops(tmp_path: Path) -> None:
    scores = iter([0.0, 1.0, 0.5, 1.0, 2.0])
    schedule = replace(SCHEDULE, epochs=9, patience=2, keep="best")
    fitted = run(line(scores=lambda _: next(scores)), tmp_path / "run.pt", schedule)
    assert [row["score"] for row in fitted.history] == [0.0, 1.0, 0.5, 1.0]
    assert fitted.chosen == 1


def test_no_epochs_leave_the_module_as_it_is(tmp_path: Path) -> None:
    method = line()
    before = weights(method)
    fitted = run(method, tmp_path / "run.pt", replace(SCHEDULE, epochs=0))
    assert (fitted.chosen, len(fitted.history), method.made) == (0, 1, [])
    assert all(torch.equal(a, b) for a, b in zip(before, weights(method), strict=True))


def test_one_step_trains(tmp_path: Path) -> None:
    method = line()
    method.steps = 1
    before = weights(method)
    run(method, tmp_path / "run.pt", replace(SCHEDULE, epochs=1))
    assert not torch.equal(weights(method)[0], before[0])


def test_a_checkpoint_that_ends_too_soon_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    run(line(), path)
    whole = path.read_bytes()
    cut = [whole[:size] for size in range(0, len(whole), len(whole) // 40)]
    for content in (*cut, b"nothing", b"\x80\x02", b"("):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"cannot be resumed: .+ \(remove it to start over"):
            run(line(), path)


def test_a_checkpoint_is_on_the_disk_before_it_replaces_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, sync, rename = list[str](), os.fsync, Path.replace

    def synced(file: int) -> None:
        done.append("synced")
        sync(file)

    def replaced(path: Path, target: Path) -> Path:
        done.append("replaced")
        return rename(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    run(line(), tmp_path / "run.pt", replace(SCHEDULE, epochs=1))
    assert done[:2] == ["synced", "replaced"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    run(line(), tmp_path / "run.pt")
    other = Line(nn.Linear(1, 1), lambda _: 0.0)
    with pytest.raises(WeightsError, match="cannot be resumed"):
        run(other, tmp_path / "run.pt")


def test_a_loss_that_is_no_number_is_said(tmp_path: Path) -> None:
    method = line()
    with torch.no_grad():
        next(method.module.parameters()).fill_(float("inf"))
    said = r"fit.learning_rate: the loss is nan in epoch 1, step 0 \(lower it"
    with pytest.raises(ConfigError, match=said):
        run(method, tmp_path / "run.pt")


class Steep(Line):
    """A loss of 0 whose gradient is NaN: the square root is infinitely steep at 0."""

    def loss(self, batch: Float32, device: torch.device) -> torch.Tensor:
        return (self.module(torch.from_numpy(batch)) * 0).abs().sqrt().sum()


def test_a_weight_that_is_no_number_is_said(tmp_path: Path) -> None:
    method = Steep(nn.Linear(1, 1), lambda _: 0.0, steps=1)
    with pytest.raises(ConfigError, match="a weight is not finite after epoch 1"):
        run(method, tmp_path / "run.pt")
    assert not (tmp_path / "run.pt").exists()


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([math.nan] * 5, 4),
        ([math.nan, 0.5, math.nan, 0.7, 0.6], 3),
        ([0.5, math.nan, math.nan, math.nan, math.nan], 0),
    ],
)
def test_a_score_that_is_no_number_is_never_the_best(
    scores: list[float], chosen: int, tmp_path: Path
) -> None:
    given_out = iter(scores)
    method = line(scores=lambda _: next(given_out))
    fitted = run(method, tmp_path / "run.pt", replace(SCHEDULE, keep="best", patience=4))
    assert (fitted.chosen, len(fitted.history)) == (chosen, 5)
    again = line()
    assert run(again, tmp_path / "run.pt", replace(SCHEDULE, keep="best")).chosen == chosen
    assert all(torch.equal(a, b) for a, b in zip(weights(method), weights(again), strict=True))


@settings(max_examples=50)
@given(st.floats(0, 0.999), st.floats(0, 0.9))
def test_the_rate_rises_and_falls_within_its_bounds(share: float, warm_up: float) -> None:
    schedule = replace(SCHEDULE, warm_up=warm_up)
    assert 0 <= schedule.rate(share) <= schedule.learning_rate
    later = min(share + 0.01, 1.0)
    if share >= warm_up:
        assert schedule.rate(later) <= schedule.rate(share) + 1e-12
    elif later < warm_up:
        assert schedule.rate(later) >= schedule.rate(share)
    assert schedule.rate(warm_up) == pytest.approx(schedule.learning_rate)
    assert schedule.rate(1.0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("precision", ["f32", "bf16", "auto"])
def test_any_precision_learns(precision: Literal["f32", "bf16", "auto"], tmp_path: Path) -> None:
    schedule = replace(SCHEDULE, precision=precision)
    with Workers(1) as workers:
        fitted = fit(line(), schedule, tmp_path / "checkpoint", CPU, workers)
    assert fitted.history[-1]["loss"] < fitted.history[1]["loss"]
