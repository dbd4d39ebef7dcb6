"""Yardsticks on disk, one safetensors file each: what cosines of an encoder's vectors are worth.

A file holds ``cohort`` (M, D), and in the metadata under ``yardstick`` a JSON object with the
fields of `YardstickFacts`. ``python -m training trust`` makes one. It is not part of the encoder: a
better measurement changes no embedding.
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
from indexer.nets.head import bare_id, metadata
from indexer.nets.weights import EncoderFacts
from indexer.records import Yardstick

SHIPPED = tuple(
    Path(__file__).with_name(f"{encoder}-yardstick.safetensors")
    for encoder in ("sface-distilled", "sface")
)
"""Of the default encoder, and of the SFace that it was made from."""
SCHEMA: Literal["yardstick/4"] = "yardstick/4"

COEFFICIENTS = ("pairs", "helped", "names", "belief", "nobody")
"""Fields of `Yardstick` that are stored under the same names."""


@dataclass(frozen=True)
class YardstickFacts:
    """The metadata stored with the cohort."""

    schema: Literal["yardstick/4"]
    encoder_id: str
    """Of the encoder that it is for, by `bare_id`."""
    pairs: tuple[float, ...]
    helped: tuple[float, ...]
    names: tuple[float, ...]
    belief: tuple[float, float]
    nobody: tuple[float, float]


def save(path: Path, stick: Yardstick, encoder_id: str) -> None:
    """Write a yardstick, whole or not at all.

    Raises:
        WeightsError: it cannot be written.
    """
    measured = {name: getattr(stick, name) for name in COEFFICIENTS}
    facts = YardstickFacts(SCHEMA, encoder_id, **measured)
    said = {"yardstick": json.dumps(dataclasses.asdict(facts), sort_keys=True)}
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(files.save({"cohort": stick.cohort.astype(np.float16)}, metadata=said))
        beside.replace(path)
    except OSError as error:
        raise WeightsError(path, f"cannot be written: {error}", "check the folder") from error
    finally:
        beside.unlink(missing_ok=True)


def shipped(encoder: EncoderFacts) -> Yardstick:
    """Return the shipped yardstick for an encoder's vectors, else one of its calibration alone.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    sticks = (load(encoder, path) for path in SHIPPED)
    plain = Yardstick.of(encoder.calibration, encoder.dimension)
    return next((one for one in sticks if one.names), plain)


def load(encoder: EncoderFacts, path: Path) -> Yardstick:
    """Return the yardstick in a file if it is for the encoder, else one of the calibration alone.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        content = path.read_bytes()
        facts = TypeAdapter(YardstickFacts).validate_json(metadata(content, "yardstick"))
        if facts.encoder_id != bare_id(encoder):
            return Yardstick.of(encoder.calibration, encoder.dimension)
        cohort = files.load(content)["cohort"].astype(np.float32)
        measured = {name: getattr(facts, name) for name in COEFFICIENTS}
        return Yardstick(encoder.calibration, cohort, **measured)
    except (OSError, SafetensorError, ValidationError, KeyError, ValueError) as error:
        problem = f"is not a yardstick: {str(error).splitlines()[0]}"
        raise WeightsError(path, problem, "make one with training trust") from error
