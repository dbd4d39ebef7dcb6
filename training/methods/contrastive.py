"""Clean and distorted faces of one person brought together, of two people kept apart.

The second stage for distorted faces. The loss is that of Hadsell, Chopra and LeCun,
"Dimensionality reduction by learning an invariant mapping", CVPR 2006, eq. 4, over anchors that
are clean faces, positives that are distorted ones of the same person, and the nearest other people
of the batch as negatives.
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

from indexer.config import NotNegative, Positive
from indexer.records import Float32, Int64, UInt8
from training import batches, encoders
from training.encoders import Trainable
from training.faces import FaceSet
from training.views import Viewer, ViewSettings, plain, random_view


@checked(config=ConfigDict(extra="forbid", frozen=True))
class ContrastiveSettings:
    """The table ``[contrastive]`` of a recipe."""

    people: Annotated[int, Field(ge=2)] = 64
    """In a batch; each gives a clean anchor and a distorted positive."""
    margin: Positive = 0.5
    """Distance of unit vectors from which two people are far enough apart."""
    itself: NotNegative = 1.0
    """Weight of the distance between a distorted face and the very same face when it was clean."""
    teacher: str | None = None
    """Whose vectors of clean faces are the goal, as ``start.weights``; if not given, those of the
    encoder that this stage begins with. With the encoder of before the first stage, whatever that
    stage spoilt on clean faces is repaired, and people enrolled with it stay comparable."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Distorted views, and where they belong."""

    distorted: UInt8
    """(B, S, S, 3)."""
    same: Float32
    """(B, D), vectors of the same faces, clean."""
    anchors: Float32
    """(B, D), vectors of clean faces of the same people."""


@dataclass(frozen=True)
class Contrastive:
    """The method: `training.fit.Method`.

    The anchors' vectors are the teacher's and do not change.
    """

    encoder: Trainable
    faces: FaceSet
    clean: Float32
    """(N, D), unit vectors of the faces by the teacher."""
    settings: ContrastiveSettings
    viewer: Viewer
    views: ViewSettings
    probe: Callable[[Trainable], Mapping[str, float]]

    @property
    def module(self) -> nn.Module:
        """Return the encoder, which is all that is trained."""
        return self.encoder.module

    @property
    def steps(self) -> int:
        """Return how many batches are as many faces as there are."""
        return max(1, len(self.faces) // self.settings.people)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters."""
        return [(encoders.trained(self.module), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return a distorted face of each of many people, and clean vectors for it."""
        groups = batches.by_person(self.faces.people)
        both: Int64 = batches.balanced(groups, self.settings.people, 2, rng).reshape(-1, 2)
        crops = [random_view(self.faces.chips[i], self.viewer, self.views, rng) for i in both[:, 0]]
        return Batch(np.stack(crops), self.clean[both[:, 0]], self.clean[both[:, 1]])

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the loss over the batch."""
        levels = encoders.tensor(batch.distorted, self.encoder.facts, device)
        vectors = F.normalize(self.module(levels).float())
        anchors = torch.from_numpy(batch.anchors).to(device)
        same = torch.from_numpy(batch.same).to(device)
        apart = torch.cdist(vectors, anchors)  # (B, B)
        positive = apart.diagonal().square().mean()
        others = apart + 2 * torch.eye(len(apart), device=device)
        nearest = others.min(dim=1).values
        negative = F.relu(self.settings.margin - nearest).square().mean()
        itself = (vectors - same).square().sum(dim=1).mean()
        return positive + negative + self.settings.itself * itself

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return what the probe says of the encoder."""
        return self.probe(self.encoder)


def clean_vectors(encoder: Trainable, faces: FaceSet) -> Float32:
    """Return the unit vectors of undistorted faces, (N, D), with those of their mirror images."""
    size = encoder.facts.input_size
    return encoders.encode(encoder, plain(faces.chips, size), flipped=True)
