"""The definition of the default detector's network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

from indexer.nets.yunet import STRIDES


class Unit(nn.Sequential):
    """A pointwise convolution and a depthwise 3x3 one, rectified if asked."""

    def __init__(self, inside: int, outside: int, *, rectified: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, 1),
            nn.Conv2d(outside, outside, 3, 1, 1, groups=outside),
            *([nn.ReLU()] if rectified else []),
        )


class YuNet(nn.Module):
    """The network of YuNet as OpenCV Zoo ships it, its batch normalisations folded in.

    Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20,
    2023. Its head's four outputs at each stride are joined into one here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), Unit(16, 16), nn.MaxPool2d(2)),
            *(Unit(16, 16), Unit(16, 32), Unit(32, 32), Unit(32, 64), nn.MaxPool2d(2)),
            *(Unit(64, 64), Unit(64, 64)),
        )
        self.middle = nn.Sequential(nn.MaxPool2d(2), Unit(64, 64), Unit(64, 64))
        self.coarse = nn.Sequential(nn.MaxPool2d(2), Unit(64, 64), Unit(64, 64))
        self.necks = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(Unit(64, 16, rectified=False) for _ in STRIDES)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map RGB levels (N, 3, H, W), sides in multiples of 32, to (N, 15, H / s, W / s) each.

        For each stride s: the score; the box's centre, the logarithms of its sides, and five
        landmarks, in units of s. Points are relative to the cell's corner.
        """
        fine = self.fine(x)
        middle = self.middle(fine)
        seen = [self.necks[2](self.coarse(middle))]
        for level, neck in ((middle, self.necks[1]), (fine, self.necks[0])):
            seen.append(neck(level + F.interpolate(seen[-1], scale_factor=2, mode="nearest")))
        said = [head(level) for head, level in zip(self.heads, reversed(seen), strict=True)]
        return tuple(
            torch.cat([torch.sigmoid(one[:, :2]).prod(1, keepdim=True).sqrt(), one[:, 2:]], dim=1)
            for one in said
        )
