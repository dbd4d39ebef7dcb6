"""OpenCV Zoo's networks become weights files: each tensor in its place, other files refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13
from safetensors.torch import load_file
from torch import nn

from indexer.errors import WeightsError
from indexer.nets import encoder, weights, yunet
from indexer.nets.sface import SFace
from indexer.nets.yunet_module import YuNet
from indexer.records import Float32
from training.convert import convert_sface, convert_yunet


def zoo_tensors(network: SFace) -> dict[str, Float32]:
    """Return the tensors of a network by their names in OpenCV Zoo's file, layer by layer."""
    found: dict[str, Float32] = {}
    layers = ["conv_1", *(f"conv_{n}{end}" for n in range(2, 15) for end in ("_dw", ""))]
    calls = iter(layers)
    norms = iter([*(f"{layer}_batchnorm" for layer in layers), "bn1", "fc1"])
    layer = ""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            layer = next(calls)
            found[f"{layer}_conv2d_weight"] = module.weight.detach().numpy()
        elif isinstance(module, nn.PReLU):
            found[f"{layer}_relu_gamma"] = module.weight.detach().numpy()[:, None, None]
        elif isinstance(module, nn.Linear):
            found["pre_fc1_weight"] = module.weight.detach().numpy()
            found["pre_fc1_bias"] = module.bias.detach().numpy()
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            name = next(norms)
            assert module.running_mean is not None
            assert module.running_var is not None
            found[f"{name}_gamma"] = module.weight.detach().numpy()
            found[f"{name}_beta"] = module.bias.detach().numpy()
            found[f"{name}_moving_mean"] = module.running_mean.numpy()
            found[f"{name}_moving_var"] = module.running_var.numpy()
    return found


def saved(tensors: dict[str, Float32], path: Path) -> Path:
    """Write a graph of named constants, in a format that the converter's reader reads, too."""
    constants = []
    for name, values in tensors.items():
        constants.append(opset13.constant(values))
        constants[-1].set_friendly_name(name)
    flat = [opset13.reshape(one, opset13.constant([-1]), False) for one in constants]  # noqa: FBT003
    zero = opset13.parameter([1], np.float32)
    model = openvino.Model([opset13.concat([zero, *flat], 0)], [zero])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def test_sface_comes_out_of_what_it_was_converted_from(tmp_path: Path) -> None:
    """The shipped tensors under OpenCV Zoo's names convert to exactly the file that is shipped."""
    shipped = encoder.module(weights.SFACE_ENCODER)
    assert isinstance(shipped, SFace)
    source = saved(zoo_tensors(shipped), tmp_path / "zoo.xml")
    digest = convert_sface(source, tmp_path / "again.safetensors")
    facts = weights.read_facts(weights.SFACE_ENCODER)
    assert digest == facts.digest
    assert weights.check(tmp_path / "again.safetensors") == facts


def test_the_default_encoder_is_sface_but_for_its_last_layers() -> None:
    (_, made), (_, begun) = map(weights.read, (weights.DEFAULT_ENCODER, weights.SFACE_ENCODER))
    assert made.keys() == begun.keys()
    other = {name for name in made if not made[name].equal(begun[name])}
    blocks = {f"blocks.{i}.{part}.weight" for i in range(5, 13) for part in (0, 2, 3, 5)}
    assert other == {"head.3.weight", "head.3.bias", *blocks}


def test_another_network_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "none.safetensors"
    some = {"conv_1_conv2d_weight": np.zeros((32, 3, 3, 3), np.float32)}
    other = saved(some, tmp_path / "other.xml")
    (tmp_path / "text.onnx").write_text("not a network")
    for source in (other, tmp_path / "text.onnx"):
        with pytest.raises(WeightsError, match=r"is not OpenCV Zoo's SFace \(check its sha256\)"):
            convert_sface(source, target)
    with pytest.raises(WeightsError, match="no such file"):
        convert_sface(tmp_path / "missing.onnx", target)
    assert capfd.readouterr() == ("", "")  # a user sees nothing but the error's line
    assert not target.exists()


def zoo_detector(network: YuNet, path: Path) -> Path:
    """Write a network's convolutions, numbered as in OpenCV Zoo's file, as products and sums.

    Each head is four convolutions there: class, whether it is a face, box and landmarks.
    """
    parts: dict[int, tuple[Float32, Float32]] = {}
    body = iter(
        (
            *(0, 2, 3, 6, 7, 9, 10, 12, 13, 15, 16, 19, 20, 22, 23, 26, 27, 29, 30, 33, 34, 36, 37),
            *(51, 52, 45, 46, 39, 40),
        )
    )
    for name, one in network.named_modules():
        if not isinstance(one, nn.Conv2d):
            continue
        assert one.bias is not None
        weight, bias = one.weight.detach().numpy(), one.bias.detach().numpy()
        if name == "fine.0":
            weight = weight[:, ::-1].copy()  # that file takes BGR
        if not name.startswith("heads"):
            parts[next(body)] = weight, bias
            continue
        level, at = map(int, name.split(".")[1:])
        for first, some in (
            (54, slice(1)),
            (66, slice(1, 2)),
            (60, slice(2, 6)),
            (72, slice(6, 16)),
        ):
            parts[first + 2 * level + at] = weight[some], bias[some]
    zero = opset13.parameter([1], np.float32)
    ends = []
    for number, (weight, bias) in parts.items():
        flat = opset13.reshape(opset13.constant(weight), opset13.constant([-1]), False)  # noqa: FBT003
        product = opset13.multiply(zero, flat)
        product.set_friendly_name(f"Conv_{number}/WithoutBiases")
        total = opset13.add(opset13.reduce_sum(product, 0, keep_dims=True), opset13.constant(bias))
        total.set_friendly_name(f"Conv_{number}")
        ends.append(total)
    openvino.save_model(openvino.Model([opset13.concat(ends, 0)], [zero]), path, False)  # noqa: FBT003
    return path


def test_the_detector_comes_out_of_what_it_was_converted_from(tmp_path: Path) -> None:
    shipped = YuNet()
    shipped.load_state_dict(load_file(yunet.WEIGHTS))
    source = zoo_detector(shipped, tmp_path / "zoo.xml")
    digest = convert_yunet(source, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == yunet.WEIGHTS.read_bytes()
    assert digest == weights.digest(yunet.WEIGHTS.read_bytes())


def test_another_detector_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "none.safetensors"
    other = saved({"Conv_0": np.zeros((16, 3, 3, 3), np.float32)}, tmp_path / "other.xml")
    for source in (other, tmp_path / "missing.onnx"):
        with pytest.raises(WeightsError, match=r"is not OpenCV Zoo's YuNet|no such file"):
            convert_yunet(source, target)
    assert not target.exists()
