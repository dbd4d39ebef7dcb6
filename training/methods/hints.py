"""What a teacher's layers say of each place of a clean face, as a goal for what others see there.

Hints: Romero et al., "FitNets: hints for thin deep nets", ICLR 2015, eq. 3. A vector says little of
what was seen where, so that deeper layers soon know a thousand faces by heart; every place of a
face teaches, and is not learnt by heart so soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from indexer.errors import ConfigError
from indexer.records import UInt8
from training import encoders
from training.encoders import Trainable
from training.views import Viewer, ViewSettings, random_pair


class Mapped(Protocol):
    """A network that says what its head is given."""

    head: nn.Module

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised crops (N, 3, S, S) to what the head is given, (N, C, H, W)."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What an encoder made of views."""

    vectors: torch.Tensor
    """(B, D), not yet unit."""
    unexplained: torch.Tensor
    """A scalar, 0 where no hints were given: `unexplained`."""


def prepare(module: nn.Module, table: str, maps: float, head_rate: float) -> None:
    """See whether an encoder can be taught so, and leave its head as it is if that is asked.

    Args:
        module: the encoder.
        table: of the recipe that asks for it, for messages.
        maps: weight of the hints.
        head_rate: what the learning rate of the head is multiplied by.

    Raises:
        ConfigError: the network has no maps or no head, and something is asked of them.
    """
    head = getattr(module, "head", None)
    if maps and (head is None or not hasattr(module, "maps")):
        problem = "is above 0, and the encoder's network has no maps"
        raise ConfigError(f"{table}.maps", problem, "begin with sface, or set it to 0")
    if head_rate != 1 and head is None:
        problem = f"is {head_rate:g}, and the encoder's network has no head"
        raise ConfigError(f"{table}.head_rate", problem, "begin with sface, or set it to 1")
    if head_rate == 0 and head is not None:
        head.requires_grad_(requires_grad=False)


def groups(module: nn.Module, head_rate: float) -> Sequence[tuple[Sequence[nn.Parameter], float]]:
    """Return an encoder's trained parameters and their rates, those of its head apart if slower.

    Args:
        module: the encoder.
        head_rate: what the learning rate of the head is multiplied by.
    """
    everything = encoders.trained(module)
    if head_rate == 1:
        return [(everything, 1.0)]
    last = {id(one) for one in cast(Mapped, module).head.parameters()}
    blocks = [one for one in everything if id(one) not in last]
    head = [one for one in everything if id(one) in last]
    return [(some, rate) for some, rate in ((blocks, 1.0), (head, head_rate)) if some]


def views_of(
    chips: UInt8, viewer: Viewer, settings: ViewSettings, rng: np.random.Generator
) -> tuple[UInt8, UInt8]:
    """Return a random view of each face, and the clean face in the same place, (B, S, S, 3) each.

    Args:
        chips: (B, C, C, 3).
        viewer: what the encoder sees.
        settings: how far views stray; both of a pair are mirrored, or neither.
        rng: draws them.
    """
    mirrored = rng.random(len(chips)) < settings.flip
    turned = np.where(mirrored[:, None, None, None], chips[:, :, ::-1], chips)
    pairs = [random_pair(chip, viewer, settings, rng) for chip in turned]
    views, placed = (np.stack(some) for some in zip(*pairs, strict=True))
    return views, placed


def look(
    encoder: Trainable,
    teacher: Trainable,
    views: UInt8,
    placed: UInt8 | None,
    device: torch.device,
) -> Seen:
    """Return what an encoder makes of views, and how far its maps are from the hints.

    Args:
        encoder: learns.
        teacher: gives the hints, and does not change.
        views: (B, S, S, 3).
        placed: (B, S, S, 3), the clean faces where their views are; None for no hints.
        device: where both are.
    """
    levels = encoders.tensor(views, encoder.facts, device)
    if placed is None:
        return Seen(encoder.module(levels), torch.zeros((), device=device))
    network = cast(Mapped, encoder.module)
    maps = network.maps(levels)
    with torch.no_grad():
        guide = cast(Mapped, teacher.module.to(device).eval())
        wanted = guide.maps(encoders.tensor(placed, teacher.facts, device))
    return Seen(network.head(maps), unexplained(maps, wanted))


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
