"""The three networks of MTCNN, with the weights that facenet-pytorch ships.

Zhang et al., "Joint face detection and alignment using multitask cascaded convolutional
networks", IEEE Signal Processing Letters 2016. The cascade around them is `indexer.detect`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import nn

PROPOSE_CELL = 12
"""Side of what one output of the proposing network sees, in pixels of its pyramid level."""
PROPOSE_STRIDE = 2
REFINE_SIDE = 24
LOCATE_SIDE = 48


@dataclass(frozen=True, slots=True)
class Mtcnn:
    """The networks on one device. Each takes (N, 3, H, W) in [-1, 1]."""

    propose: nn.Module
    """Any size → box offsets (N, 4, H', W') and face probability (N, 2, H', W')."""
    refine: nn.Module
    """24x24 → offsets (N, 4) and probability (N, 2)."""
    locate: nn.Module
    """48x48 → offsets (N, 4), landmarks (N, 10), x before y, and probability (N, 2)."""
    device: torch.device


def load(device: torch.device) -> Mtcnn:
    """Return the networks with their weights, on the device."""
    propose, refine, locate = (net().eval().to(device) for net in (PNet, RNet, ONet))
    return Mtcnn(propose, refine, locate, device)
