"""A torch module in, a function on pictures out, run where it is fastest.

On a GPU that is torch. On a CPU it is OpenVINO, which needs a quarter of the time or less; the
conversion is exact but for the last bits, which the tests hold against torch.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import local
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from indexer.nets import weights
from indexer.records import Float32, UInt8

# Else OpenVINO reports to its makers, over the network, that it was imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402


class Net(Protocol):
    """A network ready to run: RGB levels (N, H, W, 3) → its outputs, each (N, ...)."""

    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        """Run the network; one picture's outputs do not depend on the others'."""
        ...


@dataclass(frozen=True, slots=True)
class Input:
    """What a network wants to see."""

    side: int | None
    """Height and width in pixels; None for any."""
    mean: tuple[float, float, float]
    """Subtracted from levels of 0 to 255."""
    std: tuple[float, float, float]
    """Divided by, after that."""
    together: int = 1
    """How many pictures go through at once on a CPU, the last ones filled up: for every number
    of them OpenVINO makes another program, which takes longer than the pictures do."""


def ready(module: nn.Module, wants: Input, device: torch.device, workers: int) -> Net:
    """Return the module as a function that `workers` threads may call at the same time."""
    module = module.eval()
    if device.type != "cpu":
        return _OnGpu(module.to(device), wants, device)
    return _OnCpu(module, wants, workers)


class _OnGpu:
    def __init__(self, module: nn.Module, wants: Input, device: torch.device) -> None:
        self._module, self._device = module, device
        self._mean, self._std = (
            torch.tensor(values, device=device) for values in (wants.mean, wants.std)
        )

    @torch.inference_mode()
    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device)
        outputs = self._module(((x.float() - self._mean) / self._std).permute(0, 3, 1, 2))
        return [one.cpu().numpy() for one in _listed(outputs)]


class _OnCpu:
    def __init__(self, module: nn.Module, wants: Input, workers: int) -> None:
        self._program = _compiled(module, wants, workers)
        self._together = wants.together
        self._own = local()

    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        if not hasattr(self._own, "request"):
            self._own.request = self._program.create_infer_request()
        parts = [
            [out[:count] for out in self._own.request.infer([full], share_inputs=True).values()]
            for count, full in self._portions(pictures)
        ]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _portions(self, pictures: Float32 | UInt8) -> Iterator[tuple[int, Float32]]:
        """Yield the pictures in portions of one size, and how many of each are pictures."""
        for start in range(0, len(pictures), self._together):
            some = np.asarray(pictures[start : start + self._together], dtype=np.float32)
            missing = self._together - len(some)
            full = np.pad(some, [(0, missing), *[(0, 0)] * 3]) if missing else some
            yield len(some), np.ascontiguousarray(full)


def _compiled(module: nn.Module, wants: Input, workers: int) -> Any:  # noqa: ANN401
    exact = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": workers,
        "ENABLE_CPU_PINNING": False,  # others use the cores too
        "NUM_STREAMS": workers,  # one thread each: sums do not depend on how many there are
    }
    core, kept = openvino.Core(), _kept(module, wants)
    with suppress(OSError, RuntimeError):  # not there, not ours to read, or damaged
        return core.compile_model(core.read_model(kept), "CPU", exact)
    model = _converted(module, wants)
    # Conversion takes seconds, reading what it gave does not.
    with suppress(OSError), TemporaryDirectory(dir=_made(kept.parent)) as folder:
        openvino.save_model(model, Path(folder) / kept.name, compress_to_fp16=False)
        (Path(folder) / kept.name).with_suffix(".bin").replace(kept.with_suffix(".bin"))
        (Path(folder) / kept.name).replace(kept)
    return core.compile_model(model, "CPU", exact)


def _converted(module: nn.Module, wants: Input) -> openvino.Model:
    side = wants.side or 48
    shape = [wants.together, 3, wants.side or -1, wants.side or -1]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns of sizes that are fixed here
        example = torch.zeros(wants.together, 3, side, side)
        size = openvino.PartialShape(shape)
        model = openvino.convert_model(module, example_input=example, input=size)
    prepared = PrePostProcessor(model)
    prepared.input().tensor().set_layout(openvino.Layout("NHWC"))
    prepared.input().preprocess().mean(list(wants.mean)).scale(list(wants.std))
    prepared.input().model().set_layout(openvino.Layout("NCHW"))
    return prepared.build()


def _kept(module: nn.Module, wants: Input) -> Path:
    """Return the file that keeps the converted network for the next time."""
    tensors = weights.digest(module.state_dict())
    facts = f"{type(module)} {tensors} {wants} {openvino.__version__} {torch.__version__}"
    return weights.cache_folder() / f"{hashlib.sha256(facts.encode()).hexdigest()[:24]}.xml"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _listed(outputs: torch.Tensor | Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else outputs
