"""ArcFace: people are told apart by angle, with a margin; in the first epochs without one.

Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019, eq. 3.
The first epochs use softmax cross-entropy with smoothed labels over the same cosines: against
class directions that do not fit yet, a margin would mostly make the encoder forget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import nn

from indexer.config import NotNegative, Positive, Share
from indexer.records import Int64, UInt8
from training import batches, encoders
from training.encoders import Trainable
from training.faces import FaceSet
from training.views import Viewer, ViewSettings, random_view


@checked(config=ConfigDict(extra="forbid", frozen=True))
class ArcFaceSettings:
    """The table ``[arcface]`` of a recipe."""

    people: Annotated[int, Field(ge=2)] = 32
    """People in a batch."""
    each: Annotated[int, Field(ge=1)] = 2
    """Faces of each of them."""
    margin: NotNegative = 20.0
    """Degrees."""
    scale: Positive = 32.0
    plain_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs of cross-entropy without margin, before the others."""
    smoothing: Share = 0.1
    """Label smoothing in those epochs."""
    encoder_rate: Positive = 0.1
    """Factor of the learning rate for the encoder; that of the class directions is 1."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Views of faces, and whose they are."""

    crops: UInt8
    """(B, S, S, 3)."""
    people: Int64
    """(B,)."""
    plain: bool
    """Whether the loss is cross-entropy without margin."""


@dataclass(frozen=True)
class ArcFace:
    """The method: `training.fit.Method`."""

    encoder: Trainable
    directions: ArcFaceLoss
    """The loss, with a direction for each person."""
    faces: FaceSet
    settings: ArcFaceSettings
    viewer: Viewer
    views: ViewSettings
    probe: Callable[[Trainable], Mapping[str, float]]

    @cached_property
    def module(self) -> nn.Module:
        """Return the encoder and the directions together."""
        return nn.ModuleList([self.encoder.module, self.directions])

    @property
    def steps(self) -> int:
        """Return the batches per epoch: together about as many faces as there are."""
        return max(1, len(self.faces) // (self.settings.people * self.settings.each))

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters and the classes' directions."""
        directions = list(self.directions.parameters())
        rate = self.settings.encoder_rate
        return [(encoders.trained(self.encoder.module), rate), (directions, 1)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return views of a few faces of many people."""
        people, _ = batches.renumbered(self.faces.people)
        groups = batches.by_person(people)
        which = batches.balanced(groups, self.settings.people, self.settings.each, rng)
        crops = [random_view(self.faces.chips[i], self.viewer, self.views, rng) for i in which]
        return Batch(np.stack(crops), people[which], epoch < self.settings.plain_epochs)

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the loss over the batch."""
        crops = encoders.tensor(batch.crops, self.encoder.facts, device)
        people = torch.from_numpy(batch.people).to(device)
        vectors = self.encoder.module(crops)
        with encoders.exactly(device):
            vectors = vectors.float()
            if not batch.plain:
                return self.directions(vectors, people)
            cosines = F.normalize(vectors) @ F.normalize(self.directions.W, dim=0)
            logits = self.settings.scale * cosines
            return F.cross_entropy(logits, people, label_smoothing=self.settings.smoothing)

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return the probe's metrics of the encoder."""
        return self.probe(self.encoder)


def directions(encoder: Trainable, faces: FaceSet, settings: ArcFaceSettings) -> ArcFaceLoss:
    """Return the loss, each person's direction initialised to the mean vector of their faces."""
    people, count = batches.renumbered(faces.people)
    vectors = encoders.encode(encoder, faces.chips)
    means = np.stack([vectors[group].mean(axis=0) for group in batches.by_person(people)])
    loss = ArcFaceLoss(count, encoder.facts.dimension, margin=settings.margin, scale=settings.scale)
    with torch.no_grad():
        loss.W.copy_(torch.from_numpy(means.T))
    return loss
