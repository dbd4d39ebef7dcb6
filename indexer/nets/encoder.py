"""Face encoders: an aligned crop in, a unit vector out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexer.errors import WeightsError
from indexer.nets import head as heads
from indexer.nets import weights, yardstick
from indexer.nets.runtime import Device, Input, Net, Network, ready
from indexer.nets.weights import EncoderFacts
from indexer.records import Float32, UInt8, Yardstick

if TYPE_CHECKING:
    from torch import nn


def _as_is(vectors: Float32) -> Float32:
    return vectors


@dataclass(frozen=True, slots=True)
class Encoder:
    """A network ready to run, and the facts of its weights."""

    net: Net
    """Aligned crops (N, S, S, 3) → vectors (N, D), not yet unit."""
    facts: EncoderFacts
    adapt: Callable[[Float32], Float32] = _as_is
    """Unit rows (N, D) → unit rows (N, E): the head, or the identity without one."""

    @property
    def yardstick(self) -> Yardstick:
        """Return the yardstick for cosines of its vectors."""
        return yardstick.shipped(self.facts)


def build(network: str, dimension: int) -> nn.Module:
    """Return an untrained network by the name that weights files use.

    Raises:
        ValueError: no network of that name.
    """
    if network == "sface":
        from indexer.nets.sface import SFace  # noqa: PLC0415  (as the others: it needs torch)

        return SFace(dimension)
    if network == "resnet29":
        from indexer.nets.resnet29 import ResNet29  # noqa: PLC0415

        return ResNet29(dimension)
    if network == "inception_resnet_v1":
        from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1  # noqa: PLC0415

        return InceptionResnetV1()
    if network in ("resnet18", "resnet50"):
        from torchvision import models  # noqa: PLC0415

        return models.get_model(network, weights=None, num_classes=dimension)
    known = "sface, resnet29, resnet18, resnet50 or inception_resnet_v1"
    raise ValueError(f"network: expected {known}, got {network!r}")


def load(name: str, device: Device, *, mirrored: bool = False, head: str = "") -> Encoder:
    """Return the encoder that the setting ``embed.weights`` names, for the device.

    Args:
        name: of the weights.
        device: where it runs.
        mirrored: whether it also looks at the mirror image of each face.
        head: a head's file, or "" for none; it is applied after the mirroring.

    Raises:
        WeightsError: a file is missing, damaged, or does not fit its network or encoder.
    """
    path = weights.resolve(name)
    facts = dataclasses.replace(weights.check(path), mirrored=mirrored)
    put_on = heads.load(Path(head), facts) if head else None  # before the network, which is slow
    encoder = Encoder(_net(path, facts, device), facts)
    if put_on is None:
        return encoder
    return dataclasses.replace(encoder, facts=heads.headed(facts, put_on), adapt=put_on)


def _net(path: Path, facts: EncoderFacts, device: Device) -> Net:
    network = Network(f"{facts.network} {facts.dimension} {facts.digest}", partial(module, path))
    return ready(network, Input(facts.input_size, facts.mean, facts.std), device)


def module(path: Path) -> nn.Module:
    """Return the torch module of a weights file.

    Raises:
        WeightsError: the file is missing, damaged, or does not fit its network.
    """
    facts, tensors = weights.read(path)
    try:
        built = build(facts.network, facts.dimension)
        built.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise WeightsError(
            path, f"does not fit its network: {problem}", "export it again"
        ) from error
    return built


@dataclass(frozen=True, slots=True)
class Seen:
    """An encoder's output for N faces."""

    vectors: Float32
    """(N, D), unit rows."""
    lengths: Float32
    """(N,), lengths before normalisation: the shorter, the less the encoder could tell."""


def encode(encoder: Encoder, chips: UInt8) -> Float32:
    """Return unit rows for faces, (N, D); N may be 0.

    Args:
        encoder: the encoder.
        chips: (N, S, S, 3) RGB uint8, aligned.
    """
    return look(encoder, chips).vectors


def look(encoder: Encoder, chips: UInt8) -> Seen:
    """Return an encoder's output for faces; N may be 0.

    Encoders learn long vectors for faces that they can tell apart (Meng et al., "MagFace", CVPR
    2021, sec. 3, enforces it; others learn it unasked). The length reflects more than face size.

    Args:
        encoder: the encoder.
        chips: (N, S, S, 3) RGB uint8, aligned.
    """
    if len(chips) == 0:
        return Seen(np.zeros((0, encoder.facts.dimension), np.float32), np.zeros(0, np.float32))
    vectors, lengths = _seen(encoder.net, chips, mirrored=encoder.facts.mirrored)
    return Seen(encoder.adapt(vectors), lengths)


def _seen(net: Net, chips: UInt8, *, mirrored: bool) -> tuple[Float32, Float32]:
    """Return unit rows for faces, (N, D), and their lengths before normalisation, (N,).

    With mirror images, the unit sum of both unit vectors and the mean of both lengths.
    """
    [vectors] = net(chips)
    lengths = np.linalg.norm(vectors, axis=1)
    if not mirrored:
        return _unit(vectors), lengths
    [others] = net(np.ascontiguousarray(chips[:, :, ::-1]))
    both = (lengths + np.linalg.norm(others, axis=1)) / 2
    return _unit(_unit(vectors) + _unit(others)), both


def _unit(vectors: Float32) -> Float32:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
