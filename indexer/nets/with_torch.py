"""A torch module run by torch itself, on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from indexer.nets.runtime import Device, Input
from indexer.records import Float32, UInt8


class OnGpu:
    """A `runtime.Net` on a GPU."""

    def __init__(self, module: nn.Module, wants: Input, device: Device) -> None:
        self._module, self._device = module.eval().to(device), device
        self._mean, self._std = (
            torch.tensor(values, device=device) for values in (wants.mean, wants.std)
        )

    @torch.inference_mode()
    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        """Run the network; one picture's outputs do not depend on the others'."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device)
        outputs = self._module(((x.float() - self._mean) / self._std).permute(0, 3, 1, 2))
        return [one.cpu().numpy() for one in _listed(outputs)]


def _listed(outputs: torch.Tensor | Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else outputs
