"""SSiam, TSiam and pseudo-relevance feedback: a small head, self-supervised on the show itself.

Sharma et al., "Self-supervised learning of face representations for video face clustering", FG
2019, sec. III: the head is an MLP, D → 512 → 2, under the contrastive loss of Hadsell, Chopra and
LeCun (CVPR 2006, eq. 4) on Euclidean distance; the 512 hidden features are clustered.

On hard shows, where a third of the faces is some pixels wide, what the paper's head learns from
faces alone is as often wrong as right. A ``tied`` head is initialised with a whitening learnt from
tracks tied by clothes, and learns the rest from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from torch import nn

from indexer.config import NotNegative, Positive
from indexer.records import Float32
from training import batches, pairs
from training.methods.whitening import Whitening, whitening
from training.pairs import Pairs, TrackFaces

_HIDDEN = 512
Activation = Literal["none", "relu"]


@checked(config=ConfigDict(extra="forbid", frozen=True))
class TrackSettings:
    """The table ``[tracks]`` of a recipe."""

    mining: Literal["ssiam", "tsiam", "pseudo-rf"] = "ssiam"
    head: Literal["mlp", "linear", "tied"] = "mlp"
    """``mlp`` is the paper's; ``linear`` a matrix initialised to the identity and kept near it;
    ``tied`` such a matrix after a whitening (`training.methods.whitening`) of tracks tied by
    clothes, which are positive pairs too."""
    subset: Annotated[int, Field(ge=3)] = 3000
    """Faces that are ranked at a time (B), for SSiam and pseudo-RF."""
    count: Annotated[int, Field(ge=1)] = 64
    """Pairs of each kind in a batch (K); for TSiam, anchors."""
    farthest: Annotated[int, Field(ge=1)] = 25
    """The farthest tracks, from which a singleton takes its negatives (F)."""
    steps: Annotated[int, Field(ge=1)] = 40
    """Batches in an epoch."""
    margin: Positive = 1.0
    """Distance at which two people are far enough apart."""
    stay: NotNegative = 1.0
    """Weight of a linear head's squared distance from the identity."""


class Mlp(nn.Module):
    """D → 512 → 2."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dimension, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, 2)

    def features(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map vectors (N, D) to the features that are clustered, (N, 512)."""
        return F.relu(self.hidden(vectors))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map vectors (N, D) to the loss's input, (N, 2)."""
        found: torch.Tensor = self.output(self.features(vectors))
        return found

    def applied(self) -> tuple[Float32, Float32, Activation]:
        """Return weight (512, D), bias (512,) and activation of the features."""
        with torch.no_grad():
            return self.hidden.weight.cpu().numpy(), self.hidden.bias.cpu().numpy(), "relu"

    def strayed(self) -> torch.Tensor:
        """Return 0: its initial weights are random, nothing to stay near."""
        return torch.zeros((), device=self.hidden.weight.device)


class Linear(nn.Module):
    """A matrix initialised to the identity, after an optional whitening that is not trained."""

    def __init__(self, dimension: int, after: Whitening | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(dimension))
        even = Whitening.nothing(dimension) if after is None else after
        self.first: torch.Tensor
        self.shift: torch.Tensor
        self.register_buffer("first", torch.from_numpy(even.weight))
        self.register_buffer("shift", torch.from_numpy(even.bias))

    def features(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map vectors (N, D) to unit vectors (N, D)."""
        return F.normalize(F.normalize(vectors @ self.first.T + self.shift) @ self.weight.T)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map vectors (N, D) to the loss's input: the features, (N, D)."""
        return self.features(vectors)

    def applied(self) -> tuple[Float32, Float32, Activation]:
        """Return weight (D, D), bias (D,) and activation of the features before normalisation."""
        with torch.no_grad():
            weight, bias = self.weight @ self.first, self.weight @ self.shift
        return weight.cpu().numpy(), bias.cpu().numpy(), "none"

    def strayed(self) -> torch.Tensor:
        """Return the squared distance of the matrix from the identity."""
        return (self.weight - torch.eye(len(self.weight), device=self.weight.device)).square().sum()


@dataclass(frozen=True)
class FromTracks:
    """The method: `training.fit.Method`. Pairs are mined on the vectors before training."""

    module: Mlp | Linear
    faces: TrackFaces
    settings: TrackSettings
    mine: Callable[[int, np.random.Generator], Pairs]
    probe: Callable[[Mlp | Linear], Mapping[str, float]] = lambda _: {}
    """Metrics of the module; none by default."""

    @property
    def steps(self) -> int:
        """Return how many batches an epoch has."""
        return self.settings.steps

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return all parameters."""
        return [(list(self.module.parameters()), 1.0)]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Pairs:
        """Return pairs of faces."""
        return self.mine(epoch * self.steps + step, rng)

    def loss(self, batch: Pairs, device: torch.device) -> torch.Tensor:
        """Return the mean contrastive losses of both kinds of pair plus the weighted `strayed`."""
        vectors = torch.from_numpy(self.faces.vectors).to(device)
        one, other = (self.module(vectors[rows]) for rows in (batch.first, batch.second))
        same = torch.from_numpy(batch.same).to(device)
        apart = (one - other).square().sum(dim=1).clamp_min(1e-12).sqrt()
        pull, push = apart.square(), F.relu(self.settings.margin - apart).square()
        kinds = [term[chosen] for term, chosen in ((pull, same), (push, ~same)) if chosen.any()]
        stay = self.settings.stay * self.module.strayed()
        return stay + sum((kind.mean() for kind in kinds), torch.zeros((), device=device))

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return the probe's metrics of the module."""
        return self.probe(self.module)


def from_tracks(faces: TrackFaces, settings: TrackSettings, seed: int) -> FromTracks:
    """Return the method for the faces of a show.

    Args:
        faces: three or more.
        settings: how.
        seed: of the head's initial weights and of TSiam's order of anchors.

    Raises:
        ValueError: there are fewer, or the tied tracks of a ``tied`` head do not differ.
    """
    if len(faces.vectors) < 3:  # noqa: PLR2004
        raise ValueError(f"expected three faces or more, got {len(faces.vectors)}")
    torch.manual_seed(seed)
    dimension = faces.vectors.shape[1]
    if settings.head == "mlp":
        return FromTracks(Mlp(dimension), faces, settings, _miner(faces, settings, seed))
    if settings.head == "linear" or not len(faces.ties):
        return FromTracks(Linear(dimension), faces, settings, _miner(faces, settings, seed))
    even = whitening(faces.means(), faces.ties)
    mine = _miner(replace(faces, vectors=even(faces.vectors)), settings, seed)

    def with_ties(step: int, rng: np.random.Generator) -> Pairs:
        return mine(step, rng) + pairs.by_ties(faces, 2 * settings.count, rng)

    return FromTracks(Linear(dimension, even), faces, settings, with_ties)


def _miner(
    faces: TrackFaces, settings: TrackSettings, seed: int
) -> Callable[[int, np.random.Generator], Pairs]:
    if settings.mining == "tsiam":
        rivals = pairs.others(faces, settings.farthest)

        def mine(step: int, rng: np.random.Generator) -> Pairs:
            count = min(settings.count, len(faces.vectors))
            asking = batches.portion(len(faces.vectors), count, step, seed, 0)
            return pairs.by_tracks(faces, rivals, asking, rng)

        return mine
    how = pairs.by_ranking if settings.mining == "ssiam" else pairs.by_feedback
    ranked = partial(how, faces.vectors, settings.subset, settings.count)
    return lambda _, rng: ranked(rng)


def features(module: Mlp | Linear, vectors: Float32) -> Float32:
    """Return a head's features of vectors, (N, D) → (N, E)."""
    device = next(module.parameters()).device
    with torch.inference_mode():
        found = module.features(torch.from_numpy(vectors).to(device))
    return np.asarray(found.float().cpu().numpy(), dtype=np.float32)
