"""A small head on an encoder's vectors, learnt from a show: unit rows in, unit rows out.

One safetensors file holds it: ``weight`` (E, D), ``bias`` (E,), and in the metadata under ``head``
one JSON object with the fields of `HeadFacts`.

    y = f(weight · x + bias) / ‖f(weight · x + bias)‖        f: nothing, or relu

``python -m training fit-tracks`` makes one. A cosine of its outputs does not mean what one
of the encoder's vectors means, so it comes with a calibration of its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors import numpy as files

from indexer.errors import WeightsError
from indexer.nets.weights import EncoderFacts, digest
from indexer.records import Calibration, Float32

SCHEMA: Literal["track-head/1"] = "track-head/1"
_REMEDY = "make one with training fit-tracks"


@dataclass(frozen=True)
class HeadFacts:
    """What must be known of a head to use it."""

    schema: Literal["track-head/1"]
    encoder_id: str
    """Of the encoder whose vectors it was trained on."""
    dimension: int
    """E, of the output."""
    activation: Literal["none", "relu"]
    calibration: Calibration
    """What a cosine of its outputs means."""
    digest: str
    """sha256 over the tensors, as for an encoder."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head ready to use."""

    weight: Float32
    """(E, D)."""
    bias: Float32
    """(E,)."""
    facts: HeadFacts

    def __post_init__(self) -> None:
        count = self.facts.dimension
        if self.weight.ndim != 2 or (len(self.weight), *self.bias.shape) != (count, count):  # noqa: PLR2004
            raise ValueError(
                f"weight, bias: expected shapes ({count}, any), ({count},), "
                f"got {self.weight.shape}, {self.bias.shape}"
            )

    def __call__(self, vectors: Float32) -> Float32:
        """Return unit rows (N, E) for unit rows (N, D); N may be 0."""
        # Row by row: how a matrix product rounds depends on the number of rows.
        rows = [self.weight @ vector for vector in vectors]
        found = np.array(rows, np.float32).reshape(-1, len(self.bias)) + self.bias
        if self.facts.activation == "relu":
            found = np.maximum(found, 0)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return (found / np.maximum(lengths, 1e-12)).astype(np.float32)


def headed(facts: EncoderFacts, head: Head) -> EncoderFacts:
    """Return the facts of an encoder with a head on it: those of the head's output."""
    # Lengths are measured before the head, on the vectors that it is given.
    calibration = dataclasses.replace(head.facts.calibration, length=facts.calibration.length)
    return dataclasses.replace(
        facts,
        dimension=head.facts.dimension,
        calibration=calibration,
        head=head.facts.digest,
    )


def save(path: Path, head: Head) -> Head:
    """Write a head, whole or not at all, and return it with its digest filled in.

    Raises:
        WeightsError: it cannot be written.
    """
    tensors = {
        "weight": np.ascontiguousarray(head.weight, np.float32),
        "bias": np.ascontiguousarray(head.bias, np.float32),
    }
    facts = dataclasses.replace(head.facts, digest=digest(files.save(tensors)))
    said = {"head": json.dumps(dataclasses.asdict(facts), sort_keys=True)}
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(files.save(tensors, metadata=said))
        beside.replace(path)
    except OSError as error:
        raise WeightsError(path, f"cannot be written: {error}", "check the folder") from error
    finally:
        beside.unlink(missing_ok=True)
    return dataclasses.replace(head, facts=facts)


def bare_id(encoder: EncoderFacts) -> str:
    """Return an encoder's id without mirroring: a head fits the encoder with it and without."""
    return dataclasses.replace(encoder, mirrored=False).encoder_id


def ids(encoder: EncoderFacts) -> tuple[str, str]:
    """Return the ids that a head for an encoder may name: the encoder's own, and `bare_id`."""
    return encoder.encoder_id, bare_id(encoder)


def load(path: Path, *encoders: EncoderFacts) -> Head:
    """Return the head in a file.

    Args:
        path: what `save` wrote.
        encoders: those whose vectors it may be given.

    Raises:
        WeightsError: the file is missing, damaged or no head, or of another encoder.
    """
    if not path.is_file():
        raise WeightsError(path, "no such file", _REMEDY)
    try:
        content = path.read_bytes()
        tensors = files.load(content)
        facts = TypeAdapter(HeadFacts).validate_json(metadata(content, "head"))
        head = Head(tensors["weight"], tensors["bias"], facts)
    except (OSError, SafetensorError, ValidationError, KeyError, ValueError) as error:
        problem = f"is not a head for tracks: {str(error).splitlines()[0]}"
        raise WeightsError(path, problem, _REMEDY) from error
    if digest(content) != facts.digest:
        raise WeightsError(path, "is damaged: its digest does not match", "copy it again")
    known = [one for encoder in encoders for one in ids(encoder)]
    if facts.encoder_id not in known:
        raise WeightsError(
            path,
            f"is for another encoder ({facts.encoder_id[:12]}, not {known[-1][:12]})",
            "set embed.weights to the encoder it was trained on, or train it again",
        )
    return head


def metadata(content: bytes, name: str) -> str:
    """Return the entry `name` of a safetensors file's metadata, "" if there is none."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return str(header.get("__metadata__", {}).get(name, ""))
