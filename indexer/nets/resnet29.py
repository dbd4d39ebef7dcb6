"""The definition of dlib's network."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


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
