"""OpenCV Zoo's SFace becomes a weights file: each tensor in its place, others refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13
from torch import nn

from indexer.errors import WeightsError
from indexer.nets import encoder, weights
from indexer.nets.sface import SFace
from indexer.records import Float32
from training.convert import convert_sface


def zoo_tensors(network: SFace) -> dict[str, Float32]:
    """Return the tensors of a network as OpenCV Zoo's file calls them, layer after layer."""
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
    """Write a graph that holds constants by name, in a format that the same reader reads."""
    constants = []
    for name, values in tensors.items():
        constants.append(opset13.constant(values))
        constants[-1].set_friendly_name(name)
    flat = [opset13.reshape(one, opset13.constant([-1]), False) for one in constants]  # noqa: FBT003
    zero = opset13.parameter([1], np.float32)
    model = openvino.Model([opset13.concat([zero, *flat], 0)], [zero])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def test_the_default_encoder_comes_out_of_what_it_was_converted_from(tmp_path: Path) -> None:
    """Its own tensors, under the other file's names, give the very file that is shipped."""
    shipped = encoder.module(weights.DEFAULT_ENCODER)
    assert isinstance(shipped, SFace)
    source = saved(zoo_tensors(shipped), tmp_path / "zoo.xml")
    facts = convert_sface(source, tmp_path / "again.safetensors")
    assert facts == weights.read_facts(weights.DEFAULT_ENCODER)
    assert weights.check(tmp_path / "again.safetensors") == facts


def test_another_network_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "none.safetensors"
    some = {"conv_1_conv2d_weight": np.zeros((32, 3, 3, 3), np.float32)}
    other = saved(some, tmp_path / "other.xml")
    (tmp_path / "text.onnx").write_text("not a network")
    for source in (other, tmp_path / "text.onnx"):
        with pytest.raises(WeightsError, match=r"is not OpenCV Zoo's SFace \(check its sha256\)"):
            convert_sface(source, target)
    with pytest.raises(WeightsError, match="no such file"):
        convert_sface(tmp_path / "missing.onnx", target)
    assert not target.exists()
