"""Distillation from clean to narrow and distorted faces, without identity labels.

A teacher, by default the encoder before training, embeds the clean face and its mirror image; the
student, the encoder that is trained, learns to give a random view the same embedding. Closeness
alone would favour an average embedding for whatever is hard to see, so each view must also be
told from the clean faces of the rest of the batch (van den Oord, Li and Vinyals, "Representation
learning with contrastive predictive coding", 2018, eq. 4).

Embeddings are compared after a whitening, in which directions that distortions change count less
and those that tell faces apart more. It is learnt from the training faces and is not exported.

An embedding says little about places in the face, so that deeper layers soon memorise a thousand
faces. With ``maps`` they also learn the teacher's feature maps of the clean face, place by place
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
"""Faces to learn the whitening from, at most."""
_BLEND = (0.3, 0.7)
"""Range of the share of the first face in a blend of two."""


@checked(config=ConfigDict(extra="forbid", frozen=True))
class DistilSettings:
    """The table ``[distil]`` of a recipe."""

    batch: Annotated[int, Field(ge=2)] = 128
    """Faces in a batch."""
    blended: Share = 0.5
    """Share of the faces that are blended with another, pixel by pixel: people who do not exist,
    but whom the teacher embeds all the same."""
    temperature: Positive = 0.1
    apart: NotNegative = 0.2
    """Weight of telling a view's clean face from the others of the batch."""
    maps: NotNegative = 0.0
    """Weight of the error of a view's feature maps against those of the clean face, aligned with it
    (`unexplained`). Each place in the face is a target, which is memorised less soon than one
    vector."""
    teacher: str | None = None
    """The encoder, as in ``start.weights``, whose vectors and maps of clean faces are the targets;
    if not given, the one that this stage starts from. With the one that an earlier stage started
    from, what that stage lost on clean faces is regained."""
    compiled: bool = False
    """Whether the student's maps are computed by compiled code, which takes a C++ compiler and a
    minute at first: a step then takes half the time, and rounds differently."""
    head_rate: NotNegative = 1.0
    """Factor of the learning rate for the head; 0 freezes it. It has most of the weights, and is
    the first part to memorise faces."""


class Mapped(Protocol):
    """A network that gives its feature maps, which are the input of its head."""

    head: nn.Module

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised crops (N, 3, S, S) to the head's input, (N, C, H, W)."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean faces, and a view of each."""

    clean: UInt8
    """(B, S, S, 3)."""
    views: UInt8
    """(B, S, S, 3)."""
    taught: Float32 | None = None
    """(B, D), the teacher's vectors of the clean faces, if they are known already."""
    placed: UInt8 | None = None
    """(B, S, S, 3), the clean faces aligned with their views, if maps are compared."""


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
    """(N, D), the teacher's vectors of the faces; None to compute them for each batch."""

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
        """Return the batches per epoch; faces that do not fill a last one are left out."""
        return max(1, len(self.faces) // self.settings.batch)

    def groups(self) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
        """Return the encoder's trained parameters, the head's apart if their rate differs."""
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
        """Return the probe's metrics of the encoder."""
        return self.probe(self.encoder)

    def _goal(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return the teacher's vectors of clean faces, whitened, (B, D)."""
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
        """Return the teacher's feature maps of clean faces, (B, C, H, W)."""
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
    """Check that an encoder can be trained with the settings, and freeze its head if they say so.

    Raises:
        ConfigError: the settings need maps or a head that the network lacks, or ask for compiled
            maps without using maps or without a compiler.
    """
    head = getattr(module, "head", None)
    if settings.compiled and not settings.maps:
        raise ConfigError("distil.compiled", "needs maps, but distil.maps is 0", "leave it out")
    compiler = os.environ.get("CXX", "g++")  # as torch looks for it
    if settings.compiled and shutil.which(compiler) is None:
        problem = f"needs a C++ compiler, but there is no {compiler}"
        raise ConfigError("distil.compiled", problem, "install one, or set it to false")
    if settings.maps and (head is None or not hasattr(module, "maps")):
        problem = "is above 0, but the encoder's network has no maps"
        raise ConfigError("distil.maps", problem, "begin with sface, or set it to 0")
    if settings.head_rate != 1 and head is None:
        problem = f"is {settings.head_rate:g}, but the encoder's network has no head"
        raise ConfigError("distil.head_rate", problem, "begin with sface, or set it to 1")
    if settings.head_rate == 0 and head is not None:
        head.requires_grad_(requires_grad=False)


def require_others(faces: FaceSet, settings: DistilSettings) -> None:
    """Check that there are two faces or more if maps are compared (`unexplained`).

    Raises:
        ConfigError: there is only one.
    """
    if settings.maps and len(faces) == 1:
        problem = "compares faces, but there is only one to train on"
        raise ConfigError("distil.maps", problem, "give more, or set it to 0")


def unexplained(seen: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the share of the targets' variance over the batch that is unexplained.

    Args:
        seen: (B, ...), the student's maps.
        wanted: (B, ...), the teacher's, of B faces that differ; B is 2 or more.

    Returns:
        A scalar: squared error over variance. 0 if both are the same, about 1 if each row of
        ``seen`` is the mean of ``wanted``.
    """
    wanted = wanted.detach().float()
    missed = (seen.float() - wanted).square().mean(dim=0).sum()
    return missed / wanted.var(dim=0).sum().clamp_min(1e-12)


def blend(one: UInt8, other: UInt8, share: float) -> UInt8:
    """Return the weighted mean of two aligned faces, (C, C, 3).

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
    """Return a whitening of the differences between the vectors of views and of clean faces.

    Args:
        teacher: the encoder whose vectors are whitened.
        faces: one or more.
        viewer: the encoder's input.
        views: the augmentation.
        seed: of the choice of faces and of their views.
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
