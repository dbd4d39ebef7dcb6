"""A linear head on an encoder's vectors: how likely a face is each of several characters.

One small safetensors file holds it: ``weight`` (K, D), ``bias`` (K,), and in the metadata under
``head`` one JSON object with the fields of `HeadFacts`.

    logits z = weight · vector + bias        probability p = 1 / (1 + exp(-slope · z - offset))

with one slope and one offset for all classes: Platt, "Probabilistic outputs for support vector
machines", 1999, pooled, as seven faces of a character are too few to fit two numbers of its own.
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
from safetensors import SafetensorError, safe_open
from safetensors import numpy as files
from scipy.special import expit

from indexer.errors import WeightsError
from indexer.nets.weights import digest
from indexer.records import Float32, Float64, Int64

SCHEMA: Literal["head/1"] = "head/1"
Together = Literal["max", "noisy-or"]
"""How the probabilities of faces are combined into a picture's; see `in_pictures`."""
ONCE = ("embed.head=", "embed.mirrored=false")
"""Settings for the bare encoder without mirror images: the vectors that heads are trained on."""


@dataclass(frozen=True)
class HeadFacts:
    """All of a head but its tensors."""

    schema: Literal["head/1"]
    classes: tuple[str, ...]
    """(K,), the characters."""
    encoder_id: str
    """Of the vectors that it was trained on."""
    thresholds: tuple[float, ...]
    """(K,), the least probability at which a character is said to be there."""
    slope: float
    offset: float
    together: Together
    digest: str
    """sha256 over the tensors, as that of an encoder."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head ready to use."""

    weight: Float32
    """(K, D)."""
    bias: Float32
    """(K,)."""
    facts: HeadFacts

    def __post_init__(self) -> None:
        count = len(self.facts.classes)
        got = (self.weight.shape[:1], self.bias.shape, (len(self.facts.thresholds),))
        if got != ((count,),) * 3 or self.weight.ndim != 2:  # noqa: PLR2004
            raise ValueError(f"weight, bias, thresholds: expected {count} rows, got {got}")


def logits(head: Head, vectors: Float32) -> Float32:
    """Return the uncalibrated logits of each face and character, (N, K), for unit rows (N, D)."""
    return (vectors @ head.weight.T + head.bias).astype(np.float32)


def probabilities(head: Head, vectors: Float32) -> Float64:
    """Return the calibrated probability that each face is each character, (N, K) in [0, 1]."""
    scores = logits(head, vectors).astype(np.float64)
    return np.asarray(expit(head.facts.slope * scores + head.facts.offset))


def in_pictures(faces: Float64, picture: Int64, count: int, together: Together) -> Float64:
    """Return the probability that each character is in each picture, (M, K); 0 without faces.

    Args:
        faces: (N, K), the probabilities of the faces.
        picture: (N,), the index of the picture that each face is in.
        count: M.
        together: ``max`` takes the largest; ``noisy-or`` treats the faces as independent:
            1 - Π (1 - p).
    """
    if together == "max":
        largest = np.zeros((count, faces.shape[1]))
        np.maximum.at(largest, picture, faces)
        return largest
    nobody = np.ones((count, faces.shape[1]))
    np.multiply.at(nobody, picture, 1 - faces)
    return 1 - nobody


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
    metadata = {"head": json.dumps(dataclasses.asdict(facts), sort_keys=True)}
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(files.save(tensors, metadata=metadata))
        beside.replace(path)
    except OSError as error:
        raise WeightsError(path, f"cannot be written: {error}", "check the folder") from error
    finally:
        beside.unlink(missing_ok=True)
    return dataclasses.replace(head, facts=facts)


def load(path: Path, encoder_id: str) -> Head:
    """Return the head in a file.

    Args:
        path: what `save` wrote.
        encoder_id: of the encoder whose vectors it will be applied to.

    Raises:
        WeightsError: the file is missing, damaged or no head, or of another encoder.
    """
    if not path.is_file():
        raise WeightsError(path, "no such file", "make one with training fit-stills")
    try:
        content = path.read_bytes()
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("head", "")
        facts = TypeAdapter(HeadFacts).validate_json(text)
        tensors = files.load(content)
        head = Head(tensors["weight"], tensors["bias"], facts)
    except (OSError, SafetensorError, ValidationError, KeyError, ValueError) as error:
        problem = f"is not a head of this project: {str(error).splitlines()[0]}"
        raise WeightsError(path, problem, "make one with training fit-stills") from error
    if digest(content) != facts.digest:
        raise WeightsError(path, "is damaged: its digest does not match", "copy it again")
    if facts.encoder_id != encoder_id:
        raise WeightsError(
            path,
            f"was trained on another encoder ({facts.encoder_id[:12]}, not {encoder_id[:12]})",
            "give the encoder it was trained on with --weights, or train it again",
        )
    return head
