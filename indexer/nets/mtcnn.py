"""The three networks of MTCNN, with the weights that facenet-pytorch ships.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 2016. The cascade around them is `indexer.detect`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.nets.runtime import Device, Input, Net, Network, Precision, ready

if TYPE_CHECKING:
    from torch import nn

PROPOSE_CELL = 12
"""Receptive field of one output of the proposal network: side in pixels of its pyramid level."""
PROPOSE_STRIDE = 2
REFINE_SIDE = 24
LOCATE_SIDE = 48
_MEAN, _STD = (127.5,) * 3, (128.0,) * 3


@dataclass(frozen=True, slots=True)
class Mtcnn:
    """The networks, ready to run. Each takes RGB levels of 0 to 255, (N, H, W, 3)."""

    propose: Net
    """Any size → box offsets (N, 4, H', W') and face probability (N, 2, H', W')."""
    refine: Net
    """24x24 → offsets (N, 4) and probability (N, 2)."""
    locate: Net
    """48x48 → offsets (N, 4), landmarks (N, 10), x before y, and probability (N, 2)."""
    batched: bool
    """Whether several pictures together are faster than one after the other."""


def load(device: Device, precision: Precision = "f32") -> Mtcnn:
    """Return the networks with their weights, for the device and its precision."""
    propose = Input(None, _MEAN, _STD)
    refine = Input(REFINE_SIDE, _MEAN, _STD, together=32)
    return Mtcnn(
        propose=ready(_network("PNet"), propose, device, precision),
        refine=ready(_network("RNet"), refine, device, precision),
        locate=load_last(device, precision),
        batched=device != "cpu",
    )


def load_last(device: Device, precision: Precision = "f32") -> Net:
    """Return the last network, which tells whether a square shows a face, and where."""
    wants = Input(LOCATE_SIDE, _MEAN, _STD, together=4)
    return ready(_network("ONet"), wants, device, precision)


def _network(name: str) -> Network:
    """Return a network of facenet-pytorch's, known by the file of weights beside its code."""
    file = f"facenet_pytorch/data/{name.lower()}.pt"
    content = Path(str(metadata.distribution("facenet-pytorch").locate_file(file))).read_bytes()
    return Network(f"{name} {hashlib.sha256(content).hexdigest()}", partial(_built, name))


def _built(name: str) -> nn.Module:
    from facenet_pytorch.models import mtcnn  # noqa: PLC0415  (it needs torch)

    return getattr(mtcnn, name)()
