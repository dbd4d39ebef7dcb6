"""Problems of data are reported, quarantined on request, and the files brought back."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer.errors import ConfigError, ImageError
from indexer.records import UInt8
from tests.training.test_stills import typed
from training import duplicates, pictures, quarantine
from training.annotate import read_source
from training.check_data import check
from training.duplicates import fingerprint


def scene(seed: int) -> UInt8:
    """Return a picture that is unlike those of other seeds, (60, 90, 3)."""
    rough = np.random.default_rng(seed).integers(0, 255, (12, 18, 3), dtype=np.uint8)
    return np.kron(rough, np.ones((5, 5, 1), np.uint8))


def picture(path: Path, seed: int, form: str | None = None, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(seed)).save(path, form, quality=quality)


def people(root: Path) -> None:
    """Write two photos of each of two people, without faults."""
    for seed, name in enumerate(("Ann/0.jpg", "Ann/1.png", "Ben/0.jpg", "Ben/1.jpg")):
        picture(root / name, seed)


def annotated(root: Path) -> None:
    """Write eight annotated pictures in two splits, without faults."""
    (root / "data.yaml").parent.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("names: [Ann, Ben]\n")
    for number in range(8):
        split = "test" if number < 4 else "train"
        picture(root / f"images/{split}/{number}.jpg", number)
        label = root / f"labels/{split}/{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{number % 2} 0.5 0.5 0.5 0.5\n")


def told(source: Path, least: int = 2) -> list[tuple[str, str]]:
    """Return the findings: paths below the source, and their problems."""
    return [
        (one.path.relative_to(source).as_posix(), one.problem)
        for one in check(source, least).findings
    ]


def alike(looks: UInt8) -> list[list[int]]:
    return [pair for some in duplicates.alike(looks) for pair in some.tolist()]


def state(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_good_data_are_clean(tmp_path: Path) -> None:
    people(tmp_path / "people")
    annotated(tmp_path / "annotated")
    for seed in range(3):
        picture(tmp_path / "flat" / f"{seed}.jpg", seed)
    for name, count in [("people", 4), ("annotated", 8), ("flat", 3)]:
        found = check(tmp_path / name, 2)
        assert (found.pictures, found.findings) == (count, ())
        assert typed("check-data", tmp_path / name).status == 0


def test_every_fault_of_a_folder_of_people_is_listed(tmp_path: Path) -> None:
    people(tmp_path)
    picture(tmp_path / "Ann/2.jpg", 10, "PNG")
    picture(tmp_path / "Ann/3.jpg", 11)
    cut = tmp_path / "Ann/3.jpg"
    cut.write_bytes(cut.read_bytes()[:-400])
    (tmp_path / "Ben/2.jpg").write_bytes(b"no picture")
    (tmp_path / "Ben/notes.txt").write_text("hello")
    picture(tmp_path / "Ben/more/9.jpg", 12)
    picture(tmp_path / "Cleo/0.jpg", 13)
    shutil.copyfile(tmp_path / "Ann/0.jpg", tmp_path / "Ann/4.jpg")
    picture(tmp_path / "Cleo/1.jpg", 2, quality=40)  # shows the same as Ben/0.jpg
    picture(tmp_path / "Ben/3.jpg", 3, quality=40)  # the same as Ben/1.jpg: no fault in one person
    (tmp_path / ".hidden").write_text("hello")
    (tmp_path / "Dora").mkdir()
    picture(tmp_path / "Dora/0.jpg", 14)
    (tmp_path / "Emil").mkdir()
    found = dict(told(tmp_path))
    assert list(found) == [
        "Ann/2.jpg",
        "Ann/3.jpg",
        "Ann/4.jpg",
        "Ben/0.jpg",
        "Ben/2.jpg",
        "Ben/more/9.jpg",
        "Ben/notes.txt",
        "Cleo/1.jpg",
        "Dora",
        "Emil",
    ]
    assert found["Ann/2.jpg"] == "is a PNG named .jpg"
    assert found["Ann/3.jpg"].startswith("is damaged")
    assert found["Ann/4.jpg"] == f"is the same file as {tmp_path / 'Ann/0.jpg'}"
    assert found["Ben/0.jpg"] == f"looks the same as {tmp_path / 'Cleo/1.jpg'} of Cleo"
    assert "not an image" in found["Ben/2.jpg"]
    assert "too deep" in found["Ben/more/9.jpg"]
    assert "not a picture's" in found["Ben/notes.txt"]
    assert found["Dora"] == "has 1 photos, but needs 2"
    assert found["Emil"] == "has 0 photos, but needs 2"


def test_a_header_that_promises_too_many_pixels_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "bomb.bmp"
    Image.new("RGB", (4, 4)).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<ii", 60_000, 60_000)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="cannot be read"):
        pictures.size(path)


def test_every_fault_of_annotations_is_listed(tmp_path: Path) -> None:
    annotated(tmp_path)
    labels = tmp_path / "labels"
    (labels / "test/0.txt").write_text("0 0.5 0.5 1.5 0.5\n")
    (labels / "test/1.txt").write_text("1 0.5 0.5 0 0.5\n")
    (labels / "train/4.txt").write_text("")
    (labels / "train/5.txt").write_text("7 0.5 0.5 0.5 0.5\n")
    (labels / "train/6.txt").unlink()
    (tmp_path / "images/train/7.jpg").write_bytes(b"no picture")
    picture(tmp_path / "images/train/8.jpg", 2, quality=40)  # is in test as well
    (labels / "train/8.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    found = told(tmp_path)
    assert found == [
        (".", "Ann is in 1 pictures of train, but needs 2"),
        (".", "Ben is in 0 pictures of train, but needs 2"),
        ("images/test/0.jpg", "Ann's box reaches outside the picture"),
        ("images/test/1.jpg", "Ben's box has no area"),
        ("images/train/4.jpg", "has no label"),
        ("images/train/7.jpg", "is not an image that can be read"),
        (
            "images/train/8.jpg",
            f"looks the same as {tmp_path / 'images/test/2.jpg'} of test",
        ),
        ("labels/train/5.txt", "line 1 names class 7, which is not in 0 to 1"),
        ("labels/train/6.txt", "is missing"),
    ]
    problems = [one.problem for one in check(tmp_path, 0, expect_empty=True).findings]
    assert len(problems) == len(found) - 3
    assert "has no label" not in problems


def voc(root: Path) -> None:
    """Write four pictures annotated in VOC's format, without faults."""
    for number in range(4):
        picture(root / f"JPEGImages/{number}.jpg", number)
        path = root / f"Annotations/{number}.xml"
        path.parent.mkdir(exist_ok=True)
        box = "".join(f"<{edge}>9</{edge}>" for edge in ("xmin", "ymin"))
        box += "".join(f"<{edge}>29</{edge}>" for edge in ("xmax", "ymax"))
        face = f"<object><name>Ann</name><bndbox>{box}</bndbox></object>"
        path.write_text(f"<annotation>{face}</annotation>")


@pytest.mark.parametrize("kind", ["yolo", "voc", "csv", "people"])
def test_no_file_is_dropped_without_a_word(kind: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    if kind == "voc":
        voc(data)
        picture(data / "SegmentationClass/0.png", 30)
    elif kind == "people":
        people(data)
    else:
        annotated(data)
        (data / "README.dataset.txt").write_text("by hand")
        (data / "labels/train.cache").write_bytes(b"")
    if kind == "csv":
        assert typed("annotate", data, "--out", data).status == 0
    (data / ".hidden.gif").write_bytes(b"")
    assert told(data) == []
    place = data / {"voc": "JPEGImages", "people": "Ann"}.get(kind, "images/train")
    for name in ("a.tiff", "b.gif", "c.doc"):
        (place / name).write_bytes(b"")
    found = told(data)
    assert [Path(name).name for name, _ in found] == ["a.tiff", "b.gif", "c.doc"]
    assert {problem for _, problem in found} == {"is left out: its name is not a picture's"}
    done = typed("check-data", data, "--quarantine", tmp_path / "away")
    assert (done.status, "moved away: 3 files" in done.out) == (1, True)
    assert told(data) == []


def test_labels_without_a_picture_and_pictures_without_labels_are_listed(tmp_path: Path) -> None:
    annotated(tmp_path / "yolo")
    (tmp_path / "yolo/images/train/7.jpg").unlink()
    problem = "is left out: no picture has its name"
    assert told(tmp_path / "yolo", 1) == [("labels/train/7.txt", problem)]
    (tmp_path / "yolo/some.txt").write_text("images/test/0.jpg\n")
    (tmp_path / "yolo/data.yaml").write_text("names: [Ann, Ben]\ntest: some.txt\n")  # a list
    assert told(tmp_path / "yolo", 1) == [("labels/train/7.txt", problem)]
    voc(tmp_path / "voc")
    (tmp_path / "voc/Annotations/3.xml").unlink()
    problem = "is left out: nothing says who is in it"
    assert told(tmp_path / "voc") == [("JPEGImages/3.jpg", problem)]
    annotated(tmp_path / "csv")
    assert typed("annotate", tmp_path / "csv", "--out", tmp_path / "csv").status == 0
    picture(tmp_path / "csv/images/train/8.jpg", 8)
    assert told(tmp_path / "csv") == [("images/train/8.jpg", problem)]
    assert check(tmp_path / "csv/annotations.csv", 2).findings == ()


def test_what_is_about_the_data_is_no_picture_that_is_left_out(tmp_path: Path) -> None:
    people(tmp_path)
    for name in ("README", "LICENSE.md", "lfw_pairs.txt", "Ann/readme.txt"):
        (tmp_path / name).write_text("by hand")
    assert told(tmp_path) == []
    picture(tmp_path / "Ann/more/readme.jpg", 20)
    (tmp_path / "Ann/notes.txt").write_text("hello")
    (tmp_path / "names.doc").write_text("hello")
    assert [name for name, _ in told(tmp_path)] == [
        "Ann/more/readme.jpg",
        "Ann/notes.txt",
        "names.doc",
    ]


def test_of_an_archive_of_lfw_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lfw.tar").write_bytes(b"")
    for source in (tmp_path, tmp_path / "lfw.tar"):
        done = typed("check-data", source)
        assert done.status == 2
        assert (
            "lfw.tar: is LFW's archive, whose photos are checked when unpacked (tar -xf" in done.err
        )


def test_of_two_copies_the_one_that_trains_goes(tmp_path: Path) -> None:
    annotated(tmp_path)
    shutil.copyfile(tmp_path / "images/train/5.jpg", tmp_path / "images/test/1.jpg")
    [(name, problem)] = told(tmp_path)
    assert name == "images/train/5.jpg"
    assert problem.startswith("is the same file as")


def test_of_many_copies_one_is_left(tmp_path: Path) -> None:
    for number in range(7):
        picture(tmp_path / f"{number}.png", seed=number % 2)
    found = check(tmp_path, 2).findings
    assert [one.path.name for one in found] == ["2.png", "3.png", "4.png", "5.png", "6.png"]
    for one in found:
        one.path.unlink()
    assert check(tmp_path, 2).findings == ()


def test_what_is_put_away_is_not_missed_and_comes_back_to_the_byte(tmp_path: Path) -> None:
    data, away = tmp_path / "data", tmp_path / "away"
    annotated(data)
    (data / "images/train/7.jpg").write_bytes(b"no picture")
    (data / "labels/train/5.txt").write_text("7 0.5 0.5 0.5 0.5\n")
    before = state(data)
    words = ["check-data", data, "--least", 1, "--json", tmp_path / "found.json"]
    first = typed(*words, "--quarantine", away)
    assert first.status == 1
    assert "moved away: 4 files" in first.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["pictures"] == 8
    # A label's problem is reported for the label, and both label and picture are moved.
    assert [Path(one["path"]).name for one in found["findings"]] == ["data", "7.jpg", "5.txt"]
    assert sorted(set(before) - set(state(data))) == [
        "images/train/5.jpg",
        "images/train/7.jpg",
        "labels/train/5.txt",
        "labels/train/7.txt",
    ]
    manifest = json.loads((away / "quarantine.json").read_text())
    assert {one["problem"] for one in manifest["moved"]} == {
        "is not an image that can be read",
        "line 1 names class 7, which is not in 0 to 1",
    }
    assert len(read_source(data).stills) == 6
    again = typed(*words, "--restore", away)
    assert again.status == 1
    assert state(data) == before
    assert not away.exists()


def test_a_csv_loses_the_rows_of_what_was_put_away_and_gets_them_back(tmp_path: Path) -> None:
    yolo, data, away = tmp_path / "yolo", tmp_path / "data", tmp_path / "away"
    annotated(yolo)
    assert typed("annotate", yolo, "--out", data).status == 0
    (yolo / "images/train/7.jpg").write_bytes(b"no picture")
    before = state(tmp_path)
    assert typed("check-data", data, "--quarantine", away).status == 1
    assert len(read_source(data).stills) == 7
    assert not (yolo / "images/train/7.jpg").exists()
    assert (yolo / "labels/train/7.txt").exists()
    [manifest] = away.glob("*.json")
    assert json.loads(manifest.read_text())["moved"][0]["to"] == "outside/0-7.jpg"
    assert len(quarantine.bring_back(away)) == 1
    assert state(tmp_path) == before


@pytest.mark.parametrize("named", ["some.txt", "some.list"])
def test_lists_of_splits_lose_the_lines_of_what_was_put_away_and_get_them_back(
    named: str, tmp_path: Path
) -> None:
    data, away = tmp_path / "data", tmp_path / "away"
    annotated(data)
    (data / "data.yaml").write_text(f"names: [Ann, Ben]\ntrain: {named}\ntest: test.txt\n")
    lines = {"test.txt": "0 1 2 3", named: "4 5 6 7 9"}
    for name, numbers in lines.items():
        split = "test" if name == "test.txt" else "train"
        some = [f"./images/{split}/{number}.jpg\r\n" for number in numbers.split()]
        (data / name).write_bytes("".join([*some, "\r\n"]).encode())
    (data / "images/train/7.jpg").write_bytes(b"no picture")
    before = state(data)
    found = check(data, 1).findings
    assert [(one.path.name, one.problem) for one in found] == [
        ("7.jpg", "is not an image that can be read"),
        ("9.jpg", "no such file"),
    ]
    assert typed("check-data", data, "--least", 1, "--quarantine", away).status == 1
    assert (data / "test.txt").read_bytes() == before["test.txt"]
    left = "".join(f"./images/train/{number}.jpg\r\n" for number in (4, 5, 6))
    assert (data / named).read_bytes().decode() == f"{left}\r\n"
    assert check(data, 1).findings == ()
    assert len(read_source(data).stills) == 7
    quarantine.bring_back(away)
    assert state(data) == before


def test_of_two_links_to_a_picture_only_one_is_put_away(tmp_path: Path) -> None:
    data = tmp_path / "data"
    annotated(data)
    shutil.move(data / "images/train/7.jpg", tmp_path / "pool.jpg")
    for number in (7, 5):
        path = data / f"images/train/{number}.jpg"
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "pool.jpg")
    assert typed("annotate", data, "--out", tmp_path / "csv").status == 0
    done = typed("check-data", tmp_path / "csv", "--least", 1, "--quarantine", tmp_path / "away")
    assert "is the same file as" in done.out
    assert "moved away: 1 files" in done.out
    left = read_source(tmp_path / "csv").stills
    assert len(left) == 7
    assert all(still.path.exists() for still in left)


def test_a_quarantine_that_cannot_be_is_refused_and_nothing_moves(tmp_path: Path) -> None:
    people(tmp_path / "data")
    (tmp_path / "data/Ben/2.jpg").write_bytes(b"no picture")
    before = state(tmp_path)
    for folder, says in [("data/away", "inside the data"), ("data/../other", "")]:
        done = typed("check-data", tmp_path / "data", "--quarantine", tmp_path / folder)
        assert says in done.err
        assert done.status == (2 if says else 1)
    picture(tmp_path / "data/Ben/3.jpg", 0, quality=40)  # one of Ann's, too: both are doubtful
    full = typed("check-data", tmp_path / "data", "--quarantine", tmp_path / "other")
    assert (full.status, "is not empty" in full.err) == (2, True)
    (tmp_path / "data/Ben/3.jpg").unlink()
    quarantine.bring_back(tmp_path / "other")
    assert state(tmp_path) == before
    with pytest.raises(ConfigError, match=r"holds no quarantine\.json"):
        quarantine.bring_back(tmp_path)
    with pytest.raises(ImageError, match="holds no pictures"):
        check(tmp_path / "data" / "Cleo", 2)


def test_a_file_that_is_there_again_is_not_overwritten(tmp_path: Path) -> None:
    data, away = tmp_path / "data", tmp_path / "away"
    people(data)
    bad = data / "Ben/2.jpg"
    bad.write_bytes(b"no picture")
    typed("check-data", data, "--quarantine", away)
    picture(bad, 20)
    done = typed("check-data", data, "--restore", away)
    assert done.status == 2
    assert "exists again" in done.err
    bad.unlink()
    assert typed("check-data", data, "--restore", away).status == 1
    assert bad.read_bytes() == b"no picture"


@settings(max_examples=20)
@given(st.integers(0, 12), st.integers(0, 3), st.integers(0, 99))
def test_pairs_are_those_that_counting_signs_one_by_one_finds(
    count: int, wide: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    looks = np.repeat(rng.integers(0, 256, (1, 32), dtype=np.uint8), count, axis=0)
    flips = rng.random((count, 256)) < 0.02 * 2**wide
    looks ^= np.packbits(flips, axis=1)
    signs = np.unpackbits(looks, axis=1)
    expected = [
        [i, j]
        for i in range(count)
        for j in range(i + 1, count)
        if (signs[i] != signs[j]).sum() <= 36
    ]
    assert alike(looks) == expected


def test_the_pairs_of_more_pictures_than_fit_into_a_block() -> None:
    looks = np.random.default_rng(0).integers(0, 256, (1100, 32), dtype=np.uint8)
    looks[1090] = looks[3]
    looks[600] = looks[599]
    assert alike(looks) == [[3, 1090], [599, 600]]


def test_a_fingerprint_survives_what_does_not_change_what_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(path, 1)
    image = Image.fromarray(scene(1))
    versions = [image, image.resize((180, 120)), image.resize((45, 30)), Image.fromarray(scene(2))]
    looks = np.array([fingerprint(path, np.array(one)).look for one in versions])
    assert alike(looks) == [[0, 1], [0, 2], [1, 2]]
