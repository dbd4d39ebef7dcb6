from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ImageError
from training import annotate, split
from training.__main__ import main
from training.annotations import (
    ANNOTATIONS,
    AnnotatedStill,
    AnnotatedStills,
    read_annotations,
    write_annotations,
)
from training.check_data import check

VOC = """<annotation><filename>a.jpg</filename><size><width>40</width><height>30</height></size>
<object><name>Ben</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>12</ymax></bndbox>
</object></annotation>"""


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((30, 40, 3), 128, np.uint8))


@pytest.fixture
def yolo_folder(tmp_path: Path) -> Path:
    """Twenty pictures, no splits: Ann in all but the last, which is empty; Ben in every fourth."""
    folder = tmp_path / "yolo"
    for number in range(20):
        picture(folder / "images" / f"{number:02}.jpg")
        lines = ["0 0.5 0.5 0.5 0.4"] + ["1 0.25 0.5 0.1 0.2"] * (number % 4 == 0)
        label = folder / "labels" / f"{number:02}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("\n".join(lines if number < 19 else []))
    (folder / "classes.txt").write_text("Ann\nBen\n")
    return folder


def test_yolo_by_hand(yolo_folder: Path) -> None:
    found = annotate.read_source(yolo_folder)
    assert found.names == ("Ann", "Ben")
    first = found.stills[0]
    assert (first.width, first.height, first.split) == (40, 30, "")
    assert first.boxes == pytest.approx(np.array([[10, 9, 30, 21], [8, 12, 12, 18]]))
    assert len(found.stills[19].classes) == 0


def test_voc_by_hand(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(VOC)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("a\n")
    [still] = annotate.read_source(tmp_path).stills
    assert still.split == "val"
    assert still.boxes.tolist() == [[0, 1, 11, 12]]


def test_what_is_written_is_what_is_read(yolo_folder: Path, tmp_path: Path) -> None:
    found = annotate.read_source(yolo_folder)
    again = read_annotations(write_annotations(tmp_path / "out", found))
    assert again.names == found.names
    for one, other in zip(again.stills, found.stills, strict=True):
        assert one.path.resolve() == other.path.resolve()
        assert np.array_equal(one.classes, other.classes)
        assert np.allclose(one.boxes, other.boxes, atol=0.006)


@given(st.integers(0, 20))
def test_every_label_is_in_every_split_about_as_often_as_its_share_says(seed: int) -> None:
    labels = np.random.default_rng(seed).random((200, 4)) < [0.9, 0.4, 0.2, 0.1]
    dealt = np.array(split.deal(labels, {"test": 0.25, "val": 0.15}, "train", seed))
    assert dealt.tolist() == split.deal(labels, {"test": 0.25, "val": 0.15}, "train", seed)
    for name, share in (("test", 0.25), ("val", 0.15), ("train", 0.6)):
        inside = labels[dealt == name].sum(axis=0)
        assert np.all(np.abs(inside - share * labels.sum(axis=0)) <= 4)


def test_splits_that_are_there_are_kept() -> None:
    one = AnnotatedStill(Path("a.jpg"), 4, 4, "", np.array([0]), np.ones((1, 4), np.float32))
    stills = [dataclasses.replace(one, split="test" if i < 3 else "") for i in range(20)]
    found = AnnotatedStills(("Ann",), tuple(stills))
    dealt = annotate.deal_splits(found, {"val": 0.5}, 0)
    names = [still.split for still in dealt.stills]
    assert names[:3] == ["test"] * 3
    assert set(names[3:]) == {"train", "val"}
    with pytest.raises(ValueError, match="together below 1"):
        annotate.deal_splits(found, {"val": 1.0}, 0)
    assert annotate.deal_splits(AnnotatedStills((), ()), {"val": 0.5}, 0).stills == ()


def test_the_command(yolo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["annotate", str(yolo_folder), "--out", str(out)]) == 0
    assert "Ben" in capsys.readouterr().out
    first = (out / ANNOTATIONS).read_bytes()
    assert main(["annotate", str(yolo_folder), "--out", str(out)]) == 0
    assert (out / ANNOTATIONS).read_bytes() == first
    assert main(["annotate", str(tmp_path / "none"), "--out", str(tmp_path / "no")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_what_is_wrong_is_named_with_its_line(yolo_folder: Path) -> None:
    label = yolo_folder / "labels" / "03.txt"
    label.write_text("7 0.5 0.5 0.5 0.4")
    with pytest.raises(ImageError, match=r"03\.txt"):
        annotate.read_source(yolo_folder)
    told: list[ImageError] = []
    found = annotate.read_source(yolo_folder, told.append)
    assert len(found.stills) == 19
    assert len(told) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".idea/workspace.xml", VOC),
        ("Ann/.hidden.xml", VOC),
        ("Ann/notes.xml", "<project><annotation/></project>"),
        ("Ann/cut.xml", "<?xml version='1.0'?>"),
        ("Ann/empty.xml", ""),
        ("Ann/bomb.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'),
    ],
)
def test_an_xml_that_annotates_nothing_makes_no_voc(
    name: str, content: str, tmp_path: Path
) -> None:
    picture(tmp_path / "Ann" / "a.jpg")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    assert not annotate.is_annotated(tmp_path)
    assert check(tmp_path, 1).pictures == 1
    (tmp_path / "Ann" / "a.xml").write_text(VOC)
    assert annotate.is_annotated(tmp_path)
    if not name.startswith("Ann"):
        assert len(annotate.read_source(tmp_path).stills) == 1
