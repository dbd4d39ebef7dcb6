"""The three networks of MTCNN, with the weights that facenet-pytorch ships.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 2016. The cascade around them is `indexer.detect`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

from indexer.nets.runtime import Input, Net, ready

PROPOSE_CELL = 12
"""Side of what one output of the proposing network sees, in pixels of its pyramid level."""
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


def load(device: torch.device, workers: int = 1) -> Mtcnn:
    """Return the networks with their weights, for the device and so many threads at once."""
    return Mtcnn(
        propose=ready(PNet(), Input(None, _MEAN, _STD), device, workers),
        refine=ready(RNet(), Input(REFINE_SIDE, _MEAN, _STD, together=32), device, workers),
        locate=ready(ONet(), Input(LOCATE_SIDE, _MEAN, _STD, together=8), device, workers),
        batched=device.type != "cpu",
    )
