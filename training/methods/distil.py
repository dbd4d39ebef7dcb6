"""What an encoder sees in clean faces it learns to see in narrow and spoilt ones; no names needed.

A teacher, the encoder as it was, looks at the clean face and at its mirror image; the encoder that
is trained looks at a random view, and shall say the same. Closeness alone is bought cheaply, by
saying something average of whatever is hard to see: so each view shall also be told from the
clean faces of all others of the batch (van den Oord, Li and Vinyals, "Representation learning
with contrastive predictive coding", 2018, eq. 4).

Vectors are compared after a whitening in which what spoiling changes counts less, and what tells
faces apart more; it is learnt from the training faces, and is no part of what comes out.

A vector says little of what was seen where, so that deeper layers soon know a thousand faces by
heart. With ``maps`` they learn from what the teacher's layers say of each place of the clean face
(hints: Romero et al., "FitNets", ICLR 2015, eq. 3).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked
from torch import nn

from indexer.config import NotNegative, Positive, Share
from indexer.errors import ConfigError
from indexer.records import Float32, Int64, UInt8
from training import batches, encoders
from training.encoders import Trainable
from training.faces import FaceSet
from training.methods.whitening import Whitening, whitening
from training.views import Viewer, ViewSettings, plain, random_pair, random_view

_SHRINK = 0.5
"""Share of the identity in the covariance of the whitening."""
_LEARNT_FROM = 1024
"""Faces that the whitening is learnt from, at most."""
_BLEND = (0.3, 0.7)
"""Share of the first face in a blend of two."""


@checked(config=ConfigDict(extra="forbid", frozen=True))
class DistilSettings:
    """The table ``[distil]`` of a recipe."""

    batch: Annotated[int, Field(ge=2)] = 128
    """Faces."""
    blended: Share = 0.5
    """Share of the faces that are mixed with another one, pixel by pixel: people that there are
    not, of whom the teacher says something all the same."""
    temperature: Positive = 0.1
    apart: NotNegative = 0.2
    """Weight of telling a view from the others of its batch."""
    maps: NotNegative = 0.0
    """Weight of the maps of a view being those of the clean face in its place (`unexplained`).
    Every place of a face teaches, not its one vector: it is not learnt by heart so soon."""
    teacher: str | None = None
    """Whose vectors and maps of clean faces are the goal, as ``start.weights``; if not given, those
    of the encoder that this begins with. With the one that an earlier stage began with, what that
    stage lost on clean faces is learnt again."""
    compiled: bool = False
    """Whether maps come from code that is compiled first, in a minute, by a C++ compiler: a step
    takes half the time, and rounds differently."""
    head_rate: NotNegative = 1.0
    """What the learning rate of the head is multiplied by; 0 leaves it as it is. It has most of
    the weights, and is the first to learn faces by heart."""


class Mapped(Protocol):
    """A network that says what its head is given."""

    head: nn.Module

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised crops (N, 3, S, S) to what the head is given, (N, C, H, W)."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Faces as they are, and a view of each."""

    clean: UInt8
    """(B, S, S, 3)."""
    views: UInt8
    """(B, S, S, 3)."""
    taught: Float32 | None = None
    """(B, D), what the teacher says of them, if it need not be asked."""
    placed: UInt8 | None = None
    """(B, S, S, 3), the clean faces where their views are, if maps are compared."""


@dataclass(frozen=True)
class Distil:
    """The method: `training.fit.Method`."""

    encoder: Trainable
    teacher: Trainable
    compare: Whitening
    faces: FaceSet
    settings: DistilSettings
    viewer: Viewer
    views: ViewSettings
    seed: int
    probe: Callable[[Trainable], Mapping[str, float]]
    taught: Float32 | None = None
    """(N, D), what the teacher says of the faces themselves; None to ask it every time."""

    def __post_init__(self) -> None:
        if self.taught is not None and (
            self.settings.blended or len(self.taught) != len(self.faces)
        ):
            raise ValueError("taught: expected what is said of each face, and none blended")

    @property
    def module(self) -> nn.Module:
        """Return the encoder, which is all that is trained."""
        return self.encoder.module

    @property
    def steps(self) -> int:
        """Return how many batches an epoch has; what does not fill the last is left out."""
        return max(1, len(self.faces) // self.settings.batch)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters, those of its head apart if they are slower."""
        everything = encoders.trained(self.module)
        if self.settings.head_rate == 1:
            return [(everything, 1.0)]
        last = {id(one) for one in cast(Mapped, self.module).head.parameters()}
        blocks = [one for one in everything if id(one) not in last]
        head = [one for one in everything if id(one) in last]
        both = ((blocks, 1.0), (head, self.settings.head_rate))
        return [(some, rate) for some, rate in both if some]

    def batch(self, epoch: int, step: int, rng: np.random.Generator) -> Batch:
        """Return faces, some of them blended, and a view of each."""
        size = min(self.settings.batch, len(self.faces))
        which = batches.portion(len(self.faces), size, step, self.seed, epoch)
        chips = self.faces.chips[which]
        taught = None if self.taught is None else self.taught[which]
        for row in np.flatnonzero(rng.random(size) < self.settings.blended).tolist():
            other = self.faces.chips[rng.integers(len(self.faces))]
            chips[row] = blend(chips[row], other, float(rng.uniform(*_BLEND)))
        clean = plain(chips, self.viewer.size)
        if not self.settings.maps:
            views = [random_view(chip, self.viewer, self.views, rng) for chip in chips]
            return Batch(clean, np.stack(views), taught)
        mirrored = rng.random(size) < self.views.flip
        turned = np.where(mirrored[:, None, None, None], chips[:, :, ::-1], chips)
        pairs = [random_pair(chip, self.viewer, self.views, rng) for chip in turned]
        spoilt, placed = (np.stack(some) for some in zip(*pairs, strict=True))
        return Batch(clean, spoilt, taught, placed)

    def loss(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the loss over the batch."""
        goal = self._goal(batch, device)
        levels = encoders.tensor(batch.views, self.encoder.facts, device)
        missed = torch.zeros((), device=device)
        if batch.placed is not None:
            maps = self._maps_of_views(levels)
            missed = unexplained(maps, self._maps(batch.placed, device))
            vectors = cast(Mapped, self.module).head(maps)
        else:
            vectors = self.module(levels)
        with encoders.exactly(device):
            seen = self._compared(F.normalize(vectors.float()))
            cosines = seen @ goal.T
            apart = F.cross_entropy(
                cosines / self.settings.temperature, torch.arange(len(goal), device=device)
            )
            closer = (1 - cosines.diagonal()).mean()
            return closer + self.settings.apart * apart + self.settings.maps * missed

    def measure(self, _: torch.device) -> Mapping[str, float]:
        """Return what the probe says of the encoder."""
        return self.probe(self.encoder)

    def _goal(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return what the teacher says of clean faces, compared, (B, D)."""
        with torch.no_grad(), encoders.exactly(device):
            if batch.taught is not None:
                return self._compared(torch.from_numpy(batch.taught).to(device))
            teacher = self.teacher.module.to(device).eval()
            levels = encoders.tensor(batch.clean, self.teacher.facts, device)
            both = F.normalize(teacher(levels)) + F.normalize(teacher(levels.flip(3)))
            return self._compared(F.normalize(both))

    @cached_property
    def _maps_of_views(self) -> Callable[[torch.Tensor], torch.Tensor]:
        maps = cast(Mapped, self.module).maps
        return torch.compile(maps) if self.settings.compiled else maps

    def _maps(self, placed: UInt8, device: torch.device) -> torch.Tensor:
        """Return what the teacher sees of clean faces, (B, C, H, W)."""
        teacher = self.teacher.module.to(device).to(memory_format=torch.channels_last).eval()
        with torch.no_grad():
            levels = encoders.tensor(placed, self.teacher.facts, device)
            return cast(Mapped, teacher).maps(levels)

    def _compared(self, vectors: torch.Tensor) -> torch.Tensor:
        weight, bias = (
            torch.from_numpy(one).to(vectors.device)
            for one in (self.compare.weight, self.compare.bias)
        )
        return F.normalize(vectors @ weight.T + bias)


def prepare(module: nn.Module, settings: DistilSettings) -> None:
    """See whether an encoder can be taught so, and leave its head as it is if that is asked.

    Raises:
        ConfigError: the network has no maps or no head, and something is asked of them; nothing
            is there to compile, or to compile with.
    """
    head = getattr(module, "head", None)
    if settings.compiled and not settings.maps:
        raise ConfigError("distil.compiled", "is of maps, and distil.maps is 0", "leave it out")
    compiler = os.environ.get("CXX", "g++")  # as torch looks for it
    if settings.compiled and shutil.which(compiler) is None:
        problem = f"needs a C++ compiler, and there is no {compiler}"
        raise ConfigError("distil.compiled", problem, "install one, or set it to false")
    if settings.maps and (head is None or not hasattr(module, "maps")):
        problem = "is above 0, and the encoder's network has no maps"
        raise ConfigError("distil.maps", problem, "begin with sface, or set it to 0")
    if settings.head_rate != 1 and head is None:
        problem = f"is {settings.head_rate:g}, and the encoder's network has no head"
        raise ConfigError("distil.head_rate", problem, "begin with sface, or set it to 1")
    if settings.head_rate == 0 and head is not None:
        head.requires_grad_(requires_grad=False)


def require_others(faces: FaceSet, settings: DistilSettings) -> None:
    """Check that there are faces to compare, if maps are.

    Raises:
        ConfigError: there is a single one.
    """
    if settings.maps and len(faces) == 1:
        problem = "compares faces, and there is one to train on"
        raise ConfigError("distil.maps", problem, "give more, or set it to 0")


def unexplained(seen: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the squared error of what was seen, over the variance of what was wanted.

    Args:
        seen: (B, ...).
        wanted: (B, ...), of B faces that differ; B is 2 or more.

    Returns:
        A scalar: 0 if both are the same, about 1 if each row of ``seen`` is the mean of ``wanted``.
    """
    wanted = wanted.detach().float()
    missed = (seen.float() - wanted).square().mean(dim=0).sum()
    return missed / wanted.var(dim=0).sum().clamp_min(1e-12)


def blend(one: UInt8, other: UInt8, share: float) -> UInt8:
    """Return a face between two aligned ones, (C, C, 3).

    Args:
        one: (C, C, 3).
        other: (C, C, 3).
        share: of the first, in [0, 1].
    """
    mixed = share * one.astype(np.float32) + (1 - share) * other
    return np.round(mixed).astype(np.uint8)


def comparison(
    teacher: Trainable, faces: FaceSet, viewer: Viewer, views: ViewSettings, seed: int
) -> Whitening:
    """Return the map after which what the views change counts as much in every direction.

    Args:
        teacher: its vectors are compared.
        faces: one or more.
        viewer: what the encoder sees.
        views: how far views stray.
        seed: of the faces and views that are taken.
    """
    rng = np.random.default_rng(seed)
    which: Int64 = rng.permutation(len(faces))[:_LEARNT_FROM]
    chips = faces.chips[which]
    clean = encoders.encode(teacher, plain(chips, viewer.size), flipped=True)
    spoilt = encoders.encode(
        teacher, np.stack([random_view(chip, viewer, views, rng) for chip in chips])
    )
    count = np.arange(len(chips))
    ties = np.stack([count, count + len(chips)], axis=1)
    return whitening(np.concatenate([clean, spoilt]), ties, _SHRINK)
