"""The clothes below a face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import clothes


def _picture(colour: tuple[int, int, int]) -> np.ndarray:
    """A picture of cloth with folds: its lightness varies."""
    image = np.full((120, 100, 3), 90, np.uint8)
    folds = np.linspace(0.7, 1.2, 100)[:, None] * np.array(colour)
    image[50:] = np.clip(folds, 0, 255).astype(np.uint8)
    return image


_BOX = np.array([40, 20, 60, 45], np.float32)


def worn(image: np.ndarray) -> np.ndarray:
    return clothes.mean(clothes.colours(image, _BOX[None]))


def test_the_same_clothes_are_alike_and_others_are_not() -> None:
    red, again, green = (worn(_picture(c)) for c in ((180, 30, 30), (176, 32, 28), (20, 140, 40)))
    assert np.linalg.norm(red) == pytest.approx(1, abs=1e-5)
    assert red @ again > 0.8
    assert red @ green < 0.1


def test_a_face_at_the_lower_edge_shows_no_clothes() -> None:
    edge = np.array([40, 90, 60, 119], np.float32)
    assert not clothes.colours(_picture((180, 30, 30)), edge[None]).any()


def test_what_lies_above_or_beside_the_torso_does_not_count() -> None:
    image = _picture((180, 30, 30))
    other = image.copy()
    other[:48] = 255
    other[:, :15] = 255
    assert np.array_equal(worn(image), worn(other))


def test_nobody_wears_nothing() -> None:
    none = clothes.colours(_picture((9, 9, 9)), np.zeros((0, 4), np.float32))
    assert none.shape == (0, clothes.COLOURS)
    assert not clothes.mean(np.zeros((3, clothes.COLOURS), np.uint8)).any()


@given(st.lists(st.floats(-200, 400), min_size=4, max_size=4))
def test_any_box_is_of_length_one_or_unseen(edges: list[float]) -> None:
    x, y = sorted(edges[:2]), sorted(edges[2:])
    box = np.array([[x[0], y[0], x[1], y[1]]], np.float32)
    found = clothes.mean(clothes.colours(_picture((40, 160, 60)), box))
    assert float(np.linalg.norm(found)) == pytest.approx(1, abs=1e-5) or not found.any()
