"""Still pictures through the command line: synthesised, learnt from, and named."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.errors import ConfigError, ImageError
from indexer.geometry import iou
from indexer.nets.weights import DEFAULT_ENCODER, read_facts
from indexer.records import Detections
from tests.conftest import Ran
from training import head as heads
from training import predict, recipe
from training.__main__ import main
from training.annotations import require_splits
from training.demo import detector
from training.people import write_people
from training.synthesize.script import Look
from training.synthesize.stills import synthesize_stills
from training.synthesize.stills_script import (
    SPLITS,
    StillsSpec,
    apportion,
    write_stills,
)
from training.yolo import read_annotated

CLASSES = ("Ada", "Ben", "Cleo")
TINY = ["--classes", 3, "--pictures", 20, "--strangers", 3, "--size", "480x270"]


@dataclass(frozen=True)
class Made:
    faces: Path
    stills: Path
    head: Path
    fitted: Ran


def typed(*words: object) -> Ran:
    """Run ``python -m training ...`` in this process, which saves starting another."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in words])
    return Ran(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("stills")
    write_people(root / "faces", stills=5, seed=0, names=CLASSES)
    write_people(root / "faces", stills=2, seed=0, names=("Dora", "Emil", "Finn"))
    done = typed("synthesize-stills", root / "faces", "--out", root / "stills", *TINY)
    assert done.status == 0, done.err
    head = root / "head.safetensors"
    fitted = typed("fit-stills", root / "stills", "--out", head, "--plots", root / "plots")
    assert fitted.status == 0, fitted.err
    return Made(root / "faces", root / "stills", head, fitted)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 500), st.lists(st.floats(0.01, 10), min_size=1, max_size=8), st.integers(0, 3)
)
def test_apportioned_numbers_keep_the_sum_and_stay_within_one_of_their_share(
    total: int, shares: list[float], least: int
) -> None:
    if total < least * len(shares):
        with pytest.raises(ValueError, match="expected at least"):
            apportion(total, shares, least)
        return
    counts = apportion(total, shares, least)
    exact = (total - least * len(shares)) * np.array(shares) / sum(shares)
    assert counts.sum() == total
    assert (np.abs(counts - least - exact) < 1 + 1e-6).all()


def test_seven_among_three_to_one_is_five_to_two() -> None:
    assert apportion(7, [3, 1]).tolist() == [5, 2]
    assert apportion(0, [3, 1]).tolist() == [0, 0]


@settings(max_examples=25, deadline=None)
@given(
    spec=st.builds(
        StillsSpec,
        pictures=st.integers(4, 60),
        strangers=st.just(5),
        stranger_share=st.floats(0, 0.8),
        zipf=st.floats(0, 2),
        seed=st.integers(0, 1000),
    ),
    people=st.integers(1, 6),
    others=st.integers(0, 5),
)
def test_no_photo_and_no_stranger_is_in_two_splits(
    spec: StillsSpec, people: int, others: int
) -> None:
    cast = {f"P{k}": [Look(f"P{k}/{i}", 0.8) for i in range(4 + k)] for k in range(people)}
    strangers = {f"S{k}": [Look(f"S{k}/0", 0.8)] for k in range(others)}
    pictures = write_stills(spec, cast, strangers)
    assert len(pictures) == spec.pictures
    assert pictures == write_stills(spec, cast, strangers)
    seen: dict[str, set[str]] = {}
    for picture in pictures:
        names = [face.name for face in picture.faces]
        assert len(names) == len(set(names)) <= len(spec.crowd)
        for face in picture.faces:
            seen.setdefault(face.photo, set()).add(picture.split)
            assert face.stranger == face.name.startswith("S")
            x0, y0, x1, y1 = face.box
            assert 0 <= x0 < x1 <= spec.width
            assert 0 <= y0 < y1 <= spec.height
    assert all(len(splits) == 1 for splits in seen.values())
    assert {picture.split for picture in pictures} == set(SPLITS)


def test_too_few_photos_and_impossible_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 4 photos each"):
        write_stills(StillsSpec(), {"Ada": [Look("Ada/0", 1.0)] * 3}, {})
    with pytest.raises(ValueError, match="pictures"):
        StillsSpec(pictures=3)
    with pytest.raises(ConfigError, match="exists already"):
        synthesize_stills(tmp_path, tmp_path, StillsSpec(), lambda _: pytest.fail("looked"))


def test_the_labels_are_the_truth_without_its_strangers_and_made_again_they_are_the_same(
    made: Made, tmp_path: Path
) -> None:
    truth = json.loads((made.stills / "truth.json").read_text())
    annotated = read_annotated(made.stills)
    assert annotated.names == CLASSES
    assert len(annotated.stills) == len(truth["pictures"]) == 20
    for still, picture in zip(annotated.stills, truth["pictures"], strict=True):
        known = [face for face in picture["faces"] if not face["stranger"]]
        assert [CLASSES[k] for k in still.classes] == [face["name"] for face in known]
        if known:
            boxes = np.array([face["box"] for face in known], np.float32)
            assert np.abs(boxes - still.boxes).max() < 0.01
    assert any(face["stranger"] for picture in truth["pictures"] for face in picture["faces"])
    again = tmp_path / "again"
    spec = StillsSpec(480, 270, classes=3, pictures=20, strangers=3)
    synthesize_stills(made.faces, again, spec, detector())
    for path in sorted(made.stills.rglob("*.*")):
        assert path.read_bytes() == (again / path.relative_to(made.stills)).read_bytes(), path


def test_fit_stills_prints_its_tables_and_leaves_one_file(made: Made) -> None:
    for word in (
        *CLASSES,
        "macro-F1",
        "Hamming",
        "all negative",
        "prior",
        "0 annotated faces were not",
    ):
        assert word in made.fitted.out
    assert [path.name for path in made.head.parent.glob("*head*")] == ["head.safetensors"]
    head = heads.load(made.head, read_facts(DEFAULT_ENCODER).encoder_id)
    assert head.facts.classes == CLASSES
    assert "macro-F1 0" in made.fitted.out or "macro-F1 1" in made.fitted.out
    for name in ("confusion.png", "reliability.png"):
        assert (made.head.parent / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_a_recipe_for_stills_leaves_a_run_folder_with_the_same_head(
    made: Made, tmp_path: Path
) -> None:
    done = typed("fit", "stills", made.stills, "--out", tmp_path)
    assert done.status == 0, done.err
    folder = tmp_path / "stills"
    assert (folder / "head.safetensors").read_bytes() == made.head.read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        *("recipe.json", "data.json", "metrics.csv", "metrics.json", "head.safetensors"),
        *("curves.png", "confusion.png", "reliability.png"),
    }
    tables = json.loads((folder / "metrics.json").read_text())
    assert 0.5 < tables["after"]["mean_ap"] <= 1
    assert tables["all_negative"]["macro_f1"] == 0
    assert set(tables["after"]["by_class"]) == set(CLASSES)
    data = json.loads((folder / "data.json").read_text())
    assert sum(data["pictures"].values()) == 20
    changed = tmp_path / "stills.toml"
    shipped = Path(recipe.__file__).parent / "recipes" / "stills.toml"
    changed.write_text(shipped.read_text().replace("epochs = 30", "epochs = 3"))
    other = typed("fit", changed, made.stills, "--out", tmp_path)
    assert other.status == 2
    assert "belongs to another run" in other.err
    assert (folder / "head.safetensors").read_bytes() == made.head.read_bytes()


def test_predict_names_who_is_there_and_reports_what_cannot_be_read(
    made: Made, tmp_path: Path
) -> None:
    annotated = read_annotated(made.stills)
    chosen = [still for still in annotated.stills if still.split == "test"]
    images = tmp_path / "images" / "deep"
    images.mkdir(parents=True)
    for still in chosen:
        (images / still.path.name).write_bytes(still.path.read_bytes())
    Image.new("RGB", (64, 48)).save(images / "nobody.png")
    (images / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    done = typed("predict", images.parent, "--head", made.head, "--out", out, "--json")
    assert done.status == 0, done.err
    assert "broken.jpg: is not an image" in done.err
    tables = json.loads(done.out)
    assert tables == json.loads((out / "predictions.json").read_text())
    assert tables["schema"] == "stills/1"
    assert [Path(one["path"]).name for one in tables["unreadable"]] == ["broken.jpg"]
    by_name = {Path(picture["path"]).name: picture for picture in tables["pictures"]}
    assert by_name["nobody.png"]["faces"] == []
    assert by_name["nobody.png"]["characters"] == []
    right = 0
    for still in chosen:
        picture = by_name[still.path.name]
        expected = {CLASSES[k] for k in still.classes}
        right += {one["name"] for one in picture["characters"]} == expected
        for face in picture["faces"]:
            x0, y0, x1, y1 = face["head"]
            assert 0 <= x0 < x1 <= picture["width"]
            assert 0 <= y0 < y1 <= picture["height"]
            if face["name"]:
                box = np.array([face["box"]], np.float32)
                assert iou(box, still.boxes).max() > 0.4
        with Image.open(out / "deep" / still.path.name) as drawn:
            assert drawn.size == (picture["width"], picture["height"])
    assert right >= len(chosen) - 1


def test_predict_says_what_it_cannot_read_even_if_that_is_all(made: Made, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    (images / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (64, 48)).save(images / "a.TIFF", "TIFF")
    (images / ".hidden.gif").write_bytes(b"")
    done = typed("predict", images, "--head", made.head, "--out", out)
    assert done.status == 2
    assert "a.TIFF: is left out: .TIFF is not read from folders (convert it" in done.err
    tables = json.loads((out / "predictions.json").read_text())
    assert tables["pictures"] == []
    assert [Path(one["path"]).name for one in tables["unreadable"]] == ["a.TIFF", "broken.jpg"]
    (images / "broken.jpg").unlink()
    nothing = typed("predict", images, "--head", made.head, "--out", tmp_path / "none")
    assert (nothing.status, "holds no pictures" in nothing.err) == (2, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("a", "a.png"), ("a.b.xyz", "a.b.xyz.png"), ("a.tiff", "a.tiff.png"), ("a.JPG", "a.JPG")],
)
def test_one_picture_is_drawn_whatever_it_is_called(
    name: str, drawn: str, made: Made, tmp_path: Path
) -> None:
    still = next(one for one in read_annotated(made.stills).stills if len(one.classes) > 0)
    source = tmp_path / name
    source.write_bytes(still.path.read_bytes())
    done = typed("predict", source, "--head", made.head, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {drawn, "predictions.json"}
    with Image.open(tmp_path / "out" / drawn) as image:
        assert image.size == (still.width, still.height)
    over = typed("predict", source, "--head", made.head, "--out", tmp_path)
    assert (over.status, "is inside the pictures" in over.err) == (2, True)
    assert source.read_bytes() == still.path.read_bytes()


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), max_size=4))
def test_of_a_face_all_characters_above_their_thresholds_are_said_best_first(
    made: Made, rows: list[list[float]]
) -> None:
    head = heads.load(made.head, read_facts(DEFAULT_ENCODER).encoder_id)
    faces = np.array(rows, np.float64).reshape(-1, 3)
    boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (len(rows), 1))
    landmarks = np.zeros((len(rows), 5, 2), np.float32)
    found = Detections(boxes, np.ones(len(rows), np.float32), landmarks)
    said = predict.as_tables(
        [predict.Prediction(Path("a.jpg"), 10, 10, found, faces, faces.max(axis=0, initial=0))],
        [], head,
    )["pictures"][0]["faces"]  # fmt: skip
    for face, row in zip(said, rows, strict=True):
        names = [one["name"] for one in face["characters"]]
        shown = [one["probability"] for one in face["characters"]]
        wanted = {
            name
            for name, value, least in zip(CLASSES, row, head.facts.thresholds, strict=True)
            if value >= least
        }
        assert set(names) == wanted
        assert shown == sorted(shown, reverse=True)
        assert face["name"] == (names[0] if names else None)
        assert face["probability"] == (shown[0] if names else round(max(row), 4))


def test_predict_refuses_another_encoder_and_pictures_of_which_none_can_be_read(
    made: Made, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="another encoder"):
        heads.load(made.head, "f" * 64)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = typed("predict", tmp_path, "--head", made.head)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    inside = typed("predict", tmp_path, "--head", made.head, "--out", tmp_path / "out")
    assert inside.status == 2
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_annotated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="names"):
        read_annotated(tmp_path)
    (tmp_path / "data.yaml").write_text('names: ["Ada"]\n')
    with pytest.raises(ImageError, match="no pictures in train"):
        require_splits(read_annotated(tmp_path), tmp_path)
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "labels/train").mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(tmp_path / "images/train/0.jpg")
    (tmp_path / "labels/train/0.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    with pytest.raises(ImageError, match="not in 0 to 0"):
        read_annotated(tmp_path)


def test_a_split_in_which_no_face_is_found_is_refused_by_name(made: Made, tmp_path: Path) -> None:
    stills = shutil.copytree(made.stills, tmp_path / "stills")
    for still in read_annotated(stills).stills:
        if still.split == "val":
            Image.new("RGB", (still.width, still.height)).save(still.path)
    done = typed("fit-stills", stills, "--out", tmp_path / "head.safetensors", "--epochs", 0)
    assert done.status == 2
    assert "stills: shows no face that is found in the pictures of val (" in done.err


def test_a_run_that_cannot_be_is_refused_before_anything_is_looked_at(
    made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "head.safetensors"
    assert typed("fit-stills", made.stills, "--out", out, "--epochs", -1).status == 2
    assert typed("fit-stills", tmp_path, "--out", out).status == 2
    nowhere = typed("fit-stills", made.stills, "--out", out, "--weights", "no/run")
    said = "no/run: no such weights or run (name a weights file or the folder of a run)\n"
    assert (nowhere.status, nowhere.err) == (2, said)
    asked = ("synthesize-stills", made.faces, "--out", tmp_path / "new")
    assert typed(*asked, "--classes", 5).status == 2
    assert typed(*asked, "--size", "wide").status == 2
    assert list(tmp_path.iterdir()) == []
