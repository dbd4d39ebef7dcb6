"""Weights of other projects, rewritten as weights files of this one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import openvino
import safetensors.torch
import torch

from indexer.errors import WeightsError
from indexer.nets import weights
from indexer.nets.resnet29 import ResNet29
from indexer.nets.sface import SFace
from indexer.nets.yunet_module import YuNet
from indexer.records import Calibration, Float32, Line
from indexer.store import disk

#: Measured by ``python -m training calibrate DATA --photos 900`` on LFW.
RESNET29_CALIBRATION = Calibration(
    widths=(12.0, 16.0, 22.0, 32.0, 48.0, 96.0),
    wide=(
        Line(0.8729, 43.8),
        Line(0.8803, 68.3),
        Line(0.8899, 114.4),
        Line(0.8988, 144.2),
        Line(0.9042, 176.2),
        Line(0.907, 185.5),
    ),
    alike=(
        Line(0.9075, 34.1),
        Line(0.9007, 56.9),
        Line(0.9008, 91.8),
        Line(0.9012, 121.3),
        Line(0.9047, 165.2),
        Line(0.907, 185.5),
    ),
    genuine=0.9528,
    impostor=0.8363,
)
RESNET29_FACTS = weights.EncoderFacts(
    network="resnet29",
    dimension=128,
    input_size=150,
    mean=(122.782, 117.001, 104.298),
    std=(256.0, 256.0, 256.0),
    template=((48.45, 46.22), (102.50, 46.23), (75.08, 79.65), (51.30, 105.18), (99.21, 105.26)),
    calibration=RESNET29_CALIBRATION,
    digest="",
)
#: Likewise.
SFACE_CALIBRATION = Calibration(
    widths=(12.0, 16.0, 22.0, 32.0, 48.0, 96.0),
    wide=(
        Line(0.1242, 14.8),
        Line(0.1765, 21.6),
        Line(0.2453, 34.4),
        Line(0.3023, 39.8),
        Line(0.3349, 51.6),
        Line(0.3564, 56.9),
    ),
    alike=(
        Line(0.227, 10.3),
        Line(0.2026, 16.4),
        Line(0.2386, 24.9),
        Line(0.2858, 35.2),
        Line(0.3255, 40.1),
        Line(0.3564, 56.9),
    ),
    genuine=0.6896,
    impostor=0.1076,
)
SFACE_FACTS = weights.EncoderFacts(
    network="sface",
    dimension=128,
    input_size=112,
    mean=(127.5, 127.5, 127.5),
    std=(128.0, 128.0, 128.0),
    template=(
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ),
    calibration=SFACE_CALIBRATION,
    digest="",
)
_SEPARABLE = ((0, "_dw"), (3, ""))
"""Position of the depthwise and the pointwise convolution in a block, and their names' ending."""
#: The convolutions of YuNet by their numbers in its file, in the order of our definition: body and
#: necks, then the heads, each of which is four in the file: class, objectness, box, landmarks.
_YUNET = (
    *((at,) for at in (0, 2, 3, 6, 7, 9, 10, 12, 13, 15, 16, 19, 20, 22, 23)),
    *((at,) for at in (26, 27, 29, 30, 33, 34, 36, 37, 51, 52, 45, 46, 39, 40)),
    *((at, at + 12, at + 6, at + 18) for at in range(54, 60)),
)
_BEGINNINGS = (b"\x08", b"<")
"""The first byte of an ONNX file, and of one in OpenVINO's own format."""
TENSOR_VERSION = 2


def convert_dlib(source: Path, target: Path) -> str:
    """Write dlib's face recognition network as a weights file and return its digest.

    Args:
        source: ``dlib_face_recognition_resnet_model_v1.dat`` (CC0 1.0).
        target: the .safetensors file to write.

    Raises:
        WeightsError: the source is not that network.
    """
    try:
        layers = list(_layers(source.read_bytes()))
    except OSError as error:
        raise WeightsError(source, error.strerror or "cannot be read", "check the path") from error
    module = ResNet29()
    convolutions = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    tags = [tag for tag, _ in layers]
    if tags != ["con_4", "affine_"] * len(convolutions) + ["fc_2"]:
        raise WeightsError(source, "is not dlib's face recognition network", "check its sha256")
    parameters = [values for _, values in layers]
    with torch.no_grad():
        for i, convolution in enumerate(convolutions):
            _fold(convolution, parameters[2 * i], parameters[2 * i + 1])
        module.head.weight.copy_(torch.from_numpy(parameters[-1].reshape(256, 128).T.copy()))
    return weights.save(target, module.state_dict(), RESNET29_FACTS).digest


def convert_sface(source: Path, target: Path) -> str:
    """Write OpenCV Zoo's SFace as a weights file and return its digest.

    Tensors with more than one axis are rounded to 16 bits; the cosine of an embedding with the
    unrounded network's is then 0.99999.

    Args:
        source: ``face_recognition_sface_2021dec.onnx`` (Apache License 2.0).
        target: the .safetensors file to write.

    Raises:
        WeightsError: the source is not that network.
    """
    module = SFace()
    tensors = module.state_dict()
    try:
        nodes = _operations(source)
        for here, there in _names():
            values = np.array(nodes[there].get_data(), np.float32)
            tensors[here] = torch.from_numpy(values.reshape(tensors[here].shape))
        module.load_state_dict(tensors)
    except (RuntimeError, KeyError, ValueError, AttributeError) as error:
        raise WeightsError(source, "is not OpenCV Zoo's SFace", "check its sha256") from error
    return weights.save(target, tensors, SFACE_FACTS, half=True).digest


def convert_yunet(source: Path, target: Path) -> str:
    """Write OpenCV Zoo's YuNet, for RGB instead of BGR, as a file of tensors; return its digest.

    Args:
        source: ``face_detection_yunet_2023mar.onnx`` (MIT licence).
        target: the .safetensors file to write.

    Raises:
        WeightsError: the source is not that network.
        StoreError: the target cannot be written.
    """
    module = YuNet()
    convolutions = [one for one in module.modules() if isinstance(one, torch.nn.Conv2d)]
    try:
        nodes = _operations(source)
        for here, there in zip(convolutions, _YUNET, strict=True):
            parts = [_learnt(nodes, number) for number in there]
            for tensor, values in zip(here.parameters(), zip(*parts, strict=True), strict=True):
                tensor.data = torch.from_numpy(np.concatenate(values).reshape(tensor.shape))
    except (RuntimeError, KeyError, ValueError, AttributeError, IndexError) as error:
        raise WeightsError(source, "is not OpenCV Zoo's YuNet", "check its sha256") from error
    stem = convolutions[0].weight
    stem.data = stem.data.flip(1)
    content = safetensors.torch.save(module.state_dict())
    with disk.explained(target), disk.replacing(target) as file:
        file.write(content)
    return weights.digest(content)


def _operations(source: Path) -> Mapping[str, openvino.Node]:
    """Return the operations of an ONNX file by name."""
    if not source.is_file():
        raise WeightsError(source, "no such file", "check the path")
    with source.open("rb") as file:
        if file.read(1) not in _BEGINNINGS:  # OpenVINO's readers print before they refuse
            raise ValueError("no network")
    graph = openvino.Core().read_model(source)
    return {node.get_friendly_name(): node for node in graph.get_ordered_ops()}


def _learnt(nodes: Mapping[str, openvino.Node], number: int) -> tuple[Float32, Float32]:
    """Return weight and bias of a numbered convolution."""
    product, sum_ = nodes[f"Conv_{number}/WithoutBiases"], nodes[f"Conv_{number}"]
    return _constant(product), _constant(sum_)


def _constant(node: openvino.Node) -> Float32:
    """Return the constant that an operation takes as its second input, whatever its shape."""
    source = node.input_value(1).get_node()
    while source.get_type_name() != "Constant":
        source = source.input_value(0).get_node()
    return np.array(source.get_data(), np.float32)


def _names() -> Iterator[tuple[str, str]]:
    """Yield the name of each tensor of SFace here and in OpenCV Zoo's file."""
    steps = [("stem", 0, "conv_1")]
    for block in range(len(SFace.WIDTHS)):
        steps += [(f"blocks.{block}", at, f"conv_{block + 2}{end}") for at, end in _SEPARABLE]
    for here, at, there in steps:
        yield f"{here}.{at}.weight", f"{there}_conv2d_weight"
        yield from _normalisation(f"{here}.{at + 1}", f"{there}_batchnorm")
        yield f"{here}.{at + 2}.weight", f"{there}_relu_gamma"
    yield from _normalisation("head.0", "bn1")
    yield from (("head.3.weight", "pre_fc1_weight"), ("head.3.bias", "pre_fc1_bias"))
    yield from _normalisation("head.4", "fc1")


def _normalisation(here: str, there: str) -> Iterator[tuple[str, str]]:
    for ours, theirs in (
        ("weight", "gamma"),
        ("bias", "beta"),
        ("running_mean", "moving_mean"),
        ("running_var", "moving_var"),
    ):
        yield f"{here}.{ours}", f"{there}_{theirs}"


def _fold(convolution: torch.nn.Conv2d, parameters: Float32, affine: Float32) -> None:
    """Fold dlib's convolution and the affine layer after it into one convolution, in place."""
    split = convolution.weight.numel()
    scale, shift = np.split(affine.ravel(), 2)
    weight = parameters.ravel()[:split].reshape(convolution.weight.shape)
    bias = parameters.ravel()[split:]
    convolution.weight.copy_(torch.from_numpy(weight * scale[:, None, None, None]))
    assert convolution.bias is not None
    convolution.bias.copy_(torch.from_numpy(bias * scale + shift))


def _layers(data: bytes) -> list[tuple[str, Float32]]:
    """Return (tag, parameters) of each layer with parameters, from the input to the output.

    A layer is its tag (for the last, also its outputs and inputs), then a tensor: version 2,
    four sizes, and little-endian float32.
    """
    found = []
    for match in re.finditer(rb"con_4|affine_|fc_2", data):
        numbers, at = [], match.end()
        for _ in range(7 if match.group() == b"fc_2" else 5):
            value, at = _integer(data, at)
            numbers.append(value)
        version, *shape = numbers[-5:]
        if version != TENSOR_VERSION:
            continue
        count = int(np.prod(shape))
        values = np.frombuffer(data, "<f4", count, at).astype(np.float32)
        found.append((match.group().decode(), values))
    return found


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Return dlib's variable-length integer at an offset, and the offset after it.

    One byte with the sign in its top bit and the count of bytes below; then those bytes,
    little-endian.
    """
    count, negative = data[at] & 0x0F, data[at] & 0x80
    value = int.from_bytes(data[at + 1 : at + 1 + count], "little")
    return (-value if negative else value), at + 1 + count
