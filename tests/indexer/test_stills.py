from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from indexer import stills
from indexer.errors import ImageError
from indexer.records import UInt8


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_a_still_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, pixels: UInt8
) -> None:
    path = tmp_path_factory.mktemp("still") / "one.png"
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(stills.read(path), pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("one.tif" if mode in ("CMYK", "I;16") else "one.png")
    Image.new(mode, (6, 4)).save(path)
    assert stills.read(path).shape == (4, 6, 3)


def test_a_photo_taken_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "one.png", exif=exif)
    upright = stills.read(tmp_path / "one.png")
    assert upright.shape == (8, 4, 3)
    assert upright[0].min() == 255
    assert upright[-1].max() == 0


SHORT, ASCII, FLOAT = 3, 2, 11
ORIENTATION, MAKE, X_RESOLUTION = 0x0112, 0x010F, 0x011A
ON_ITS_SIDE = (ORIENTATION, SHORT, struct.pack("<HH", 6, 0))
ODD_EXIF = [
    ([(ORIENTATION, ASCII, b"six\0")], False),
    ([(ORIENTATION, SHORT, struct.pack("<HH", 9, 0))], False),
    ([(ORIENTATION, FLOAT, struct.pack("<f", 6))], False),
    ([ON_ITS_SIDE, (X_RESOLUTION, ASCII, b"72\0\0")], True),
    ([(MAKE, FLOAT, struct.pack("<f", 6)), ON_ITS_SIDE], True),
]
"""Tags, each with its type and value, and whether they say that the picture is on its side."""


def exif_of(tags: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return EXIF as a camera with its own ideas of types may write it; values have four bytes."""
    count = {SHORT: 1, ASCII: 4, FLOAT: 1}
    entries = [struct.pack("<HHI", tag, kind, count[kind]) + value for tag, kind, value in tags]
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize(("tags", "on_its_side"), ODD_EXIF)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_odd_exif_is_no_reason_to_refuse_a_picture(
    suffix: str,
    tags: Sequence[tuple[int, int, bytes]],
    on_its_side: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    path = tmp_path / f"one.{suffix}"
    Image.new("RGB", (8, 4)).save(path, exif=exif_of(tags))
    assert stills.read(path).shape == ((8, 4, 3) if on_its_side else (4, 8, 3))


@pytest.mark.filterwarnings("ignore")  # PIL's, about what it cannot parse
@given(st.binary(max_size=40))
def test_of_no_exif_more_is_asked_than_the_orientation(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("still") / "one.png"
    Image.new("RGB", (8, 4)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0" + content)
    assert stills.read(path).shape[:2] in ((4, 8), (8, 4))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright_as_pil_would(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 5, 3), dtype=np.uint8)
    exif, path = Image.Exif(), tmp_path / f"one.{suffix}"
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as image:
        np.testing.assert_array_equal(stills.read(path), ImageOps.exif_transpose(image))


def test_a_damaged_or_missing_still_is_refused_by_name(tmp_path: Path) -> None:
    text, cut, folder = tmp_path / "text.jpg", tmp_path / "cut.jpg", tmp_path / "folder"
    text.write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    folder.mkdir()
    for path, says in [
        (text, "is not an image"),
        (cut, "is damaged"),
        (folder, "is a folder"),
        (tmp_path / "none.png", "no such file"),
    ]:
        with pytest.raises(ImageError, match=says) as refusal:
            stills.read(path)
        assert str(path) in str(refusal.value)


def test_people_are_folders_in_order_and_hidden_files_nobody(tmp_path: Path) -> None:
    for name in (
        "Zoe/2.png",
        "Zoe/1.png",
        " Ann  Lee/a.jpg",
        "Zoe/.DS_Store",
        ".git/x",
        "Empty/.x",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    people = stills.people(tmp_path)
    assert [(p.name, [one.name for one in p.paths]) for p in people] == [
        ("Ann Lee", ["a.jpg"]),
        ("Empty", []),
        ("Zoe", ["1.png", "2.png"]),
    ]


def test_a_folder_of_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"")
    for path, says in [
        (tmp_path, "holds nobody"),
        (tmp_path / "one.png", "is not a folder"),
        (tmp_path / "none", "no such folder"),
    ]:
        with pytest.raises(ImageError, match=says):
            stills.people(path)


def test_what_may_not_be_read_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: object, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    Image.new("RGB", (4, 4)).save(tmp_path / "one.png")
    assert stills.pictures(tmp_path) == [tmp_path / "one.png"]
    monkeypatch.setattr("os.scandir", forbidden)
    with pytest.raises(PermissionError):
        stills.pictures(tmp_path)
    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(ImageError, match=r"one\.png: permission denied"):
        stills.read(tmp_path / "one.png")
