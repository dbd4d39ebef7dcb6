"""The networks, ready to run, and what they see in a still."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from indexer import clothes, detect, embed, parallel
from indexer.config import Settings
from indexer.detect import Detector
from indexer.errors import ConfigError, StoreError
from indexer.nets import encoder as encoders
from indexer.nets import runtime, weights
from indexer.nets.encoder import Encoder
from indexer.nets.runtime import Device
from indexer.nets.weights import EncoderFacts
from indexer.records import Detections, Faces, UInt8
from indexer.store.library import Library

_TIGHT = 0.6
"""A face that fills more of a picture's side than this has no room for its landmarks."""


@dataclass(frozen=True, slots=True)
class Models:
    """The networks, ready to run."""

    detector: Detector
    encoder: Encoder
    workers: int
    """How many threads may use them at the same time."""


def load_models(settings: Settings) -> Models:
    """Return detector and encoder on the device that the settings ask for.

    Raises:
        ConfigError: a GPU is asked for, and there is none.
        WeightsError: the encoder cannot be loaded.
    """
    device = _device(settings.embed.device)
    # A GPU looks at many frames together: two that take turns keep it busy.
    workers = settings.detect.workers or (parallel.cores() if device == "cpu" else 2)
    wanted = settings.embed
    encoder = encoders.load(wanted.weights, device, mirrored=wanted.mirrored, head=wanted.head)
    return Models(detect.load(settings.detect, device), encoder, workers)


def check_encoder(library: Library, encoder: EncoderFacts) -> None:
    """Check that a library was made with an encoder.

    Raises:
        StoreError: it was made with another; the remedy names that one if it ships.
    """
    wanted, found = library.encoder_id, encoder.encoder_id
    if wanted != found:
        problem = f"was made with encoder {wanted[:8]}, not {found[:8]}"
        remedy = _shipped(wanted, encoder) or _given(library)
        raise StoreError(library.root, problem, f"{remedy}, or choose another --library")


def _shipped(encoder_id: str, instead_of: EncoderFacts) -> str:
    """Return the settings that select an encoder instead of another, or "" if it does not ship."""
    for name, path in weights.SHIPPED.items():
        for mirrored in (True, False):
            facts = dataclasses.replace(weights.read_facts(path), mirrored=mirrored)
            if facts.encoder_id == encoder_id:
                changes = {
                    f"embed.weights={name}": facts.digest != instead_of.digest,
                    f"embed.mirrored={str(mirrored).lower()}": mirrored != instead_of.mirrored,
                    "embed.head=": bool(instead_of.head),
                }
                return " ".join(["add", *(f"--set {one}" for one in changes if changes[one])])
    return ""


def _given(library: Library) -> str:
    """Return how to select an encoder that does not ship, and the library's settings for it."""
    was = library.settings.get("embed", {})
    said = [f"embed.{name} was {was[name]}" for name in ("weights", "head") if was.get(name)]
    remedy = "its encoder is not a shipped one; give its weights file with --set embed.weights=FILE"
    return f"{remedy} ({', '.join(said)})" if said else remedy


def _device(wanted: str) -> Device:
    if wanted == "cpu":
        return "cpu"
    has_gpu = runtime.has_gpu()
    if wanted == "cuda" and not has_gpu:
        raise ConfigError("embed.device=cuda", "finds no GPU that torch can use", "set it to auto")
    return "cuda" if has_gpu else "cpu"


def still_faces(models: Models, image: UInt8, settings: Settings) -> Faces:
    """Return the faces of a still, largest first, with aligned crops.

    A face that fills the picture breaks the detector's landmarks: then, or if no face is found, a
    border is put around the picture.
    """
    found = detect.detect(models.detector, [image], settings.detect)[0]
    if len(found) == 0 or _fills(found, image):
        border = max(image.shape[:2]) // 2
        padded = np.pad(image, ((border, border), (border, border), (0, 0)))
        again = detect.detect(models.detector, [padded], settings.detect)[0]
        if len(again):
            found = Detections(again.boxes - border, again.scores, again.landmarks - border)
    chips = embed.align(image, found.landmarks, models.encoder.facts)
    patches = detect.patches(image, found.boxes)
    worn = clothes.colours(image, found.boxes)
    return Faces(
        0, 0.0, 0, found, chips, embed.quality(found, chips, models.encoder.facts), patches, worn
    )


def _fills(found: Detections, image: UInt8) -> bool:
    height, width = image.shape[:2]
    sides = found.boxes[0, 2:] - found.boxes[0, :2]
    return bool(np.any(sides > _TIGHT * np.array([width, height])))
