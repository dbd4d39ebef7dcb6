"""Five points of a face by regression: the eyes, the nose and the corners of the mouth.

Feng et al., "Wing loss for robust facial landmark localisation with convolutional neural
networks", CVPR 2018: the loss is eq. 5, the plain network that of sec. 5.1 on small crops.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from torch import nn

from indexer.config import NotNegative, Positive
from indexer.records import Float32, Float64, UInt8
from training import batches
from training.faces import FaceSet

SIDE = 64
"""Of the crops that the network sees, in pixels."""
_POINTS = 5
_TOGETHER = 256
_MIRRORED = (1, 0, 2, 4, 3)
"""The point that each one becomes in a mirror image."""


@checked(config=ConfigDict(extra="forbid", frozen=True))
class LandmarkSettings:
    """The table ``[landmarks]`` of a recipe."""

    batch: Annotated[int, Field(ge=1)] = 64
    width: Positive = 10.0
    """Half width of the loss's curved part, in hundredths of the side (w in the paper)."""
    curvature: Positive = 2.0
    """Of that part, in the same unit (epsilon in the paper)."""
    turn: NotNegative = 15.0
    """Standard deviation of the angle of a view, degrees."""
    scale: NotNegative = 0.12
    """Standard deviation of the logarithm of its size."""
    shift: NotNegative = 0.06
    """Standard deviation of its shift along each axis, as a share of the side."""


def wing(error: torch.Tensor, width: float, curvature: float) -> torch.Tensor:
    """Return the wing loss of each error, of the same shape.

    Logarithmic near zero, so that small errors, to which L1 and L2 give little weight, count more;
    L1 from `width` on.
    """
    size = error.abs()
    shift = width - width * math.log1p(width / curvature)
    return torch.where(size < width, width * torch.log1p(size / curvature), size - shift)


class Regressor(nn.Module):
    """Five convolutions, each followed by pooling to half the size, and two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 128, 128)
        self.features = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
                for inside, outside in itertools.pairwise(widths)
            )
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(128 * 2 * 2, 256), nn.ReLU(), nn.Linear(256, 2 * _POINTS)
        )

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map crops (N, 3, SIDE, SIDE) to points (N, 5, 2), 0 to 1 across the crop."""
        points: torch.Tensor = self.head(self.features(crops))
        return points.view(-1, _POINTS, 2) + 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """Views of faces with their points."""

    crops: UInt8
    """(B, SIDE, SIDE, 3)."""
    points: Float32
    """(B, 5, 2), 0 to 1 across the crop."""


@dataclass(frozen=True)
class Landmarks:
    """The method: `training.fit.Method`."""

    module: nn.Module
    faces: FaceSet
    validation: Batch
    settings: LandmarkSettings
    seed: int

    @property
    def steps(self) -> int:
        """Return how many batches an epoch has."""
        return max(1, len(self.faces) // self.settings.batch)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return all parameters."""
        return [(list(self.module.parameters()), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return views of faces, randomly turned, scaled, shifted and mirrored."""
        size = min(self.settings.batch, len(self.faces))
        which = batches.portion(len(self.faces), size, step, self.seed, epoch)
        return views(self.faces, which.tolist(), self.settings, rng)

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the mean wing loss over the batch's coordinates."""
        found = self.module(_tensor(batch.crops, device)).float()
        error = 100 * (found - torch.from_numpy(batch.points).to(device))
        return wing(error, self.settings.width, self.settings.curvature).mean()

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return the mean error on the validation faces, relative to the distance of the eyes."""
        found = locate(self.module, self.validation.crops)
        error = float(np.mean(error_by_eyes(found, self.validation.points)))
        return {"accuracy": 1 - error, "error_by_eyes": error}


def locate(module: nn.Module, crops: UInt8) -> Float32:
    """Return the points of faces, (N, 5, 2), 0 to 1 across the crop.

    Args:
        module: a `Regressor`, left in evaluation mode.
        crops: (N, SIDE, SIDE, 3).
    """
    device = next(module.parameters()).device
    module.eval()
    found = [np.zeros((0, _POINTS, 2), np.float32)]
    with torch.inference_mode():
        for i in range(0, len(crops), _TOGETHER):
            points = module(_tensor(crops[i : i + _TOGETHER], device))
            found.append(points.float().cpu().numpy())
    return np.concatenate(found)


def error_by_eyes(found: Float32, true: Float32) -> Float64:
    """Return the mean error of each face's points, divided by the distance of its eyes, (N,).

    Args:
        found: (N, 5, 2).
        true: (N, 5, 2), in the same unit.
    """
    eyes = np.linalg.norm(true[:, 0] - true[:, 1], axis=1)
    away = np.linalg.norm(found - true, axis=2).mean(axis=1)
    return np.asarray(away / np.maximum(eyes, 1e-6), dtype=np.float64)


def views(
    faces: FaceSet, which: Sequence[int], settings: LandmarkSettings, rng: np.random.Generator
) -> Batch:
    """Return views of some faces with their points."""
    made = [_view(faces.chips[i], faces.landmarks[i], settings, rng) for i in which]
    crops = np.stack([crop for crop, _ in made])
    return Batch(crops, np.stack([points for _, points in made]).astype(np.float32))


def _view(
    chip: UInt8, landmarks: Float32, settings: LandmarkSettings, rng: np.random.Generator
) -> tuple[UInt8, Float32]:
    side = len(chip)
    scale = SIDE / side * float(np.exp(rng.normal(0, settings.scale)))
    middle = ((side - 1) / 2, (side - 1) / 2)
    turn = np.asarray(cv2.getRotationMatrix2D(middle, rng.normal(0, settings.turn), scale), float)
    turn[:, 2] += (SIDE - side) / 2 + rng.normal(0, settings.shift * SIDE, 2)
    crop = cv2.warpAffine(chip, turn, (SIDE, SIDE), flags=cv2.INTER_AREA)
    points = (landmarks @ turn[:, :2].T + turn[:, 2] + 0.5) / SIDE
    if rng.random() < 0.5:  # noqa: PLR2004
        crop, points = crop[:, ::-1], points[list(_MIRRORED)] * [-1, 1] + [1, 0]
    return np.ascontiguousarray(crop, dtype=np.uint8), points.astype(np.float32)


def _tensor(crops: UInt8, device: torch.device) -> torch.Tensor:
    levels = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    return levels.permute(0, 3, 1, 2).float() / 127.5 - 1
