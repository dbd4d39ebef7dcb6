"""The state of a training run, on disk: enough to resume as if it had never stopped."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from indexer.errors import WeightsError
from indexer.store import disk

_DAMAGED = (
    AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, UnpicklingError,
    ValueError, struct.error,
)  # fmt: skip
"""What torch raises of files that are cut short, or are not of this module."""


@dataclass(slots=True)
class State:
    """The progress of a run, its history and its best weights."""

    epoch: int
    """Epochs done."""
    step: int
    """Steps done of the current epoch."""
    loss: float
    """Sum of the losses of those steps."""
    history: list[dict[str, float]]
    best_score: float
    best_epoch: int
    best: dict[str, torch.Tensor]
    """The module's tensors in the best epoch."""

    @classmethod
    def new(cls) -> State:
        """Return the state of a run that has not begun."""
        return cls(0, 0, 0.0, [], float("-inf"), 0, {})


def save(
    path: Path,
    state: State,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        WeightsError: it cannot be written.
    """
    tables = {
        "state": {field.name: getattr(state, field.name) for field in fields(state)},
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.replacing(path) as file:
            torch.save(tables, file)
    except (OSError, RuntimeError) as error:
        raise WeightsError(path, f"cannot be written: {error}", "check the folder") from error


def restore(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> State:
    """Restore a run's module, optimizer and scaler in place, and return its state.

    Raises:
        WeightsError: the file is damaged, or is not of this module.
    """
    try:
        tables = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(tables["module"])
        optimizer.load_state_dict(tables["optimizer"])
        scaler.load_state_dict(tables["scaler"])
        return State(**tables["state"])
    except _DAMAGED as error:
        problem = (str(error).splitlines() or ["it ends too soon"])[0]
        raise WeightsError(
            path, f"cannot be resumed: {problem}", "remove it to start over"
        ) from error
