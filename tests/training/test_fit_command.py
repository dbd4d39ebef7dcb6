"""What ``training fit`` and ``export`` report: what is left out, left to do, or impossible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.nets import weights
from indexer.nets.weights import DEFAULT_ENCODER
from tests.conftest import Ran
from tests.faces import collins, hopper
from tests.training.test_stills import typed

RECIPE = """
method = "{method}"
fit = {{epochs = {epochs}, learning_rate = {rate}, warm_up = 0.0}}
data = {{validation = {share}, test = {share}}}
start = {{weights = "{weights}", size = 32, frozen = {frozen}}}
{more}
"""
GOOD = {
    "method": "siamese",
    "epochs": 0,
    "rate": 1e-3,
    "share": 0.25,
    "frozen": 0,
    "weights": "scratch",
    "more": "",
}


MISSING = "no such weights or run (make train RECIPE=... first, or set start.weights"
TEACHER = 'contrastive = {teacher = "no/teacher"}'


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight "people", which are tints of two, two photos each, and a picture of nobody."""
    folder = tmp_path_factory.mktemp("people")
    for number in range(8):
        picture = (hopper, collins)[number % 2]()
        tint = 1 + 0.12 * (number // 2) * np.array([1, 0, -1])
        (folder / f"P{number}").mkdir()
        for photo, light in enumerate((0.8, 1.0)):
            pixels = np.clip(picture * tint * light, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"P{number}" / f"{photo}.jpg")
    Image.new("RGB", (200, 200)).save(folder / "P0" / "nobody.jpg")
    return folder


def recipe(folder: Path, **change: object) -> Path:
    path = folder / "mine.toml"
    path.write_text(RECIPE.format(**(GOOD | change)))
    return path


def fitted(people: Path, recipe: Path, name: str) -> Ran:
    """Run a recipe; faces are detected only in the first run."""
    return typed("fit", recipe, people, "--out", people.parent / "runs", "--name", name)


def test_photos_without_a_face_are_counted(people: Path, tmp_path: Path) -> None:
    done = fitted(people, recipe(tmp_path, method="landmarks"), "points")
    assert done.status == 0, done.err
    path = people.parent / "runs" / "points" / "data.json"
    said = f"16 faces; left out: 1 photos without one, see {path}"
    assert done.out.splitlines()[-2] == said


def test_what_is_exported_has_a_calibration_to_be_measured(tmp_path: Path) -> None:
    target = tmp_path / "encoder.safetensors"
    lines = typed("export", DEFAULT_ENCODER, target).out.splitlines()
    assert f"training calibrate FOLDER --weights {target} --write {target}" in lines[1]
    assert lines[2].startswith("use it: ")
    facts = weights.read_facts(target)
    assert facts.calibration == replace(
        weights.read_facts(DEFAULT_ENCODER).calibration, length=None
    )
    half = tmp_path / "half.safetensors"
    typed("export", target, half, "--half")
    assert half.stat().st_size < 1.02 * DEFAULT_ENCODER.stat().st_size
    assert weights.check(half).calibration == facts.calibration


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": "no/run"}, f"no/run: {MISSING}"),
        ({"method": "contrastive", "more": TEACHER}, f"no/teacher: {MISSING}"),
        ({"frozen": 99}, "start.frozen: is 99, but the encoder has "),
        ({"share": 0.5}, "validation and test: expected less than 1 together, got 0.5 and 0.5"),
        ({"epochs": 2, "rate": 1e30}, "fit.learning_rate: the loss is nan in epoch 2, step 0"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_in_one_line(
    change: dict[str, object], said: str, people: Path, tmp_path: Path
) -> None:
    done = fitted(people, recipe(tmp_path, **change), str(change))
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert said in done.err


def test_what_is_no_run_is_not_exported(tmp_path: Path) -> None:
    done = typed("export", "no/run", tmp_path / "encoder.safetensors")
    said = "no/run: no such weights or run (name the folder of a run)\n"
    assert (done.status, done.err) == (2, said)
    assert not list(tmp_path.iterdir())


def test_a_head_is_no_encoder_to_export(tmp_path: Path) -> None:
    (tmp_path / "head.safetensors").write_bytes(b"")
    done = typed("export", tmp_path, tmp_path / "encoder.safetensors")
    assert done.status == 2
    assert "holds a head, not an encoder to export" in done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--size", "640"), "--size: 640 is not a size (give WIDTHxHEIGHT, as in 640x360)"),
        (("--cast", "1", "--enrolled", "1"), "a cast of 2"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = typed("synthesize", tmp_path, "--out", tmp_path / "season", *options)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert said in done.err
