"""On a CPU networks give what torch gives, called from any thread and from several at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from safetensors.torch import load_file
from torch import nn

from indexer.nets import encoder, mtcnn, runtime, weights, yunet
from indexer.nets.runtime import Device, Input, Network
from indexer.nets.yunet_module import YuNet
from indexer.records import Float32

CPU: Device = "cpu"
SMALL = Input(6, (10.0, 20.0, 30.0), (2.0, 3.0, 4.0), together=4)


def levels(*shape: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def by_torch(module: nn.Module, pictures: Float32, mean: float, std: float) -> list[Float32]:
    with torch.inference_mode():
        outputs = module.eval()((torch.from_numpy(pictures).permute(0, 3, 1, 2) - mean) / std)
    return [one.numpy() for one in outputs]


@pytest.mark.parametrize("size", [(47, 62), (48, 61), (12, 12), (14, 25)])
def test_the_proposing_net_gives_what_torch_gives_at_any_size(size: tuple[int, int]) -> None:
    pictures = levels(1, *size, 3)
    for got, wanted in zip(
        mtcnn.load(CPU).propose(pictures), by_torch(PNet(), pictures, 127.5, 128), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("count", [1, 31, 32, 33])
def test_the_other_nets_give_what_torch_gives_however_many_go_together(count: int) -> None:
    nets = mtcnn.load(CPU)
    for net, module, side in [(nets.refine, RNet(), 24), (nets.locate, ONet(), 48)]:
        pictures = levels(count, side, side, 3)
        together = net(pictures)
        for got, wanted in zip(together, by_torch(module, pictures, 127.5, 128), strict=True):
            assert len(got) == count
            np.testing.assert_allclose(got, wanted, atol=1e-5)
        for got, alone in zip(together, net(pictures[-1:]), strict=True):
            np.testing.assert_array_equal(got[-1:], alone)


def test_the_encoder_gives_what_torch_gives() -> None:
    facts, tensors = weights.read(weights.DEFAULT_ENCODER)
    module = encoder.build(facts.network, facts.dimension)
    module.load_state_dict(tensors)
    chips = levels(3, 112, 112, 3).astype(np.uint8)
    x = (chips - np.array(facts.mean, np.float32)) / np.array(facts.std, np.float32)
    with torch.inference_mode():
        wanted = module.eval()(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    got = encoder.encode(encoder.load("", CPU), chips)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 64), (384, 640), (160, 160)])
def test_the_detector_gives_what_torch_gives(size: tuple[int, int]) -> None:
    module = YuNet()
    module.load_state_dict(load_file(yunet.WEIGHTS))
    pictures = levels(2, *size, 3)
    nets = yunet.load(CPU)
    for net in [nets.whole] + [nets.near] * (size == (160, 160)):
        for got, wanted in zip(net(pictures), by_torch(module, pictures, 0, 1), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_many_threads_get_the_bytes_that_one_gets() -> None:
    refine = mtcnn.load(CPU).refine
    pictures = [levels(40, 24, 24, 3, seed=seed) for seed in range(12)]
    alone = [refine(some) for some in pictures]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(refine, pictures), alone, strict=True):
            for first, second in zip(got, wanted, strict=True):
                np.testing.assert_array_equal(first, second)


def test_threads_that_come_first_together_do_not_lock_each_other_up() -> None:
    code = """
import sys, threading
import numpy as np
from indexer.nets import mtcnn

nets, together = mtcnn.load("cpu"), threading.Barrier(2)
sys.setswitchinterval(1e-6)

def look():
    together.wait()
    nets.propose(np.zeros((1, 20, 20, 3), np.float32))

for thread in [threading.Thread(target=look) for _ in range(2)]:
    thread.start()
"""
    for _ in range(3):  # one run in three used to hang
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_conversion_is_kept_and_one_that_cannot_be_kept_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, pictures = nn.Sequential(nn.Flatten(), nn.Linear(108, 5)), levels(6, 6, 6, 3)
    (tmp_path / "file").touch()
    network = Network("flat", lambda: module)
    results = []
    for folder in ("cache", "cache", "file/no folder", "damaged"):
        monkeypatch.setattr(weights, "cache_folder", lambda folder=folder: tmp_path / folder)
        [out] = runtime.ready(network, SMALL, CPU)(pictures)
        results.append(out)
        if not (tmp_path / "damaged").exists():
            shutil.copytree(tmp_path / "cache", tmp_path / "damaged")
            for kept in (tmp_path / "damaged").iterdir():
                kept.write_bytes(kept.read_bytes()[:50])
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".bin", ".xml"]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    x = (pictures - np.array(SMALL.mean)) / np.array(SMALL.std)
    flat = torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        np.testing.assert_allclose(results[0], module(flat).numpy(), rtol=1e-4, atol=1e-3)


def test_what_is_kept_is_taken_without_its_module_and_only_for_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path)
    built = []

    def build() -> nn.Module:
        built.append(1)
        return nn.Flatten()

    for key, wants, count in [
        ("flat", SMALL, 1),
        ("flat", SMALL, 1),
        ("other", SMALL, 2),
        ("flat", replace(SMALL, together=2), 3),
    ]:
        runtime.ready(Network(key, build), wants, CPU)
        assert len(built) == count


def test_what_was_used_last_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(runtime, "_MOST_KEPT", 2)
    built = []

    def use(key: str) -> None:
        def build() -> nn.Module:
            built.append(key)
            return nn.Flatten()

        runtime.ready(Network(key, build), SMALL, CPU)
        time.sleep(0.02)  # a file's time is not finer than a clock's tick

    for key in ("one", "two", "one", "three", "one", "two"):
        use(key)
    assert built == ["one", "two", "three", "two"]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".bin", ".bin", ".xml", ".xml"]


def test_where_there_is_no_driver_torch_is_not_asked_for_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert runtime.has_gpu() == torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runtime, "_DRIVERS", ("libc.so.6",))
    assert runtime.has_gpu()
    monkeypatch.setattr(runtime, "_DRIVERS", ("no such driver",))
    assert runtime.has_gpu() == Path("/dev/kfd").exists()


def test_nobody_is_told_that_it_runs(tmp_path: Path) -> None:
    script = "import sys, indexer.models; sys.exit(sys.modules['openvino_telemetry'] is not None)"
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=home)
    assert list(tmp_path.iterdir()) == []  # telemetry would keep its user id there
