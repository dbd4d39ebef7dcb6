"""Face encoders: an aligned crop in, a unit vector out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from indexer.errors import WeightsError
from indexer.nets import weights
from indexer.nets.runtime import Input, Net, ready
from indexer.nets.weights import EncoderFacts
from indexer.records import Float32, UInt8


class Block(nn.Module):
    """A residual block of two 3x3 convolutions, with parameter-free shortcuts.

    Where it narrows, the first convolution is strided and unpadded and the shortcut is a 2x2
    average pool; where the two differ in size, zeros are added at the end of the smaller one.
    """

    def __init__(self, inside: int, outside: int, *, narrow: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if narrow else (1, 1)
        self.first = nn.Conv2d(inside, outside, 3, stride, padding)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1)
        self.narrow = narrow

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inside, H, W) to (N, outside, H', W')."""
        y = self.second(F.relu(self.first(x)))
        if self.narrow:
            x = F.avg_pool2d(x, 2)
        size = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
        return F.relu(_grown(x, size) + _grown(y, size))


def _grown(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    channels, rows, columns = (want - got for want, got in zip(size, x.shape[1:], strict=True))
    return F.pad(x, (0, columns, 0, rows, 0, channels)) if channels or rows or columns else x


class ResNet29(nn.Module):
    """dlib's face recognition network, with its affine layers folded into the convolutions.

    The network of King, "High quality face recognition with deep metric learning", dlib blog,
    2017: a ResNet-34 (He et al. 2016) with fewer layers and half the filters.
    """

    WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
    NARROW = (3, 7, 10, 13)

    def __init__(self, dimension: int = 128) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        inside = (32, *self.WIDTHS)
        self.blocks = nn.Sequential(
            *(
                Block(inside[i], width, narrow=i in self.NARROW)
                for i, width in enumerate(self.WIDTHS)
            )
        )
        self.head = nn.Linear(256, dimension, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised crops (N, 3, 150, 150) to vectors (N, dimension), not yet unit."""
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        return self.head(self.blocks(x).mean(dim=(2, 3)))


@dataclass(frozen=True, slots=True)
class Encoder:
    """A network ready to run, and the facts of its weights."""

    net: Net
    """Aligned crops (N, S, S, 3) → vectors (N, D), not yet unit."""
    facts: EncoderFacts


def build(network: str, dimension: int) -> nn.Module:
    """Return an untrained network by the name that weights files use.

    Raises:
        ValueError: no network of that name.
    """
    if network == "resnet29":
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


def load(name: str, device: torch.device, workers: int = 1) -> Encoder:
    """Return the encoder that the setting ``embed.weights`` names, for so many threads at once.

    Raises:
        WeightsError: the file is missing, damaged, or does not fit its network.
    """
    path = weights.resolve(name)
    facts, tensors = weights.read(path)
    try:
        module = build(facts.network, facts.dimension)
        module.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise WeightsError(path, f"does not fit its network: {problem}", "export anew") from error
    wants = Input(facts.input_size, facts.mean, facts.std)
    return Encoder(ready(module, wants, device, workers), facts)


def encode(encoder: Encoder, chips: UInt8) -> Float32:
    """Return unit rows (N, D) for aligned crops (N, S, S, 3) RGB uint8; N may be 0."""
    if len(chips) == 0:
        return np.zeros((0, encoder.facts.dimension), dtype=np.float32)
    [vectors] = encoder.net(chips)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
