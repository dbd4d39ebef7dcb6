"""Face encoders: an aligned crop in, a unit vector out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from indexer.errors import WeightsError
from indexer.nets import head as heads
from indexer.nets import weights, yardstick
from indexer.nets.head import Head
from indexer.nets.runtime import Device, Input, Net, Network, ready
from indexer.nets.weights import EncoderFacts
from indexer.records import Float32, UInt8, Yardstick

if TYPE_CHECKING:
    from torch import nn


NO_HEAD = "none"
_NARROW_PX = 20.0
"""Faces of less than this are narrow."""


def _as_is(vectors: Float32) -> Float32:
    return vectors


@dataclass(frozen=True, slots=True)
class Encoder:
    """A network ready to run, and the facts of its weights."""

    net: Net
    """Aligned crops (N, S, S, 3) → vectors (N, D), not yet unit."""
    facts: EncoderFacts
    adapt: Callable[[Float32], Float32] = _as_is
    """Unit rows (N, D) → unit rows (N, E): a head, if one is put on."""
    narrow: Net | None = None
    """Another one, whose vectors are added to those of narrow faces."""

    @property
    def yardstick(self) -> Yardstick:
        """Return what cosines of its vectors are worth."""
        return yardstick.load(self.facts)


def build(network: str, dimension: int) -> nn.Module:
    """Return an untrained network by the name that weights files use.

    Raises:
        ValueError: no network of that name.
    """
    if network == "resnet29":
        from indexer.nets.resnet29 import ResNet29  # noqa: PLC0415  (as the others: it needs torch)

        return ResNet29(dimension)
    if network == "inception_resnet_v1":
        from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1  # noqa: PLC0415

        return InceptionResnetV1()
    if network in ("resnet18", "resnet50"):
        from torchvision import models  # noqa: PLC0415

        return models.get_model(network, weights=None, num_classes=dimension)
    raise ValueError(
        f"network: expected resnet29, resnet18, resnet50 or inception_resnet_v1, got {network!r}"
    )


def load(
    name: str, device: Device, *, mirrored: bool = False, narrow: bool = False, head: str = ""
) -> Encoder:
    """Return the encoder that the setting ``embed.weights`` names, for the device.

    Args:
        name: of the weights.
        device: where it runs.
        mirrored: whether it looks at the mirror image of each face too.
        narrow: whether narrow faces are looked at by the default encoder's sister too; other
            encoders have none.
        head: a head's file, "none", or "" for the one that comes with the default encoder. It is
            put on after the mirroring, and over the default head if it was learnt over that.

    Raises:
        WeightsError: a file is missing, damaged, or does not fit its network or encoder.
    """
    path = weights.resolve(name)
    facts = dataclasses.replace(weights.check(path), mirrored=mirrored)
    sister = weights.check(weights.NARROW_ENCODER) if narrow and not name else None
    if sister is not None:
        facts = dataclasses.replace(facts, narrow=sister.digest)
    put_on = _heads(name, facts, head)  # before the network, which is slow
    encoder = Encoder(_net(path, facts, device), facts)
    if sister is not None:
        later = _Later(partial(_net, weights.NARROW_ENCODER, sister, device))
        encoder = dataclasses.replace(encoder, narrow=later)
    for one in put_on:
        facts = heads.headed(encoder.facts, one)
        encoder = dataclasses.replace(encoder, facts=facts, adapt=_after(encoder.adapt, one))
    return encoder


class _Later:
    """A net that is made when it is first needed: many videos show no narrow face."""

    def __init__(self, make: Callable[[], Net]) -> None:
        self._make, self._lock = make, Lock()
        self._made: Net | None = None

    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made(pictures)


def _net(path: Path, facts: EncoderFacts, device: Device) -> Net:
    network = Network(f"{facts.network} {facts.dimension} {facts.digest}", partial(module, path))
    return ready(network, Input(facts.input_size, facts.mean, facts.std), device)


def _heads(name: str, facts: EncoderFacts, head: str) -> list[Head]:
    """Return the heads that go on an encoder, the first one first."""
    own = [] if name or head == NO_HEAD else [heads.load(heads.DEFAULT_HEAD, facts)]
    if head in ("", NO_HEAD):
        return own
    over = [heads.headed(facts, one) for one in own]
    wanted = heads.load(Path(head), facts, *over)
    return [wanted] if wanted.facts.encoder_id in heads.ids(facts) else [*own, wanted]


def _after(
    first: Callable[[Float32], Float32], then: Callable[[Float32], Float32]
) -> Callable[[Float32], Float32]:
    return lambda vectors: then(first(vectors))


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
        raise WeightsError(path, f"does not fit its network: {problem}", "export anew") from error
    return built


def encode(encoder: Encoder, chips: UInt8, widths: Float32 | None = None) -> Float32:
    """Return unit rows for faces, (N, D); N may be 0.

    Args:
        encoder: the encoder.
        chips: (N, S, S, 3) RGB uint8, aligned.
        widths: (N,), of the faces in the picture, in pixels; if not given, none is narrow.
    """
    if len(chips) == 0:
        return np.zeros((0, encoder.facts.dimension), dtype=np.float32)
    vectors = _seen(encoder.net, chips, mirrored=encoder.facts.mirrored)
    if encoder.narrow is not None and widths is not None:
        narrow = np.flatnonzero(widths < _NARROW_PX)
        if len(narrow):
            vectors[narrow] += _seen(encoder.narrow, chips[narrow], mirrored=encoder.facts.mirrored)
    return encoder.adapt(_unit(vectors))


def _seen(net: Net, chips: UInt8, *, mirrored: bool) -> Float32:
    """Return unit rows for faces, or with their mirror images the sums of both."""
    [vectors] = net(chips)
    if not mirrored:
        return _unit(vectors)
    [others] = net(np.ascontiguousarray(chips[:, :, ::-1]))
    return _unit(_unit(vectors) + _unit(others))


def _unit(vectors: Float32) -> Float32:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
