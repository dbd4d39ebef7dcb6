"""SimCLR: two views of one face are alike, and unlike all others.

Chen et al., "A simple framework for contrastive learning of visual representations", ICML 2020:
Algorithm 1; NT-Xent is eq. 1, the projector of sec. 4.2 an MLP with one hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from pytorch_metric_learning.losses import NTXentLoss
from torch import nn

from indexer.config import Positive
from indexer.records import UInt8
from training import batches, encoders
from training.encoders import Trainable
from training.faces import FaceSet
from training.views import Viewer, ViewSettings, random_view


@checked(config=ConfigDict(extra="forbid", frozen=True))
class SimClrSettings:
    """The table ``[simclr]`` of a recipe."""

    batch: Annotated[int, Field(ge=2)] = 64
    """Faces in a batch; each gives two views."""
    temperature: Positive = 0.2
    hidden: Annotated[int, Field(ge=1)] = 512
    """Width of the projector's hidden layer."""
    projected: Annotated[int, Field(ge=1)] = 128
    encoder_rate: Positive = 1.0
    """Factor of the learning rate for the encoder; that of the projector is 1."""


@dataclass(frozen=True)
class SimClr:
    """The method: `training.fit.Method`."""

    encoder: Trainable
    module: nn.Module
    """The encoder followed by the projector."""
    faces: FaceSet
    settings: SimClrSettings
    viewer: Viewer
    views: ViewSettings
    seed: int
    probe: Callable[[Trainable], Mapping[str, float]]

    @property
    def steps(self) -> int:
        """Return the batches per epoch; faces that do not fill a last one are left out."""
        return max(1, len(self.faces) // self.settings.batch)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters and the projector's."""
        projector = list(self.module[1].parameters())  # type: ignore[index]
        return [(encoders.trained(self.encoder.module), self.settings.encoder_rate), (projector, 1)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> UInt8:
        """Return two views of each face of a batch, (2B, S, S, 3): all first, then all second."""
        size = min(self.settings.batch, len(self.faces))
        which = batches.portion(len(self.faces), size, step, self.seed, epoch)
        return np.stack(
            [
                random_view(self.faces.chips[i], self.viewer, self.views, rng)
                for i in (*which, *which)
            ]
        )

    def loss(self, batch: UInt8, device: torch.device) -> torch.Tensor:
        """Return NT-Xent over the batch."""
        projected = self.module(encoders.tensor(batch, self.encoder.facts, device))
        count = len(batch) // 2
        labels = torch.arange(count, device=device).repeat(2)
        with encoders.exactly(device):
            return NTXentLoss(self.settings.temperature)(projected.float(), labels)

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return the probe's metrics of the encoder."""
        return self.probe(self.encoder)


def projected(encoder: Trainable, settings: SimClrSettings, seed: int) -> nn.Module:
    """Return the encoder followed by a projector, whose first weights follow from the seed."""
    torch.manual_seed(seed)
    width = encoder.facts.dimension
    projector = nn.Sequential(
        nn.Linear(width, settings.hidden),
        nn.ReLU(),
        nn.Linear(settings.hidden, settings.projected),
    )
    return nn.Sequential(encoder.module, projector)
