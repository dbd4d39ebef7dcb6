"""Multi-label classification by a linear head on an encoder, each class independently.

Binary cross-entropy for each class and face; strangers' faces are negatives of all classes. An
encoder's unit vectors fill a narrow cone, so the head takes their deviations from their mean, in
units of these deviations' RMS. `OnVectors` freezes the encoder, so that each face is encoded only
once, in a few views; `OnCrops` trains it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from torch import nn

from indexer.config import Positive, Share
from indexer.records import Bool, Float32, UInt8
from training import encoders
from training.encoders import Trainable
from training.views import Viewer, ViewSettings, random_view

_ALIKE = 4.0
"""Dimensions of an encoder for each independent one, as they are correlated: about so many."""


@checked(config=ConfigDict(extra="forbid", frozen=True))
class MultiLabelSettings:
    """The table ``[multilabel]`` of a recipe."""

    together: Annotated[int, Field(ge=1)] = 128
    """Faces in a batch."""
    views: Annotated[int, Field(ge=1)] = 1
    """Views of each face, the plain one among them, if the encoder is frozen."""
    balance: Share = 1.0
    """The weight of a class's positives is (negatives / positives) to this power."""
    unfrozen: bool = False
    """Whether the encoder is trained too."""
    encoder_rate: Positive = 0.02
    """Factor of the learning rate for an encoder that is trained."""


class LinearHead(nn.Module):
    """Logits (N, K) of unit vectors (N, D)."""

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, vectors: Float32, targets: Bool) -> None:
        """Initialise to the linear discriminant of each class against everybody else.

        Classes are taken to scatter equally around their means, everybody else around the centre
        (Bishop, "Pattern Recognition and Machine Learning", 2006, eq. 4.66 and 4.67 with a
        spherical covariance). From random weights it takes long to tell apart a rare class.

        Args:
            vectors: (N, D), N > 0.
            targets: (N, K).
        """
        super().__init__()
        centre = vectors.mean(axis=0)
        scale = max(float(np.sqrt(np.mean(np.square(vectors - centre)))), 1e-6)
        self.register_buffer("centre", torch.from_numpy(centre))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.linear = nn.Linear(vectors.shape[1], targets.shape[1])
        weight, bias = _discriminant((vectors - centre) / scale, targets)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy(bias))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        logits: torch.Tensor = self.linear((vectors - self.centre) / self.scale)
        return logits

    def folded(self) -> tuple[Float32, Float32]:
        """Return the weight (K, D) and bias (K,) that give the same logits of unscaled vectors."""
        with torch.no_grad():
            weight = self.linear.weight / self.scale
            bias = self.linear.bias - weight @ self.centre
        return weight.cpu().numpy(), bias.cpu().numpy()


def _discriminant(vectors: Float32, targets: Bool) -> tuple[Float32, Float32]:
    """Return the weight (K, D) and bias (K,) of the linear discriminants of the classes."""
    counts = np.maximum(targets.sum(axis=0), 1)  # (K,)
    means = (targets.T.astype(np.float32) @ vectors) / counts[:, None]  # (K, D)
    rows, whose = np.nonzero(targets)
    scatter = np.mean(np.square(vectors[rows] - means[whose])) if len(rows) else 1.0
    sharpness = 1 / (max(float(scatter), 1e-3) * _ALIKE)
    odds = np.log(counts / np.maximum(len(vectors) - counts, 1))
    bias = odds - sharpness * np.square(means).sum(axis=1) / 2
    return (sharpness * means).astype(np.float32), bias.astype(np.float32)


def positive_weights(targets: Bool, balance: float) -> Float32:
    """Return the weight of each class's positives, (K,): (negatives / positives) ** balance.

    Args:
        targets: (N, K); a class without positives counts as having one.
        balance: 0 weighs all alike, 1 makes both sides of a class equal.
    """
    positives = np.maximum(targets.sum(axis=0), 1)
    return (np.maximum(len(targets) - positives, 1) / positives).astype(np.float32) ** balance


@dataclass(frozen=True, slots=True)
class Batch:
    """Faces, as vectors (B, D) or crops (B, S, S, 3), and who they are."""

    faces: Float32 | UInt8
    targets: Bool
    """(B, K)."""


@dataclass(frozen=True)
class OnVectors:
    """The method on a frozen encoder's vectors: `training.fit.Method`."""

    module: LinearHead
    vectors: Float32
    """(V, N, D), views of each face."""
    targets: Bool
    """(N, K)."""
    settings: MultiLabelSettings
    probe: Callable[[Callable[[Float32], Float32]], Mapping[str, float]]
    """Metrics of a function from unit vectors (n, D) to logits (n, K)."""

    @property
    def steps(self) -> int:
        """Return the batches per epoch: together about as many faces as there are views."""
        views, count = self.vectors.shape[:2]
        return -(-views * count // self.settings.together)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the head's parameters."""
        return [(list(self.module.parameters()), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return random faces, each in one of its views."""
        views, count = self.vectors.shape[:2]
        which = rng.integers(count, size=self.settings.together)
        seen = self.vectors[rng.integers(views, size=len(which)), which]
        return Batch(seen, self.targets[which])

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the loss over the batch."""
        vectors = torch.from_numpy(batch.faces).to(device)
        return _loss(self.module(vectors), batch, self.targets, self.settings.balance)

    def measure(self, device: torch.device) -> Mapping[str, float]:
        """Return the probe's metrics of the head."""
        return self.probe(lambda vectors: _logits(self.module, vectors, device))


@dataclass(frozen=True)
class OnCrops:
    """The method with the encoder trained too: `training.fit.Method`."""

    encoder: Trainable
    module: nn.ModuleDict
    """``encoder`` and ``head``."""
    chips: UInt8
    """(N, C, C, 3), with borders."""
    targets: Bool
    """(N, K)."""
    settings: MultiLabelSettings
    viewer: Viewer
    views: ViewSettings
    probe: Callable[[Trainable, Callable[[Float32], Float32]], Mapping[str, float]]
    """Metrics of an encoder and a function from its vectors to logits."""

    @property
    def steps(self) -> int:
        """Return the batches per epoch: together about as many faces as there are."""
        return -(-len(self.chips) // self.settings.together)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's parameters and the head's."""
        encoder, head = (list(self.module[part].parameters()) for part in ("encoder", "head"))
        return [(encoder, self.settings.encoder_rate), (head, 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return random views of random faces."""
        which = rng.integers(len(self.chips), size=self.settings.together)
        crops = [random_view(self.chips[i], self.viewer, self.views, rng) for i in which]
        return Batch(np.stack(crops), self.targets[which])

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the loss over the batch."""
        # A batch is too small for the statistics of batch normalisation, if there is any.
        self.module["encoder"].eval()
        crops = encoders.tensor(np.asarray(batch.faces, np.uint8), self.encoder.facts, device)
        vectors = F.normalize(self.module["encoder"](crops).float())
        return _loss(self.module["head"](vectors), batch, self.targets, self.settings.balance)

    def measure(self, device: torch.device) -> Mapping[str, float]:
        """Return the probe's metrics of encoder and head."""
        head = self.module["head"]
        return self.probe(self.encoder, lambda vectors: _logits(head, vectors, device))


def _loss(logits: torch.Tensor, batch: Batch, every: Bool, balance: float) -> torch.Tensor:
    weights = torch.from_numpy(positive_weights(every, balance)).to(logits.device)
    targets = torch.from_numpy(batch.targets).to(logits.device, torch.float32)
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)


def _logits(head: nn.Module, vectors: Float32, device: torch.device) -> Float32:
    logits: Float32 = head(torch.from_numpy(vectors).to(device)).float().cpu().numpy()
    return logits
