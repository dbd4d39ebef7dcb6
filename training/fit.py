"""The one training loop: a method's batches and losses in, a trained module and its history out.

A plain loop, not Lightning: it is short, and it guarantees what a framework does not, that an
interrupted run ends with the same weights as one that was not. All randomness follows from (seed,
epoch, step) and all state is in the checkpoint, so neither when a run was stopped nor how many
threads made its batches matters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from torch import nn

from indexer.errors import ConfigError
from indexer.parallel import Workers, in_order
from indexer.progress import Progress, silent
from training import checkpoint
from training.checkpoint import State

Batch = TypeVar("Batch")
_SAVE_EVERY_S = 60.0
_MIXED = {"bf16": torch.bfloat16, "f16": torch.float16}


@checked(config=ConfigDict(extra="forbid", frozen=True))
class Schedule:
    """How long and how fast a module is trained: the table ``[fit]`` of a recipe."""

    epochs: Annotated[int, Field(ge=0)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the rate rises linearly; it then falls as a cosine, to 0."""
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    """Largest norm of the gradient of each parameter group."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better score after which training stops; 0 never stops it."""
    probed: Annotated[int, Field(ge=1)] = 1
    """Epochs from one measurement to the next; the last is measured too. 1 if there is patience."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights come out."""
    precision: Literal["f32", "bf16", "f16", "auto"] = "f32"
    """Of the forward pass; sums and weights stay in f32 (mixed precision). ``auto`` is bf16 where
    the processor multiplies in it, else f32, since bf16 is then many times slower."""
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.patience and self.probed > 1:
            raise ValueError(f"probed: expected 1 where there is patience, got {self.probed}")

    def rate(self, share: float) -> float:
        """Return the learning rate when a share of all steps is done, in [0, 1)."""
        if share < self.warm_up:
            return self.learning_rate * share / self.warm_up
        rest = (share - self.warm_up) / (1 - self.warm_up)
        return self.learning_rate * (1 + math.cos(math.pi * rest)) / 2


class Method(Protocol[Batch]):
    """What is trained: one class for each file of `training.methods`."""

    @property
    def module(self) -> nn.Module:
        """Return what is trained, heads and all."""
        ...

    @property
    def steps(self) -> int:
        """Return how many batches an epoch has."""
        ...

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return groups of parameters to train, each with a factor for the learning rate."""
        ...

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return a batch; called from several threads, so it must not change anything."""
        ...

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""
        ...

    def measure(self, device: torch.device) -> Mapping[str, float]:
        """Return metrics on held-out data; of the first, the score, more is better."""
        ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """The course of a training; the module itself holds the weights that were chosen."""

    history: Sequence[Mapping[str, float]]
    """For each epoch: ``epoch`` from 1, ``loss``, ``rate``, and what was measured; epoch 0 is
    the module before training, without a loss."""
    chosen: int
    """The epoch whose weights were chosen."""
    resumed: bool
    """Whether it resumed from an earlier run's checkpoint."""


def fit(
    method: Method[Batch],
    schedule: Schedule,
    where: Path,
    device: torch.device,
    workers: Workers,
    progress: Progress = silent,
) -> Fitted:
    """Train a method's module in place.

    Args:
        method: what is trained.
        schedule: how.
        where: the checkpoint's file; if it exists, the run that wrote it is resumed.
        device: to train on.
        workers: make the batches.
        progress: shows how far it is.

    Raises:
        WeightsError: the checkpoint is damaged or of another module.
        ConfigError: the loss or a weight is no longer finite.
    """
    # Convolutions take a third less time with the channels last.
    method.module.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        [{"params": list(some), "scale": scale} for some, scale in method.groups()],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
    )
    scaler = torch.amp.GradScaler(device.type, enabled=schedule.precision == "f16")
    run = _Run(method.module, optimizer, scaler, State.new())
    resumed = where.is_file()
    if resumed:
        run.state = checkpoint.restore(where, method.module, optimizer, scaler)
    else:
        run.closed(schedule)
        run.measured(_measure(method, device))
    while run.state.epoch < schedule.epochs and not run.has_waited_for(schedule.patience):
        _epoch(run, method, schedule, where, workers, progress)
        run.closed(schedule)
        if run.state.epoch % schedule.probed == 0 or run.state.epoch == schedule.epochs:
            run.measured(_measure(method, device))
        run.save(where)
    if schedule.keep == "best":
        method.module.load_state_dict(run.state.best)
    chosen = run.state.best_epoch if schedule.keep == "best" else run.state.epoch
    return Fitted(run.state.history, chosen, resumed)


def _measure(method: Method[Batch], device: torch.device) -> Mapping[str, float]:
    method.module.eval()
    with torch.inference_mode():
        return method.measure(device)


@dataclass(slots=True)
class _Run:
    """All that changes during training."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    state: State

    def closed(self, schedule: Schedule) -> None:
        """Add an epoch's row to the history, or epoch 0's before the first step."""
        state = self.state
        row: dict[str, float] = {"epoch": state.epoch}
        if state.step:
            state.epoch += 1
            rate = schedule.rate(state.epoch / schedule.epochs - 1e-9)
            row = {"epoch": state.epoch, "loss": state.loss / state.step, "rate": rate}
        state.history.append(row)
        state.step, state.loss = 0, 0.0

    def measured(self, numbers: Mapping[str, float]) -> None:
        """Add metrics to the last epoch's row, and keep its weights if they are the best yet."""
        state = self.state
        state.history[-1] = {**state.history[-1], **numbers}
        score = next(iter(numbers.values()), float(state.epoch))
        # As long as every score is NaN, the latest weights are the best.
        score = -math.inf if math.isnan(score) else score
        if score > state.best_score or state.best_score == -math.inf:
            state.best_score, state.best_epoch = score, state.epoch
            state.best = {k: v.detach().cpu().clone() for k, v in self.module.state_dict().items()}

    def has_waited_for(self, patience: int) -> bool:
        """Return whether the best epoch is `patience` epochs ago or more; never for 0."""
        return 0 < patience <= self.state.epoch - self.state.best_epoch

    def save(self, where: Path) -> None:
        """Write the checkpoint."""
        checkpoint.save(where, self.state, self.module, self.optimizer, self.scaler)


def _epoch(
    run: _Run,
    method: Method[Batch],
    schedule: Schedule,
    where: Path,
    workers: Workers,
    progress: Progress,
) -> None:
    epoch = run.state.epoch
    device = next(method.module.parameters()).device
    _train(method.module)
    saved = time.monotonic()
    steps = range(run.state.step, method.steps)
    batches = _batches(method, schedule.seed, epoch, steps, workers)
    for step, batch in progress(zip(steps, batches, strict=True), total=len(steps), what="fit"):
        torch.manual_seed(_seed(schedule.seed, epoch, step))  # of dropout
        middle = epoch + (step + 0.5) / method.steps  # at its start, the first would have rate 0
        rate = schedule.rate(middle / schedule.epochs)
        for group in run.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        mixed = _mixed(schedule.precision, device)
        with torch.autocast(device.type, dtype=mixed) if mixed else nullcontext():
            loss = method.loss(batch, device)
        if not torch.isfinite(loss):
            raise _diverged(f"the loss is {loss.item()} in epoch {epoch + 1}, step {step}")
        _descend(run, loss, schedule.clip_norm)
        run.state.loss += loss.item()
        run.state.step = step + 1
        if time.monotonic() - saved > _SAVE_EVERY_S:
            run.save(where)
            saved = time.monotonic()
    if not all(bool(some.isfinite().all()) for some in method.module.parameters()):
        raise _diverged(f"a weight is not finite after epoch {epoch + 1}")


def _train(module: nn.Module) -> None:
    """Set training mode, except for frozen parts: their running statistics must not change."""
    module.train()
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if own and not any(one.requires_grad for one in own):
            part.training = False


def _diverged(problem: str) -> ConfigError:
    return ConfigError("fit.learning_rate", problem, "lower it, or fit.clip_norm")


def _mixed(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the data type of the forward pass, None for that of the weights."""
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bf16(device) else None
    return _MIXED.get(precision)


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _descend(run: _Run, loss: torch.Tensor, clip_norm: float) -> None:
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(run.scaler.scale(loss))
    run.scaler.unscale_(run.optimizer)
    for group in run.optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()


def _batches(
    method: Method[Batch], seed: int, epoch: int, steps: range, workers: Workers
) -> Iterator[Batch]:
    def make(step: int) -> Batch:
        return method.batch(epoch, step, np.random.default_rng([seed, epoch, step]))

    return in_order(workers, make, steps)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
