"""Pictures with words: any script can be read, and no text runs into what is beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer.records import UInt8
from indexer.sheet import Sheet, in_sight_order

LONG = "Gloria Macapagal Arroyo, the one with the long name"


def drawn(path: Path, line: str, width: int = 400) -> UInt8:
    """Return the darkness, (60, 420), of a sheet of 420 x 60 pixels with a line at (10, 10)."""
    sheet = Sheet(420, 60)
    sheet.words([line], 10, 10, width, size=20)
    sheet.write(path)
    with Image.open(path) as image:
        return 255 - np.asarray(image.convert("L"))


@pytest.mark.parametrize(
    "line", ["Ünïäöß", "Łódź ğşč", "Ελλάδα", "Кириллица", "שלום", "漢字", "かな", "한국어"]
)
def test_letters_of_many_scripts_are_not_one_and_the_same_box(tmp_path: Path, line: str) -> None:
    unknown = drawn(tmp_path / "boxes.png", chr(0x10FFFF))[:, 10:30]
    letters = [drawn(tmp_path / "one.png", letter) for letter in set(line) - {" "}]
    assert len({one.tobytes() for one in letters}) == len(letters)
    assert all((one[:, 10:30] != unknown).any() and one.max() > 200 for one in letters)


def test_what_is_too_wide_is_cut_off(tmp_path: Path) -> None:
    wide, narrow = drawn(tmp_path / "a.png", LONG, 1000), drawn(tmp_path / "b.png", LONG, 120)
    assert wide[:, 130:].any()
    assert not narrow[:, 131:].any()
    assert narrow[:, 110:].any()  # no shorter than necessary
    assert not drawn(tmp_path / "c.png", "").any()


def test_hebrew_stands_from_right_to_left() -> None:
    assert in_sight_order("Ann") == "Ann"
    assert in_sight_order("Ann שלום 1") == "Ann םולש 1"
    assert in_sight_order("אב גד") == "דג בא"
    assert in_sight_order("אֱב") == "באֱ"  # the sign stays with its letter
    assert in_sight_order("") == ""


@given(st.text())
def test_no_letter_is_lost(line: str) -> None:
    assert sorted(in_sight_order(line)) == sorted(line)


@given(st.text("ab ,", min_size=1, max_size=60), st.integers(20, 200))
def test_a_folded_line_is_the_line_and_fits(line: str, width: int) -> None:
    sheet = Sheet(1, 1)
    found = sheet.folded(line, width)
    assert " ".join(found) == line
    assert all(sheet.width(one, 13) <= width or " " not in one for one in found)
