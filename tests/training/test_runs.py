from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from indexer.config import DetectSettings, EmbedSettings, Settings
from indexer.errors import ConfigError
from indexer.models import Models, load_models
from indexer.nets import encoder as nets
from indexer.nets.weights import DEFAULT_ENCODER
from tests.faces import collins, hopper
from training import encoders, landmark_runs, parts, recipe, runs, side_by_side
from training.__main__ import main
from training.encoders import Trainable
from training.faces import read_faces
from training.fit import Schedule
from training.methods import distil, simclr
from training.methods.arcface import ArcFace, ArcFaceSettings, Batch
from training.methods.contrastive import ContrastiveSettings
from training.methods.distil import Distil, DistilSettings
from training.methods.landmarks import LandmarkSettings
from training.methods.simclr import SimClrSettings
from training.recipe import Data, Recipe, Start
from training.views import ViewSettings

PHOTOS = 3
BOTH = ("before", "after")
TINY = Start(weights="scratch", network="resnet18", size=32)


@pytest.fixture
def no_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the maps: they take long and are tested elsewhere."""
    monkeypatch.setattr(runs, "write_maps", lambda *_: None)


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(Settings())


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight "people", which are two real ones in four tints each, three photos of each."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for number in range(8):
        picture = (hopper, collins)[number % 2]()
        tint = 1 + 0.12 * (number // 2) * np.array([1, 0, -1])
        (folder / f"P{number}").mkdir()
        for photo in range(PHOTOS):
            pixels = np.clip(picture * tint * rng.uniform(0.8, 1.1), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"P{number}" / f"{photo}.jpg"), pixels[..., ::-1])
    return folder


def small(method: str, **tables: object) -> Recipe:
    how = {
        "method": method,
        "fit": Schedule(epochs=1, learning_rate=1e-3, keep="last"),
        "data": Data(validation=0.25, test=0.25),
        "start": TINY,
        "simclr": SimClrSettings(batch=4, hidden=8, projected=4),
        "arcface": ArcFaceSettings(people=3, each=2, plain_epochs=0),
        "contrastive": ContrastiveSettings(people=3),
        "distil": DistilSettings(batch=4),
    }
    return Recipe(**(how | tables))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["simclr", "arcface", "contrastive", "distil", "siamese"])
def test_every_method_gives_an_encoder_that_the_indexer_loads(
    method: str, people: Path, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.getbasetemp() / "runs"
    done = runs.run(small(method), people, out / method, models)
    loaded = nets.load(str(done.folder / runs.WEIGHTS), "cpu")
    assert loaded.facts.network == "resnet18"
    vectors = nets.encode(loaded, np.zeros((2, 32, 32, 3), np.uint8))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    begun = load_file(done.folder / "before.safetensors")
    after = load_file(done.folder / runs.WEIGHTS)
    assert any(not np.array_equal(begun[name], after[name]) for name in begun)
    rows = list(csv.DictReader((done.folder / "metrics.csv").read_text().splitlines()))
    tables = json.loads((done.folder / "metrics.json").read_text())
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert tables["epochs"][1]["loss"] == pytest.approx(float(rows[1]["loss"]))
    assert 0 <= tables["after"]["distorted_error"] <= 1
    of = json.loads((done.folder / "data.json").read_text())["people"]
    assert len(of["test"]) == len(of["validation"]) == 2
    assert not set(of["test"]) & set(of["validation"])
    assert all(len(row) == 3 for row in runs.compared(done.assessed))
    pictures = {path.name for path in done.folder.glob("*.png")}
    assert pictures == {
        *("curves.png", "similarities.png", "roc.png", "map-umap.png", "map-tsne.png")
    }
    assert ("knn" in rows[0]) is (method == "simclr")
    shutil.rmtree(done.folder)  # the other tests need its faces, not its weights


def test_a_projector_follows_from_the_seed() -> None:
    encoder, how = encoders.start("", "", 0, 0), SimClrSettings(hidden=8, projected=4)
    first, again, other = (
        simclr.projected(encoder, how, seed)[1].state_dict()["0.weight"]  # type: ignore[index]
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.usefixtures("no_maps")
def test_kept_weights_are_mixed_with_the_trained_ones(
    people: Path, models: Models, tmp_path: Path
) -> None:
    def weights(kept: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        how = small("siamese", start=replace(TINY, kept=kept))
        done = runs.run(how, people, tmp_path / f"{kept}", models)
        return load_file(done.folder / "before.safetensors"), load_file(done.folder / runs.WEIGHTS)

    begun, trained = weights(0)
    _, mixed = weights(0.25)
    _, same = weights(1)
    for name, value in begun.items():
        if value.dtype == np.float32:
            wanted = 0.25 * value + 0.75 * trained[name]
            assert np.allclose(mixed[name], wanted, rtol=0, atol=1e-5)
            assert np.allclose(same[name], value, rtol=0, atol=1e-6)


def test_the_points_of_faces_are_learnt(people: Path, tmp_path: Path) -> None:
    teacher = load_models(Settings(detect=DetectSettings(method="mtcnn")))
    how = small(
        "landmarks",
        fit=Schedule(epochs=100, learning_rate=2e-3),
        landmarks=LandmarkSettings(batch=4, turn=3.0),
    )
    done = landmark_runs.run(how, people, tmp_path / "points", teacher)
    first = done.fitted.history[0]["error_by_eyes"]
    assert done.error < min(0.5 * first, done.guessed)
    assert (done.folder / landmark_runs.WEIGHTS).is_file()


def test_of_too_few_people_no_points_are_learnt(
    people: Path, models: Models, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    for name in ("P0", "P1", "P2", "P3", "P4"):
        shutil.copytree(people / name, few / name)
    how = small("landmarks", data=Data())
    with pytest.raises(ConfigError, match="too few people: nobody is left for validation"):
        landmark_runs.run(how, few, tmp_path / "points", models)
    assert not (tmp_path / "points").exists()


def test_those_named_in_a_file_or_in_pairs_are_not_trained_on(
    people: Path, models: Models, tmp_path: Path
) -> None:
    encoder = encoders.start("", "", 0, 0)
    faces = read_faces(people, tmp_path, models, encoder.facts)
    usual, source = Data(validation=0.25, test=0.25), tmp_path / "photos"
    all_train = parts.deal(faces, usual, source).train
    first, second, *rest = sorted({all_train.names[who] for who in all_train.people})
    source.mkdir()
    (tmp_path / "names.txt").write_text(f"{first}\n{second}\nsomebody else\n")
    pairs = source / "lfw_pairs.txt"
    pairs.write_text(f"1\t1\n{first}\t1\t2\n{first}\t1\t{second}\t2\n")
    for name in (str(tmp_path / "names.txt"), pairs.name):
        dealt = parts.deal(faces, replace(usual, without=name), source)
        for method in ("arcface", "distil"):
            kept = parts.trained_on(dealt, small(method, data=usual))
            assert {kept.names[who] for who in kept.people} == set(rest)
    pairs.write_text("2\t2\n")
    for name, why in (("none.txt", "cannot be read"), (pairs.name, "promises")):
        with pytest.raises(ConfigError, match=why):
            parts.deal(faces, replace(usual, without=name), source)


def test_a_teacher_that_is_asked_once_says_the_same(
    people: Path, models: Models, tmp_path: Path
) -> None:
    """Settled and not blended, the weights are those with a teacher that is asked at every step."""
    start = replace(TINY, settled=True)
    how = small("distil", start=start, distil=DistilSettings(batch=4, blended=0.0))
    done = runs.run(how, people, tmp_path / "once", models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.runs.Distil", lambda *given: Distil(*given[:-1]))
        asked = runs.run(how, people, tmp_path / "asked", models)
    both = [load_file(one.folder / runs.WEIGHTS) for one in (done, asked)]
    begun = load_file(done.folder / "before.safetensors")
    for name, value in both[0].items():
        np.testing.assert_allclose(value, both[1][name], atol=1e-5)
        if "running" in name:
            assert np.array_equal(value, begun[name])


@pytest.mark.usefixtures("no_maps")
def test_maps_teach_the_blocks_and_leave_the_head(
    people: Path, models: Models, tmp_path: Path
) -> None:
    def moved(maps: float) -> dict[str, np.ndarray]:
        how = small(
            "distil",
            start=Start(weights="sface", frozen=15, settled=True),
            distil=DistilSettings(batch=4, blended=0.0, maps=maps, head_rate=0.0),
            views=ViewSettings(flip=0),
        )
        done = runs.run(how, people, tmp_path / f"{maps}", models)
        begun = load_file(done.folder / "before.safetensors")
        after = load_file(done.folder / runs.WEIGHTS)
        return {k: v for k, v in after.items() if not np.array_equal(begun[k], v)}

    taught, by_vectors = moved(1.0), moved(0.0)
    assert taught
    assert all(name.startswith("blocks.12.") for name in taught)
    assert taught.keys() == by_vectors.keys()
    assert any(not np.array_equal(taught[name], by_vectors[name]) for name in taught)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"maps": 1.0}, r"distil\.maps: .*no maps"),
        ({"head_rate": 0.5}, r"head_rate: .*no head"),
        ({"compiled": True}, r"distil\.compiled: .*distil\.maps is 0"),
    ],
)
def test_what_a_network_has_not_is_not_taught(
    asked: dict[str, Any], said: str, people: Path, models: Models, tmp_path: Path
) -> None:
    how = small("distil", distil=DistilSettings(batch=4, **asked))
    with pytest.raises(ConfigError, match=said):
        runs.run(how, people, tmp_path / "run", models)
    assert not (tmp_path / "run").exists()


def test_who_has_no_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    sface, how = encoders.start("sface", "", 0, 0), DistilSettings(maps=1.0, compiled=True)
    with pytest.raises(ConfigError, match=r"distil\.compiled: needs .* no-such-compiler"):
        distil.prepare(sface.module, how)


@pytest.mark.usefixtures("no_maps")
def test_a_folder_is_of_one_recipe(people: Path, models: Models, tmp_path: Path) -> None:
    how = small("siamese", fit=Schedule(epochs=0, learning_rate=1e-3))
    first = runs.run(how, people, tmp_path / "run", models)
    again = runs.run(how, people, tmp_path / "run", models)
    found = [runs.numbers(one.assessed[when]) for one in (first, again) for when in BOTH]
    assert found == found[:1] * 4
    other = replace(how, data=replace(how.data, seed=1))
    with pytest.raises(ConfigError, match="another run"):
        runs.run(other, people, tmp_path / "run", models)
    file = tmp_path / "run" / "recipe.json"
    said = json.loads(file.read_text())
    assert said["fit"].pop("precision") == how.fit.precision  # as before there was such a setting
    file.write_text(json.dumps(said))
    runs.run(how, people, tmp_path / "run", models)
    file.write_text(json.dumps(said | {"of tomorrow": 1}))
    with pytest.raises(ConfigError, match=r"recipe\.json: belongs to another run"):
        runs.run(how, people, tmp_path / "run", models)


@pytest.mark.usefixtures("no_maps")
def test_an_interrupted_run_comes_to_the_same_weights(
    people: Path, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = small(
        "arcface",
        fit=Schedule(epochs=2, learning_rate=1e-3, keep="last"),
        start=replace(TINY, kept=0.25),
        arcface=ArcFaceSettings(people=2, each=1, plain_epochs=1),
    )
    whole = runs.run(how, people, tmp_path / "whole", models)
    loss, calls = ArcFace.loss, []

    def stops(method: ArcFace, batch: Batch, device: torch.device) -> torch.Tensor:
        calls.append(batch)
        if len(calls) == 1 + method.steps + method.steps // 2:
            raise KeyboardInterrupt
        return loss(method, batch, device)

    monkeypatch.setattr("training.fit._SAVE_EVERY_S", 0.0)  # after each step
    monkeypatch.setattr(ArcFace, "loss", stops)
    with pytest.raises(KeyboardInterrupt):
        runs.run(how, people, tmp_path / "stopped", models)
    assert not (tmp_path / "stopped" / runs.WEIGHTS).exists()
    again = runs.run(how, people, tmp_path / "stopped", models)
    assert again.fitted.resumed
    both = [(one.folder / runs.WEIGHTS).read_bytes() for one in (whole, again)]
    assert both[0] == both[1]


def test_faces_of_nobody_known_teach_too(
    people: Path, models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for photo in people.rglob("*.jpg"):
        shutil.copy(photo, flat / f"{photo.parent.name}-{photo.name}")
    done = runs.run(small("simclr"), flat, tmp_path / "run", models)
    assert done.assessed == {}
    assert 0 <= done.fitted.history[1]["found_again"] <= 1
    pictures = {path.name for path in done.folder.glob("*.png")}
    assert pictures == {"curves.png", "map-umap.png", "map-tsne.png"}
    with pytest.raises(ConfigError, match="too few people"):
        runs.run(small("siamese"), flat, tmp_path / "siamese", models)
    assert main(["evaluate", str(flat), "default", "--out", str(tmp_path)]) == 2
    assert "too few people" in capsys.readouterr().err


@pytest.mark.usefixtures("no_maps")
def test_another_encoder_may_teach(people: Path, models: Models, tmp_path: Path) -> None:
    def run(teacher: str | None, name: str) -> tuple[dict[str, Any], bytes]:
        taught = DistilSettings(batch=4, blended=0.0, teacher=teacher)
        done = runs.run(small("distil", distil=taught), people, tmp_path / name, models)
        written = json.loads((done.folder / "data.json").read_text())
        return written["weights"], (done.folder / runs.WEIGHTS).read_bytes()

    begun = encoders.start("scratch", TINY.network, TINY.size, small("distil").fit.seed)
    other = encoders.start("scratch", TINY.network, TINY.size, seed=99)
    files = [tmp_path / "same.safetensors", tmp_path / "other.safetensors"]
    facts = [encoders.export(one, file) for one, file in zip((begun, other), files, strict=True)]
    itself, (named, same), (_, taught) = (
        run(None, "none"),
        *(run(str(file), file.stem) for file in files),
    )
    assert named == {**itself[0], "teacher": facts[0].digest}
    assert same == itself[1]
    assert taught != same


@pytest.mark.usefixtures("no_maps")
def test_maps_are_those_of_one_network(people: Path, models: Models, tmp_path: Path) -> None:
    facts = replace(encoders.start("sface", "", 0, 0).facts, network="resnet18")
    file = tmp_path / "other.safetensors"
    encoders.export(Trainable(nets.build("resnet18", facts.dimension), facts), file)
    how = small(
        "distil",
        start=Start(weights="sface"),
        distil=DistilSettings(batch=4, maps=1.0, teacher=str(file)),
    )
    with pytest.raises(ConfigError, match=r"distil\.teacher: is a resnet18"):
        runs.run(how, people, tmp_path / "run", models)
    assert not (tmp_path / "run").exists()


def test_a_teacher_aligns_faces_as_the_encoder_does(
    people: Path, models: Models, tmp_path: Path
) -> None:
    begun = encoders.start("scratch", TINY.network, TINY.size, seed=0)
    moved = tuple((x + 1, y) for x, y in begun.facts.template)
    file = tmp_path / "other.safetensors"
    encoders.export(Trainable(begun.module, replace(begun.facts, template=moved)), file)
    how = small("distil", distil=DistilSettings(teacher=str(file)))
    with pytest.raises(ConfigError, match=r"distil\.teacher: aligns faces to another template"):
        runs.run(how, people, tmp_path / "run", models)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda how: replace(how, data=replace(how.data, least=9)), "nobody to train on"),
        (
            lambda how: replace(how, contrastive=ContrastiveSettings(teacher="")),
            r"contrastive\.teacher: has 112 px and 128 numbers, the encoder",
        ),
        (
            lambda how: replace(how, method="distil", distil=DistilSettings(teacher="")),
            r"distil\.teacher: has 112 px and 128 numbers, the encoder",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(
    change: Callable[[Recipe], Recipe], said: str, people: Path, models: Models, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        runs.run(change(small("contrastive")), people, tmp_path / "run", models)
    assert not (tmp_path / "run").exists()


def test_every_shipped_recipe_says_how_it_is_run() -> None:
    assert {"arcface", "contrastive", "distil", "landmarks", "siamese", "simclr"} <= set(
        recipe.shipped()
    )
    for name in recipe.shipped():
        assert recipe.load(name).fit.epochs > 0
        text = (Path(recipe.__file__).parent / "recipes" / f"{name}.toml").read_text()
        assert text.startswith(f"# make train RECIPE={name} ")
        assert "minutes; " in text.splitlines()[1]


@pytest.mark.usefixtures("no_maps")
def test_what_is_trained_is_used_by_name(people: Path, models: Models, tmp_path: Path) -> None:
    how = small("siamese", fit=Schedule(epochs=0, learning_rate=1e-3))
    done = runs.run(how, people, tmp_path / "run", models)
    from_there = replace(how, start=Start(weights=str(done.folder)))
    again = runs.run(from_there, people, tmp_path / "again", models)
    ended, begun = done.assessed["after"], again.assessed["before"]
    assert begun.auc == pytest.approx(ended.auc)
    other = encoders.start("scratch", "resnet18", 32, seed=9)
    encoders.export(other, done.folder / runs.WEIGHTS)
    with pytest.raises(ConfigError, match="another run"):  # the same place, other weights
        runs.run(from_there, people, tmp_path / "again", models)
    path = tmp_path / "mine.safetensors"
    assert main(["export", str(done.folder), str(path)]) == 0
    found = load_models(replace(Settings(), embed=EmbedSettings(weights=str(path))))
    assert found.encoder.facts.network == "resnet18"


def test_encoders_are_measured_side_by_side(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    runs.claim(run, small("siamese"), {"people": {"validation": [], "test": []}})
    shutil.copy(DEFAULT_ENCODER, run / runs.WEIGHTS)
    assert main(["evaluate", str(people), "default", str(run), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "default" in said
    assert "tpr_at_1_percent" in said
    assert (tmp_path / "roc.png").is_file()
    assert f"\n{run} may have been trained on 2 of the 2 test people\n" in said
    assert "default may have" not in said
    tables = json.loads((tmp_path / "evaluate.json").read_text())
    assert [(one["people"], one["trained_on"]) for one in tables.values()] == [(2, 0), (2, 2)]
    assert main(["evaluate", str(people), "nowhere.safetensors", "--out", str(tmp_path)]) == 2
    assert "nowhere.safetensors" in capsys.readouterr().err


def test_it_is_said_whom_a_run_did_not_hold_out(
    people: Path, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = people.parent / "faces"
    faces = read_faces(people, kept, models, encoders.start("", "", 0, 0).facts)
    tested = parts.deal(faces, Data(), people).test
    names = sorted({faces.names[who] for who in tested.people})
    assert len(names) == 2
    (tmp_path / "names.txt").write_text(names[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(side_by_side, "assess", lambda *_: None)

    def trained_on(run: str) -> int:
        found = side_by_side.side_by_side(["default", run], people, kept, models)
        assert (found["default"].trained_on, found["default"].people) == (0, 2)
        return found[run].trained_on

    for run, held_out, without, count in [
        ("a", 0, "", 2),
        ("b", 1, "", 1),
        ("c", 2, "", 0),
        ("d", 0, "names.txt", 1),
        ("e", 0, "elsewhere.txt", 2),
    ]:
        how = small("siamese", data=Data(without=without))
        held = {"validation": [], "test": names[:held_out]}
        runs.claim(tmp_path / run, how, {"people": held})
        shutil.copy(DEFAULT_ENCODER, tmp_path / run / runs.WEIGHTS)
        assert trained_on(run) == count
    (tmp_path / "a" / "data.json").write_text("[]")  # of something else
    assert trained_on("a") == 0
