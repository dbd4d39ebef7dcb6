"""A network in, a function on pictures out, run where it is fastest.

On a GPU that is torch. On a CPU it is OpenVINO, which needs a quarter of the time or less; the
conversion is exact but for the last bits, which the tests check against torch. Importing torch
takes longer than everything else together, so it is imported only for a GPU, or for a conversion
that is not cached yet.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from indexer.nets import weights
from indexer.records import Float32, UInt8

# Otherwise OpenVINO reports to its makers, over the network, that it was imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

Device = Literal["cpu", "cuda"]
Precision = Literal["f32", "bf16"]
"""How a CPU multiplies: in bfloat16 only where it supports that."""
_ALONE = {
    "INFERENCE_NUM_THREADS": 1,  # so that sums do not depend on how many there are
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # other threads use the cores too
}
_ANY_SIDE = 64
"""Side in pixels of the example for a network that takes any size."""
_MOST_KEPT = 32
"""Converted networks in the cache: several times what a user needs, as training adds new ones."""
_DRIVERS = ("libcuda.so.1", "nvcuda.dll")
_DEFINED_BY = ("torch", "torchvision", "facenet-pytorch")
"""The packages that a network's definition, and so its conversion, may depend on."""


class Net(Protocol):
    """A network ready to run: RGB levels (N, H, W, 3) → its outputs, each (N, ...)."""

    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        """Run the network; one picture's outputs do not depend on the others'."""
        ...


@dataclass(frozen=True, slots=True)
class Network:
    """A torch module that can be identified before it is built."""

    key: str
    """The name of its definition and a digest of its weights."""
    build: Callable[[], nn.Module]


@dataclass(frozen=True, slots=True)
class Input:
    """The pictures that a network expects."""

    side: int | None
    """Height and width in pixels; None for any."""
    mean: tuple[float, float, float]
    """Subtracted from levels of 0 to 255."""
    std: tuple[float, float, float]
    """Divided by, after that."""
    together: int = 1
    """Batch size on a CPU, the last batch padded: OpenVINO compiles a program for every batch
    size, which takes longer than the pictures do."""


def has_gpu() -> bool:
    """Return whether torch can use a GPU; without a driver for one, torch is not asked."""
    if not (any(_loads(name) for name in _DRIVERS) or Path("/dev/kfd").exists()):  # AMD's
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def ready(network: Network, wants: Input, device: Device, precision: Precision = "f32") -> Net:
    """Return the network as a function that several threads may call at the same time.

    Args:
        network: what runs.
        wants: the pictures that it expects.
        device: where; a GPU always runs it in f32.
        precision: of a CPU.
    """
    if device == "cpu":
        return _OnCpu(network, wants, precision)
    from indexer.nets.with_torch import OnGpu  # noqa: PLC0415

    return OnGpu(network.build(), wants, device)


class _OnCpu:
    """A network on a CPU: a pool of compiled programs, one for each thread that is calling it.

    Threads that share one program wait for its streams, a tenth of the time.
    """

    def __init__(self, network: Network, wants: Input, precision: Precision) -> None:
        self._model = _model(network, wants)
        self._how = {**_ALONE, "INFERENCE_PRECISION_HINT": precision}
        self._together = wants.together
        self._idle: list[Any] = []
        # OpenVINO's setup in the first call of a process deadlocks if two threads make it at once:
        # so it is called here, where one thread loads.
        side = wants.side or _ANY_SIDE
        self(np.zeros((1, side, side, 3), np.float32))

    def __call__(self, pictures: Float32 | UInt8) -> list[Float32]:
        with self._program() as program:
            parts = [
                [out[:count] for out in program.infer([full], share_inputs=True).values()]
                for count, full in self._portions(pictures)
            ]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    @contextmanager
    def _program(self) -> Iterator[Any]:
        """Lend a program to one thread."""
        try:
            program = self._idle.pop()
        except IndexError:
            program = openvino.Core().compile_model(self._model, "CPU", self._how)
            program = program.create_infer_request()
        yield program
        self._idle.append(program)

    def _portions(self, pictures: Float32 | UInt8) -> Iterator[tuple[int, Float32]]:
        """Yield batches of one size, padded with zeros, each with its number of pictures."""
        for start in range(0, len(pictures), self._together):
            some = np.asarray(pictures[start : start + self._together], dtype=np.float32)
            missing = self._together - len(some)
            full = np.pad(some, [(0, missing), *[(0, 0)] * 3]) if missing else some
            yield len(some), np.ascontiguousarray(full)


def _model(network: Network, wants: Input) -> openvino.Model:
    kept = _kept(network, wants)
    with suppress(OSError, RuntimeError):  # not there, not ours to read, or damaged
        model = openvino.Core().read_model(kept)
        with suppress(OSError):
            kept.touch()  # it was used
        return model
    model = _converted(network.build(), wants)
    # Conversion takes seconds; reading its result does not.
    with suppress(OSError), TemporaryDirectory(dir=_made(kept.parent)) as folder:
        openvino.save_model(model, Path(folder) / kept.name, compress_to_fp16=False)
        (Path(folder) / kept.name).with_suffix(".bin").replace(kept.with_suffix(".bin"))
        (Path(folder) / kept.name).replace(kept)
        _tidy(kept.parent)
    return model


def _converted(module: nn.Module, wants: Input) -> openvino.Model:
    import torch  # noqa: PLC0415

    side = wants.side or _ANY_SIDE
    shape = [wants.together, 3, wants.side or -1, wants.side or -1]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns of sizes that become constants
        example = torch.zeros(wants.together, 3, side, side)
        size = openvino.PartialShape(shape)
        model = openvino.convert_model(module.eval(), example_input=example, input=size)
    prepared = PrePostProcessor(model)
    prepared.input().tensor().set_layout(openvino.Layout("NHWC"))
    prepared.input().preprocess().mean(list(wants.mean)).scale(list(wants.std))
    prepared.input().model().set_layout(openvino.Layout("NCHW"))
    return prepared.build()


def _kept(network: Network, wants: Input) -> Path:
    """Return the file that caches the converted network."""
    versions = [metadata.version(package) for package in _DEFINED_BY]
    facts = f"{network.key} {wants} {openvino.__version__} {versions}"
    return weights.cache_folder() / f"{hashlib.sha256(facts.encode()).hexdigest()[:24]}.xml"


def _tidy(folder: Path) -> None:
    """Remove all cached networks but those used most recently."""
    by_use = sorted(folder.glob("*.xml"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_use[_MOST_KEPT:]:
        path.unlink(missing_ok=True)
        path.with_suffix(".bin").unlink(missing_ok=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
