"""Annotated pictures of every format become the same records, and one CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer import stills
from indexer.errors import ImageError
from tests.indexer.test_stills import ODD_EXIF, exif_of
from tests.training.test_stills import typed
from training import pictures
from training.annotate import deal_splits, label_table, listed, read_source
from training.annotations import (
    AnnotatedStill,
    AnnotatedStills,
    read_annotations,
    write_annotations,
)
from training.check_data import check
from training.split import deal

NAMES = ("Ann", "Ben")
DATA = "path: .\nnames:\n  0: Ann\n  1: Ben\n"
ANN, BOTH = "0 0.5 0.5 0.2 0.4\n", "0 0.5 0.5 0.2 0.4\n1 0.25 0.5 0.1 0.2\n"
XML = """<annotation><filename>a.jpg</filename>
<size><width>{width}</width><height>50</height><depth>3</depth></size>
<object><name>Ann</name><bndbox><xmin>41</xmin><ymin>16</ymin><xmax>60</xmax><ymax>35</ymax>
</bndbox></object></annotation>"""
BOX = [40, 15, 60, 35]
SIZED = "image,width,height,label,x0,y0,x1,y1\n"


def picture(path: Path, width: int = 100, height: int = 50) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def yolo(root: Path, where: str, labels: str, text: str = BOTH) -> None:
    """Write a picture and its labels; `where` and `labels` are paths without suffix."""
    picture(root / f"{where}.jpg")
    write(root / f"{labels}.txt", text)


@st.composite
def annotated(draw: st.DrawFn) -> AnnotatedStills:
    names = draw(st.lists(st.text("aé, \"'\n", min_size=1), max_size=4, unique=True))
    names = [f"n{name}." for name in names]
    stills = []
    for number in range(draw(st.integers(0, 5))):
        classes = draw(st.lists(st.integers(0, len(names) - 1), max_size=3)) if names else []
        edges = st.integers(-400, 40_000).map(lambda hundredths: hundredths / 100)
        boxes = [draw(st.tuples(edges, edges, edges, edges)) for _ in classes]
        stills.append(
            AnnotatedStill(
                path=Path(f"{number}.png"),
                width=draw(st.integers(1, 50)),
                height=draw(st.integers(1, 50)),
                split=draw(st.sampled_from(["", "train", "calibration"])),
                classes=np.array(classes, np.int64),
                boxes=np.array(boxes, np.float32).reshape(-1, 4),
            )
        )
    return AnnotatedStills(tuple(names), tuple(stills))


@given(annotated())
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, made: AnnotatedStills
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    placed = tuple(replace(one, path=folder / one.path) for one in made.stills)
    for one in placed:
        picture(one.path, one.width, one.height)
    again = read_annotations(write_annotations(folder, replace(made, stills=placed)))
    assert again.names == made.names
    assert len(again.stills) == len(made.stills)
    for one, other in zip(made.stills, again.stills, strict=True):
        assert one.path.name == other.path.name
        assert (one.width, one.height, one.split) == (other.width, other.height, other.split)
        assert one.classes.tolist() == other.classes.tolist()
        assert np.abs(one.boxes - other.boxes).max(initial=0) < 0.006


@pytest.mark.parametrize(
    ("where", "labels"),
    [("a", "a"), ("images/a", "labels/a"), ("images/sub/a", "labels/sub/a"), ("sub/a", "sub/a")],
)
@pytest.mark.parametrize("names", ["classes.txt", "data.yaml"])
def test_labels_lie_beside_the_pictures_or_in_a_folder_of_their_own(
    tmp_path: Path, where: str, labels: str, names: str
) -> None:
    root = tmp_path / "images"  # "images" above the source has no meaning
    write(root / names, DATA if names == "data.yaml" else "Ann\nBen\n")
    yolo(root, where, labels)
    found = read_source(root)
    assert found.names == NAMES
    [still] = found.stills
    assert (still.path, still.width, still.height) == (root / f"{where}.jpg", 100, 50)
    assert still.classes.tolist() == [0, 1]
    np.testing.assert_allclose(still.boxes, [[40, 15, 60, 35], [20, 20, 30, 30]], atol=1e-4)
    assert still.split == ""


def test_splits_are_what_data_yaml_or_the_folders_say(tmp_path: Path) -> None:
    lines = "train: images/one\nval: [../images/two]\ntest: listed.txt\n"
    write(tmp_path / "data.yaml", "names: [Ann, Ben]\n" + lines)
    write(tmp_path / "listed.txt", "./images/three/c.jpg\n")
    for folder, name in [("one", "a"), ("two", "b"), ("three", "c"), ("valid", "d"), ("x", "e")]:
        yolo(tmp_path, f"images/{folder}/{name}", f"labels/{folder}/{name}")
    found = {still.path.stem: still.split for still in read_source(tmp_path).stills}
    assert found == {"a": "train", "b": "val", "c": "test", "d": "val", "e": ""}


def test_voc_is_read_with_its_image_sets(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    write(tmp_path / "Annotations" / "a.xml", XML.format(width=100))
    write(tmp_path / "ImageSets" / "Main" / "test.txt", "a 1\n")
    picture(tmp_path / "train" / "b.png", 100, 50)
    write(tmp_path / "train" / "b.xml", XML.format(width=100).replace("Ann", "Ben"))
    found = read_source(tmp_path)
    assert found.names == NAMES
    assert [still.split for still in found.stills] == ["train", "test"]
    assert [still.classes.tolist() for still in found.stills] == [[1], [0]]
    for still in found.stills:
        assert still.boxes.tolist() == [BOX]


def test_columns_may_be_called_as_others_call_them(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path / "x.csv", "filename,class,xmin,ymin,xmax,ymax\na.jpg,Ben,1,2,3,4\na.jpg,,,,,\n")
    found = read_source(tmp_path / "x.csv")
    assert found.names == ("Ben",)
    [still] = found.stills
    assert (still.width, still.height, still.boxes.tolist()) == (100, 50, [[1, 2, 3, 4]])


def test_a_photo_taken_on_its_side_is_measured_upright(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "Ann\n")
    write(tmp_path / "a.txt", ANN)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 100)).save(tmp_path / "a.jpg", exif=exif)
    [still] = read_source(tmp_path).stills
    assert (still.width, still.height) == (100, 50)
    np.testing.assert_allclose(still.boxes, [BOX], atol=1e-4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("tags", [tags for tags, _ in ODD_EXIF])
def test_a_picture_has_the_size_that_is_read_of_it(
    tags: Sequence[tuple[int, int, bytes]], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8, 4)).save(path, exif=exif_of(tags))
    height, width, _ = stills.read(path).shape
    assert pictures.size(path) == (width, height)


def test_a_tiff_on_its_side_has_the_size_that_is_read_of_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.tif", exif=exif)
    assert pictures.size(tmp_path / "a.tif") == (4, 8)
    assert stills.read(tmp_path / "a.tif").shape == (8, 4, 3)


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ("[Yes, No]", ("Yes", "No")),
        ("[1, 2.50]", ("1", "2.50")),
        ("{'0': Ann, '1': Ben}", ("Ann", "Ben")),
        ("{1: Ben, 0: ' Ann '}", ("Ann", "Ben")),
    ],
)
def test_names_are_as_they_are_written(names: str, read: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / "data.yaml", f"names: {names}\ntrain:\nval: null\n")
    yolo(tmp_path, "a", "a")
    assert read_source(tmp_path).names == read


def test_blanks_around_a_label_do_not_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.jpg")
    rows = "a.jpg,Ann,1,2,3,4\na.jpg, Ann ,5,6,7,8\nb.jpg, ,,,,\n"
    write(tmp_path / "x.csv", f"image,label,x0,y0,x1,y1\n{rows}")
    found = read_source(tmp_path / "x.csv")
    assert found.names == ("Ann",)
    assert [still.classes.tolist() for still in found.stills] == [[0, 0], []]
    write(tmp_path / "label_map.json", '{"schema": "labels/1", "labels": ["Ben", "Ann "]}')
    assert read_source(tmp_path / "x.csv").names == ("Ben", "Ann")


@pytest.mark.parametrize("size", ["100,50", "100.0,50.0", ",", "0,0", "100,"])
def test_a_size_may_be_given_or_not(size: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path / "x.csv", f"{SIZED}a.jpg,{size},Ann,1,2,3,4\n")
    [still] = read_source(tmp_path / "x.csv").stills
    assert (still.width, still.height) == (100, 50)


def test_a_folder_behind_a_link_points_to_the_pictures(tmp_path: Path) -> None:
    write(tmp_path / "in" / "classes.txt", "Ann\nBen\n")
    yolo(tmp_path / "in", "a", "a")
    (tmp_path / "disk" / "some" / "where").mkdir(parents=True)
    (tmp_path / "outputs").symlink_to(tmp_path / "disk" / "some" / "where")
    table = write_annotations(tmp_path / "outputs" / "one", read_source(tmp_path / "in"))
    [still] = read_annotations(table).stills
    assert still.path.samefile(tmp_path / "in" / "a.jpg")


def test_a_picture_that_is_a_link_is_listed_once(tmp_path: Path) -> None:
    write(tmp_path / "data.yaml", "names: [Ann, Ben]\ntrain: images/train\n")
    picture(tmp_path / "pool" / "a.jpg")
    write(tmp_path / "labels" / "train" / "0.txt", BOTH)
    link = tmp_path / "images" / "train" / "0.jpg"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../pool/a.jpg")
    [still] = read_source(tmp_path).stills
    assert (still.path, still.split) == (link, "train")
    assert [one.files for one in check(tmp_path, 1).findings] == []


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "not annotated in a known format"),
        ({"classes.txt": "Ann\n"}, "no annotated pictures"),
        ({"data.yaml": "names: [\n"}, "cannot be read"),
        ({"data.yaml": "nc: 3\n"}, "does not list its names"),
        ({"data.yaml": "names: [Ann, Ben, Ann]\n"}, "lists Ann more than once"),
        ({"data.yaml": "names: [Ann, '', Ben]\n"}, "blank for the name of class 1"),
        ({"data.yaml": "names: {0: Ann, 2: Ben}\n"}, "does not list its names"),
        ({"classes.txt": "Ann\nBen\nAnn \n"}, "lists Ann more than once"),
        ({"obj.names": "Ann\n\nBen\n"}, "blank for the name of class 1"),
        ({"classes.txt": "\nAnn\n"}, "blank for the name of class 0"),
        ({"classes.txt": "Ann\n", "a.jpg": ""}, r"a.txt: is missing"),
        ({"classes.txt": "Ann\n", "a.jpg": "", "a.txt": "1 0 0 1 1"}, "line 1 names class 1"),
        ({"classes.txt": "Ann\n", "a.jpg": "", "a.txt": "\n0 0 0 1"}, "line 2 is not a class"),
        ({"classes.txt": "Ann\n", "a.jpg": "", "a.txt": "0 0 0 1 nan"}, "line 1 is not a class"),
        ({"a.jpg": "", "a.xml": "<annotation>"}, "is not a VOC annotation"),
        ({"a.jpg": "", "a.xml": XML.format(width=90)}, "says 90x50, but a.jpg is 100x50"),
        ({"a.xml": XML.format(width=100)}, "a.jpg: no such file"),
        (
            {"a.jpg": "", "a.xml": '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'},
            "not annotated in a known format",
        ),
        ({"annotations.csv": "image,label\n"}, "no column x0"),
        ({"annotations.csv": "image,label,x0,y0,x1,y1\na.jpg,Ann,1,2,3,\n"}, "line 2 has no box"),
        (
            {"annotations.csv": "image,split,label,x0,y0,x1,y1\na.jpg,some,,,,,\n"},
            "split some",
        ),
        (
            {
                "annotations.csv": "image,label,x0,y0,x1,y1\na.jpg,Ann,1,2,3,4\n",
                "label_map.json": '{"schema": "labels/1", "labels": ["Ben"]}',
            },
            "lacks Ann",
        ),
        (
            {
                "annotations.csv": "image,label,x0,y0,x1,y1\na.jpg,Ann,1,2,3,4\n",
                "label_map.json": '{"schema": "labels/1", "labels": ["Ann", "Ben", "Ann"]}',
            },
            "label_map.json: lists Ann more than once",
        ),
        (
            {"a.jpg": "", "annotations.csv": f"{SIZED}a.jpg,100,50,,,,,\na.jpg,90,50,,,,,\n"},
            "line 3 says 90x50, but a.jpg is 100x50",
        ),
        (
            {"a.jpg": "", "annotations.csv": f"{SIZED}a.jpg,,40,,,,,\n"},
            "line 2 says 0x40, but a.jpg is 100x50",
        ),
        (
            {"a.jpg": "", "annotations.csv": f"{SIZED}a.jpg,100,high,,,,,\n"},
            "line 2 has a width or height that is no number",
        ),
        ({"annotations.csv": f"{SIZED}none.jpg,100,50,,,,,\n"}, "none.jpg: no such file"),
        ({"a.jpg": "", "a.xml": "<annotation></annotation>"}, "holds no label"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    for name, text in files.items():
        if name == "a.jpg":
            picture(tmp_path / name)
        else:
            write(tmp_path / name, text)
    with pytest.raises(ImageError, match=says):
        read_source(tmp_path)


def test_one_who_is_told_goes_on_with_the_rest(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "Ann\nBen\n")
    for name, text in [("a", ANN), ("b", "7 0 0 0 0\n"), ("c", BOTH)]:
        yolo(tmp_path, name, name, text)
    told: list[ImageError] = []
    found = read_source(tmp_path, told.append)
    assert [still.path.stem for still in found.stills] == ["a", "c"]
    assert [Path(error.path).name for error in told] == ["b.txt"]
    assert [one.labels.name for one in listed(tmp_path)] == ["a.txt", "b.txt", "c.txt"]


@given(
    st.integers(0, 60).flatmap(
        lambda count: st.lists(
            st.lists(st.booleans(), min_size=3, max_size=3), min_size=count, max_size=count
        )
    ),
    st.integers(0, 9),
)
def test_every_picture_is_dealt_once_and_splits_are_about_as_large_as_asked(
    rows: list[list[bool]], seed: int
) -> None:
    labels = np.array(rows, bool).reshape(-1, 3)
    shares = {"test": 0.2, "val": 0.25}
    dealt = deal(labels, shares, "train", seed)
    assert dealt == deal(labels, shares, "train", seed)
    assert len(dealt) == len(labels)
    kinds = labels.shape[1] + 1  # each label, and pictures of nobody, are rounded separately
    for split, share in shares.items():
        assert abs(dealt.count(split) - share * len(labels)) <= kinds + 1


def test_two_of_ten_of_each_label_are_in_a_split_of_a_fifth() -> None:
    labels = np.repeat(np.eye(3, dtype=bool), 10, axis=0)
    labels[20:] = False  # pictures of nobody are dealt in the same shares
    dealt = deal(labels, {"test": 0.2}, "train", seed=1)
    assert [dealt[start : start + 10].count("test") for start in (0, 10, 20)] == [2, 2, 2]
    assert deal(labels[:0], {"test": 0.2}, "train", seed=1) == []
    with pytest.raises(ValueError, match="below 1"):
        deal(labels, {"test": 0.5, "val": 0.5}, "train", seed=1)


def test_labels_are_dealt_more_evenly_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((300, 12)) < np.geomspace(0.02, 0.4, 12)
    expected = 0.2 * labels.sum(axis=0)

    def error(chosen: np.ndarray) -> float:
        return float(np.abs(labels[chosen].sum(axis=0) - expected).mean())

    dealt = np.array(deal(labels, {"test": 0.2}, "train", seed=0)) == "test"
    chance = np.mean([error(rng.permutation(300)[:60]) for _ in range(20)])
    assert error(dealt) < chance / 2


def test_a_split_that_the_source_knows_is_kept_unless_asked(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "Ann\nBen\n")
    for number in range(20):
        where = f"train/{number}" if number < 5 else f"{number}"
        yolo(tmp_path, where, where, [ANN, BOTH, ""][number % 3])
    found = read_source(tmp_path)
    assert label_table(found).sum(axis=0).tolist() == [14, 7]
    dealt = deal_splits(found, {"val": 0.2}, seed=0)
    known = [still.split for still in dealt.stills if still.path.parent.name == "train"]
    assert known == ["train"] * 5
    assert sum(still.split == "val" for still in dealt.stills) == 3
    anew = deal_splits(found, {"val": 0.2}, seed=0, resplit=True)
    assert sum(still.split == "val" for still in anew.stills) == 4


def test_the_command_writes_the_same_twice_and_says_how_many(tmp_path: Path) -> None:
    write(tmp_path / "in" / "data.yaml", DATA)
    for number in range(20):
        yolo(tmp_path / "in", f"images/{number}", f"labels/{number}", [ANN, BOTH, ""][number % 3])
    for name in ("one", "two"):
        done = typed("annotate", tmp_path / "in", "--out", tmp_path / name, "--seed", 4)
        assert done.status == 0, done.err
        assert "(nobody)" in done.out
    first, second = (tmp_path / name / "annotations.csv" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert json.loads((tmp_path / "one" / "label_map.json").read_text()) == {
        "schema": "labels/1",
        "labels": ["Ann", "Ben"],
    }
    rows = list(csv.DictReader(first.read_text().splitlines()))
    assert len(rows) == 7 + 14 + 6
    assert {row["split"] for row in rows} == {"train", "val", "calibration", "test"}
    assert sum(row["label"] == "" for row in rows) == 6
    again = read_source(tmp_path / "one")
    assert all(still.path.is_file() for still in again.stills)


def test_impossible_shares_and_sources_are_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "Ann\nBen\n")
    yolo(tmp_path, "a", "a")
    out = tmp_path / "out"
    for words in ([tmp_path, "--test", 1.5], [tmp_path / "none"], [tmp_path / "a.jpg"]):
        done = typed("annotate", *words, "--out", out)
        assert done.status == 2
        assert len(done.err.splitlines()) == 1
    assert not out.exists()
