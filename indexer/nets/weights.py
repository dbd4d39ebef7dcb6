"""Encoder weights on disk: a safetensors file that says everything needed to use it.

The tensors are the network's state dict; the file's metadata holds one JSON object under
``encoder`` with the fields of `EncoderFacts`. The encoder that comes with the project lies
beside this module, so that it is there as soon as the package is. It is SFace, its last layers
distilled from itself to see in small and degraded faces what it sees in clear ones: ``python -m
training fit`` with ``distil``, ``distil-maps`` and ``distil-deep``, then ``export --half`` and
``calibrate --write``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from indexer.errors import WeightsError
from indexer.records import Calibration, Line

if TYPE_CHECKING:
    import torch

DEFAULT_ENCODER = Path(__file__).with_name("sface-distilled.safetensors")
SFACE_ENCODER = Path(__file__).with_name("sface.safetensors")
"""What it was made from: SFace as OpenCV Zoo ships it under the Apache License 2.0, out of
``face_recognition_sface_2021dec.onnx`` by ``python -m training convert-sface``, which rounds
tensors with more than one axis to 16 bits."""
DLIB_ENCODER = Path(__file__).with_name("resnet29.safetensors")
"""The face recognition ResNet of dlib, which its author Davis King put into the public domain
(CC0 1.0); out of ``dlib_face_recognition_resnet_model_v1.dat`` by ``python -m training
convert-dlib``."""
SHIPPED = {"": DEFAULT_ENCODER, "sface": SFACE_ENCODER, "dlib": DLIB_ENCODER}
"""By their names in ``embed.weights``."""
VGGFACE2_URL = (
    "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
    "20180402-114759-vggface2.pt"
)
_TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
"""Types of a safetensors file → torch's names; any other keeps its name."""


@dataclasses.dataclass(frozen=True)
class EncoderFacts:
    """What must be known of an encoder to feed it and to compare its embeddings."""

    network: str
    """The name of its definition in `indexer.nets.encoder`."""
    dimension: int
    input_size: int
    """Side of the square it sees, in pixels."""
    mean: tuple[float, float, float]
    """Subtracted from RGB levels of 0 to 255."""
    std: tuple[float, float, float]
    """Divided by, after that."""
    template: tuple[tuple[float, float], ...]
    """Where the five landmarks go in that square, x before y."""
    calibration: Calibration
    """What a cosine means, for recognition; ``python -m training calibrate`` measures it."""
    digest: str
    """sha256 over names, types, shapes and bytes of the tensors, in order of name."""
    mirrored: bool = False
    """Whether the vector of the mirror image is added; a setting, not a fact of the file."""
    head: str = ""
    """Digest of the head on it, "" for none; a setting, too."""

    @property
    def encoder_id(self) -> str:
        """Return sha256 over all but the calibration: embeddings are comparable if it is equal."""
        facts = {k: v for k, v in dataclasses.asdict(self).items() if k != "calibration"}
        if not self.mirrored:
            del facts["mirrored"]
        if not self.head:
            del facts["head"]
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


#: InceptionResnetV1 was fed with the detector's box stretched over 160x160 pixels. The template is
#: where the landmarks of 770 photos of LFW (every tenth) lie on average in such a box, made
#: symmetric. The calibration is a guess: measure it with ``python -m training calibrate``.
VGGFACE2_FACTS = EncoderFacts(
    network="inception_resnet_v1",
    dimension=512,
    input_size=160,
    mean=(127.5, 127.5, 127.5),
    std=(128.0, 128.0, 128.0),
    calibration=Calibration((96.0,), (Line(0.45, 14.0),), (Line(0.45, 14.0),), 0.7, 0.05),
    template=((44.1, 61.8), (115.9, 61.8), (80.0, 93.4), (48.4, 121.0), (111.6, 121.0)),
    digest="",
)


def digest(content: bytes) -> str:
    """Return sha256 over names, types, shapes and bytes of the tensors, in order of name.

    Args:
        content: of a safetensors file: the length of its header in 8 bytes, little-endian; the
            header, JSON that says type, shape and place of each tensor; the tensors.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header, tensors = json.loads(content[8:start]), memoryview(content)[start:]
    total = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}):
        one = header[name]
        kind = _TYPES.get(one["dtype"], one["dtype"])
        total.update(f"{name} torch.{kind} {tuple(one['shape'])}\n".encode())
        total.update(tensors[slice(*one["data_offsets"])])
    return total.hexdigest()


def save(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: EncoderFacts, *, half: bool = False
) -> EncoderFacts:
    """Write a weights file, whole or not at all, and return its facts with the digest filled in.

    Args:
        path: where to.
        tensors: the network's state.
        facts: what must be known of it.
        half: whether tensors with more than one axis are rounded to 16 bits: that halves the file,
            and SFace's vectors keep a cosine of 0.99999 to what they were.

    Raises:
        WeightsError: it cannot be written.
    """
    from safetensors import torch as files  # noqa: PLC0415  (whoever has tensors has torch)

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if half:
        tensors = {name: one.half() if one.ndim > 1 else one for name, one in tensors.items()}
    facts = dataclasses.replace(facts, digest=digest(files.save(tensors)))
    metadata = {"encoder": json.dumps(dataclasses.asdict(facts), sort_keys=True)}
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.save_file(tensors, beside, metadata=metadata)
        beside.chmod(0o644)  # safetensors writes for the owner alone
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(path, f"cannot be written: {error}", "check the folder") from error
    finally:
        beside.unlink(missing_ok=True)
    return facts


def read_facts(path: Path) -> EncoderFacts:
    """Return the facts in a weights file, without reading the tensors.

    Raises:
        WeightsError: there is no such file, or it is not a weights file of this project.
    """
    if not path.is_file():
        raise WeightsError(path, "no such weights file", "check embed.weights")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            path, f"is not a safetensors file: {error}", "export it again"
        ) from error
    try:
        return TypeAdapter(EncoderFacts).validate_json(metadata.get("encoder", ""))
    except ValidationError as error:
        raise WeightsError(
            path, "does not say how to use its encoder", "use a file written by this project"
        ) from error


def check(path: Path) -> EncoderFacts:
    """Return the facts in a weights file, its tensors checked against the digest.

    Raises:
        WeightsError: as `read_facts`, or the tensors are not the ones that were written.
    """
    facts = read_facts(path)
    if digest(path.read_bytes()) != facts.digest:
        raise WeightsError(path, "is damaged: its digest does not match", "copy it again")
    return facts


def read(path: Path) -> tuple[EncoderFacts, dict[str, torch.Tensor]]:
    """Return facts and tensors of a weights file, checked against its digest.

    Raises:
        WeightsError: as `check`.
    """
    from safetensors.torch import load_file  # noqa: PLC0415  (it needs torch)

    return check(path), load_file(path)


def resolve(name: str) -> Path:
    """Return the weights file that the setting ``embed.weights`` means, fetching it if need be."""
    if name in SHIPPED:
        return SHIPPED[name]
    if name == "vggface2":
        return fetch_vggface2(cache_folder() / "vggface2.safetensors")
    return Path(name).expanduser()


def cache_folder() -> Path:
    """Return the folder that keeps downloaded weights, which need not exist yet.

    It is beside the one of ``torch.hub``, by the same rules.
    """
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    torchs = Path(os.environ.get("TORCH_HOME", Path(caches, "torch"))).expanduser()
    return torchs / "who-is-on-screen"


def fetch_vggface2(path: Path, url: str = VGGFACE2_URL) -> Path:
    """Download facenet-pytorch's VGGFace2 weights once and keep them as a weights file.

    Args:
        path: the weights file wanted; if it exists it is taken as it is.
        url: where the state dict of facenet-pytorch's InceptionResnetV1 is served.

    Raises:
        WeightsError: the release page cannot be reached, or did not send such a state dict.
    """
    if path.is_file():
        return path
    import torch  # noqa: PLC0415  (only a download is torch's own format)

    download = path.with_suffix(".pt")
    by_hand = download.is_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not by_hand:
            torch.hub.download_url_to_file(url, str(download), progress=False)
        tensors = torch.load(download, map_location="cpu", weights_only=True)
    except (OSError, urllib.error.URLError, RuntimeError, UnpicklingError) as error:
        problem = "is not a state dict" if by_hand else f"cannot be fetched: {error}"
        source = download if by_hand else url
        remedy = f"download {url} and save it as {download}"
        raise WeightsError(source, problem, remedy) from error
    finally:
        if not by_hand:
            download.unlink(missing_ok=True)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("logits.")}
    save(path, kept, VGGFACE2_FACTS)
    return path
