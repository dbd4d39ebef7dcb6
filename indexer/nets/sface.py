"""The definition of the default encoder's network."""

from __future__ import annotations

import torch
from torch import nn


class Separable(nn.Sequential):
    """A depthwise 3x3 convolution and a pointwise one, each normalised and activated."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__(
            *activated(nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False)),
            *activated(nn.Conv2d(inside, outside, 1, bias=False)),
        )


def activated(convolution: nn.Conv2d) -> list[nn.Module]:
    """Return a convolution, its batch normalisation and its PReLU."""
    channels = convolution.out_channels
    return [convolution, nn.BatchNorm2d(channels, eps=1e-3), nn.PReLU(channels)]


class SFace(nn.Module):
    """The network of SFace as OpenCV Zoo ships it: a MobileNet that ends in a wide linear layer.

    Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", IEEE
    Transactions on Image Processing 30, 2021; the blocks are those of Howard et al., "MobileNets",
    2017, table 1, but for the first stride.
    """

    WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    HALVED = (1, 3, 5, 11)
    """Indices of the blocks with a stride of two, which reduce 112 pixels to 7."""

    def __init__(self, dimension: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(*activated(nn.Conv2d(3, 32, 3, 1, 1, bias=False)))
        inside = (32, *self.WIDTHS)
        self.blocks = nn.Sequential(
            *(
                Separable(inside[i], width, 2 if i in self.HALVED else 1)
                for i, width in enumerate(self.WIDTHS)
            )
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(1024, eps=2e-5),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(1024 * 7 * 7, dimension),
            nn.BatchNorm1d(dimension, eps=2e-5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised crops (N, 3, 112, 112) to vectors (N, dimension), not yet unit."""
        out: torch.Tensor = self.head(self.maps(x))
        return out

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Map normalised crops (N, 3, 112, 112) to the head's input, (N, 1024, 7, 7)."""
        out: torch.Tensor = self.blocks(self.stem(x))
        return out
