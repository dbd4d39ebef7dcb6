"""Siamese: genuine pairs are near, impostor pairs at least a margin apart.

Chopra, Hadsell and LeCun, "Learning a similarity metric discriminatively", CVPR 2005; the loss is
that of Hadsell et al., "Dimensionality reduction by learning an invariant mapping", CVPR 2006,
eq. 4, on Euclidean distance, except that both terms are linear instead of squared.
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
from pytorch_metric_learning.losses import ContrastiveLoss
from torch import nn

from indexer.config import Positive
from indexer.records import Int64, UInt8
from training import batches, encoders
from training.encoders import Trainable
from training.faces import FaceSet
from training.views import Viewer, ViewSettings, random_view


@checked(config=ConfigDict(extra="forbid", frozen=True))
class SiameseSettings:
    """The table ``[siamese]`` of a recipe."""

    people: Annotated[int, Field(ge=2)] = 16
    """People in a batch; all pairs of its faces are used."""
    each: Annotated[int, Field(ge=2)] = 4
    """Faces of each of them."""
    margin: Positive = 1.0
    """Distance at which two people are far enough apart, of unit vectors: at most 2."""


@dataclass(frozen=True)
class Siamese:
    """The method: `training.fit.Method`. Both twins are the encoder, with unit vectors."""

    encoder: Trainable
    faces: FaceSet
    settings: SiameseSettings
    viewer: Viewer
    views: ViewSettings
    probe: Callable[[Trainable], Mapping[str, float]]

    @property
    def module(self) -> nn.Module:
        """Return the encoder."""
        return self.encoder.module

    @property
    def steps(self) -> int:
        """Return the batches per epoch: together about as many faces as there are."""
        return max(1, len(self.faces) // (self.settings.people * self.settings.each))

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters."""
        return [(encoders.trained(self.module), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> tuple[UInt8, Int64]:
        """Return views of a few faces of many people, (B, S, S, 3), and who they are, (B,)."""
        groups = batches.by_person(self.faces.people)
        which = batches.balanced(groups, self.settings.people, self.settings.each, rng)
        crops = [random_view(self.faces.chips[i], self.viewer, self.views, rng) for i in which]
        return np.stack(crops), self.faces.people[which]

    def loss(self, batch: tuple[UInt8, Int64], device: torch.device) -> torch.Tensor:
        """Return the sum of the mean losses of genuine and impostor pairs whose loss is not 0."""
        crops, people = batch
        vectors = self.module(encoders.tensor(crops, self.encoder.facts, device))
        loss = ContrastiveLoss(pos_margin=0, neg_margin=self.settings.margin)
        with encoders.exactly(device):
            return loss(F.normalize(vectors.float()), torch.from_numpy(people).to(device))

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return the probe's metrics of the encoder."""
        return self.probe(self.encoder)
