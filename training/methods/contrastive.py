"""Contrastive: clean and distorted faces of one person are near, those of two a margin apart.

The second stage for distorted faces. The loss is that of Hadsell, Chopra and LeCun,
"Dimensionality reduction by learning an invariant mapping", CVPR 2006, eq. 4: distorted faces are
pulled towards clean anchors of the same person, and pushed away from the nearest anchor of another
person in the batch.
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
    """People in a batch; each gives a clean anchor and a distorted positive."""
    margin: Positive = 0.5
    """Distance of unit vectors from which two people are far enough apart."""
    itself: NotNegative = 1.0
    """Weight of the squared distance between a distorted face and the same face undistorted."""
    teacher: str | None = None
    """The encoder, as in ``start.weights``, whose vectors of clean faces are the targets; if not
    given, the one that this stage starts from. With the encoder from before the first stage, what
    that stage lost on clean faces is regained, and people enrolled with it stay comparable."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Distorted views, and their targets."""

    distorted: UInt8
    """(B, S, S, 3)."""
    same: Float32
    """(B, D), vectors of the same faces, undistorted."""
    anchors: Float32
    """(B, D), vectors of clean faces of the same people."""


@dataclass(frozen=True)
class Contrastive:
    """The method: `training.fit.Method`.

    The vectors of clean faces are the teacher's and do not change.
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
        """Return the batches per epoch: together about as many faces as there are."""
        return max(1, len(self.faces) // self.settings.people)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters."""
        return [(encoders.trained(self.module), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return a distorted face of each of several people, with its targets."""
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
        """Return the probe's metrics of the encoder."""
        return self.probe(self.encoder)


def clean_vectors(encoder: Trainable, faces: FaceSet) -> Float32:
    """Return the unit vectors of undistorted faces averaged with their mirror images', (N, D)."""
    size = encoder.facts.input_size
    return encoders.encode(encoder, plain(faces.chips, size), flipped=True)
