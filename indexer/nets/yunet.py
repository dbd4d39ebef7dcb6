"""YuNet, which finds faces in one pass: the default detector, ready to run.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
The weights beside this module are those of OpenCV Zoo (MIT licence), read out of
``face_detection_yunet_2023mar.onnx`` by ``python -m training convert-yunet``. `indexer.onepass`
turns its output into faces.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.nets import mtcnn
from indexer.nets.runtime import Device, Input, Net, Network, Precision, ready

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = Path(__file__).with_name("yunet.safetensors")
STRIDES = (8, 16, 32)
"""Of each output: pixels from one cell to the next."""
CELL = STRIDES[-1]
"""A picture's sides must be multiples of this."""
WINDOW = 160
"""Side of the square in which a known face is sought."""
_MEAN, _STD = (0.0,) * 3, (1.0,) * 3


@dataclass(frozen=True, slots=True)
class YuNet:
    """The network, ready to run. It takes RGB levels of 0 to 255, (N, H, W, 3).

    For each stride s it returns (N, 15, H / s, W / s): the score; the box's centre, the logarithms
    of its sides, and five landmarks, in units of s. Points are relative to the cell's corner.
    """

    whole: Net
    """For pictures whose sides are multiples of `CELL`."""
    near: Net
    """The same network, for squares of `WINDOW` pixels."""
    locate: Net
    """MTCNN's last network, which places landmarks more exactly."""
    batched: bool
    """Whether several pictures together are faster than one after the other."""


def load(device: Device, precision: Precision = "f32") -> YuNet:
    """Return the network with its weights, for the device and its precision."""
    content = WEIGHTS.read_bytes()
    network = Network(f"yunet {hashlib.sha256(content).hexdigest()}", partial(_built, content))
    return YuNet(
        whole=ready(network, Input(None, _MEAN, _STD), device, precision),
        near=ready(network, Input(WINDOW, _MEAN, _STD), device, precision),
        locate=mtcnn.load_last(device, precision),
        batched=device != "cpu",
    )


def _built(content: bytes) -> nn.Module:
    from safetensors.torch import load as tensors  # noqa: PLC0415  (it needs torch)

    from indexer.nets.yunet_module import YuNet as Module  # noqa: PLC0415

    module = Module()
    module.load_state_dict(tensors(content))
    return module
