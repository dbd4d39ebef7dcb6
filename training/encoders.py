"""Encoders as torch modules: loaded, run, and exported as weights files for the indexer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from indexer.errors import ConfigError, WeightsError
from indexer.nets import encoder as nets
from indexer.nets import weights
from indexer.nets.runtime import Device
from indexer.nets.weights import EncoderFacts
from indexer.parallel import Workers, in_order
from indexer.records import Float32, UInt8
from training import views

SCRATCH = "scratch"
WEIGHTS = "weights.safetensors"
"""The encoder in a run's folder."""
_TOGETHER = 64
_FIRST = "make train RECIPE=... first, or set start.weights or the teacher in the recipe"


@dataclass(frozen=True, slots=True)
class Trainable:
    """An encoder that can be trained, and the input that it expects."""

    module: nn.Module
    """Normalised crops (N, 3, S, S) → vectors (N, D), not yet unit."""
    facts: EncoderFacts
    """The digest is that of the weights it started from, "" for random ones."""


def start(name: str, network: str, size: int, seed: int) -> Trainable:
    """Return an encoder to train.

    Args:
        name: as the setting ``embed.weights``: "" for the default encoder, a weights file,
            ``sface``, ``dlib``, ``vggface2``; or ``scratch`` for random weights.
        network: if from scratch: resnet18, resnet50, resnet29, or sface at 112 px.
        size: side of the crops if from scratch, in pixels; the template is scaled to it.
        seed: of random weights.

    Raises:
        WeightsError: there are no such weights.
        ConfigError: no network of that name.
    """
    if name != SCRATCH:
        path = weights.resolve(name)
        return Trainable(nets.module(path), weights.read_facts(path))
    known = weights.read_facts(weights.DEFAULT_ENCODER)
    scale = size / known.input_size
    facts = replace(
        known,
        network=network,
        dimension=512 if network != known.network else known.dimension,
        input_size=size,
        mean=(127.5,) * 3,
        std=(64.0,) * 3,
        template=tuple((x * scale, y * scale) for x, y in known.template),
        digest="",
    )
    torch.manual_seed(seed)
    try:
        return Trainable(nets.build(network, facts.dimension), facts)
    except ValueError as error:
        raise ConfigError("start.network", str(error), "see training/recipes") from error


def encoder_of(name: str, remedy: str = _FIRST) -> str:
    """Return the weights that a name stands for: of a run's folder, the file in it.

    Args:
        name: as for `start`, or a run's folder.
        remedy: what to do if there is none.

    Raises:
        WeightsError: there is none.
    """
    if name and Path(name).is_dir():
        name = str(Path(name, WEIGHTS))
    elif name in (SCRATCH, "vggface2", *weights.SHIPPED):
        return name
    if not Path(name).expanduser().is_file():
        raise WeightsError(name, "no such weights or run", remedy)
    return name


def keep(module: nn.Module, begun: Path, share: float) -> None:
    """Average an encoder's weights with those that it started from, in place.

    Args:
        module: the trained encoder.
        begun: the weights file that it started from.
        share: of those weights in the average, in [0, 1].

    Raises:
        WeightsError: the file is damaged.
    """
    if share == 0:
        return
    before = nets.module(begun).state_dict()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():  # not counters
                value.lerp_(before[name].to(value), share)


def exactly(device: torch.device) -> torch.autocast:
    """Return a context in f32, also inside a forward pass in mixed precision (`fit.Schedule`).

    Losses multiply cosines by a large scale, so that their third digit counts.
    """
    return torch.autocast(device.type, enabled=False)


def tensor(crops: UInt8, facts: EncoderFacts, device: torch.device) -> torch.Tensor:
    """Return crops (N, S, S, 3) normalised for an encoder, (N, 3, S, S)."""
    levels = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (facts.mean, facts.std))
    return (levels - mean) / std


def encode(encoder: Trainable, crops: UInt8, *, flipped: bool = False) -> Float32:
    """Return the unit vectors of faces, (N, D), by torch, where the module is.

    Args:
        encoder: the module is left in evaluation mode.
        crops: (N, C, C, 3); the middle of each is used.
        flipped: whether to add the unit vector of each mirrored face and normalise the sum.
    """
    module, facts = encoder.module.eval(), encoder.facts
    device = next(module.parameters()).device
    rows = [np.zeros((0, facts.dimension), np.float32)]
    with torch.inference_mode():
        for some in _portions(crops, facts.input_size):
            levels = tensor(some, facts, device)
            vectors = F.normalize(module(levels))
            if flipped:
                vectors = vectors + F.normalize(module(levels.flip(3)))
            rows.append(F.normalize(vectors).float().cpu().numpy())
    return np.concatenate(rows)


def _portions(crops: UInt8, size: int) -> Iterator[UInt8]:
    for i in range(0, len(crops), _TOGETHER):
        yield views.plain(np.asarray(crops[i : i + _TOGETHER]), size)


def runner(path: Path, workers: Workers, device: Device) -> Callable[[UInt8], Float32]:
    """Return a weights file's encoder as the indexer runs it: crops (N, S, S, 3) → (N, D)."""
    ready = nets.load(str(path), device)

    def run(crops: UInt8) -> Float32:
        portions = [crops[i : i + _TOGETHER] for i in range(0, len(crops), _TOGETHER)]
        rows = in_order(workers, partial(nets.encode, ready), portions)
        return np.concatenate([np.zeros((0, ready.facts.dimension), np.float32), *rows])

    return run


def export(encoder: Trainable, path: Path, *, half: bool = False) -> EncoderFacts:
    """Write a weights file that the indexer loads (``--set embed.weights=FILE``).

    Its calibration is that of the encoder it started from, without the meaning of the vectors'
    length, which training changes: ``python -m training calibrate`` measures its own.

    Args:
        encoder: what is written.
        path: where to.
        half: whether tensors with more than one axis are rounded to 16 bits.

    Raises:
        WeightsError: it cannot be written.
    """
    calibration = replace(encoder.facts.calibration, length=None)
    facts = replace(encoder.facts, calibration=calibration)
    return weights.save(path, encoder.module.state_dict(), facts, half=half)


def freeze(module: nn.Module, count: int) -> None:
    """Exclude the first blocks of an encoder from training, in place.

    Args:
        module: an encoder; the children of its sequences count as blocks.
        count: how many blocks, from the input on.

    Raises:
        ConfigError: the encoder has no more blocks than that, or the count is negative.
    """
    blocks = [
        block
        for child in module.children()
        for block in (child if isinstance(child, nn.Sequential) else [child])
    ]
    if not 0 <= count < len(blocks):
        problem = f"is {count}, but the encoder has {len(blocks)} blocks"
        raise ConfigError("start.frozen", problem, f"give 0 to {len(blocks) - 1}")
    for block in blocks[:count]:
        block.requires_grad_(requires_grad=False)


def settle(module: nn.Module) -> None:
    """Freeze an encoder's batch normalisation and disable its dropout for training, in place.

    Args:
        module: an encoder.
    """
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.requires_grad_(requires_grad=False)
        if isinstance(part, nn.Dropout):
            part.p = 0.0


def trained(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
