from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.records import Calibration, Float32, Line
from training.evaluate import calibration
from training.evaluate.calibration import Encoded

PEOPLE = [f"person {i // 2}" for i in range(80)]


def encoded(width_px: float, noise: float, rng: np.random.Generator) -> Encoded:
    """Return two vectors of each person, the shorter the noisier."""
    middles = np.random.default_rng(1).normal(size=(40, 16))[np.arange(80) // 2]
    spread = noise * rng.uniform(0.5, 1.5, (80, 1))
    rows = middles + spread * rng.normal(size=(80, 16))
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    lengths = (12 - 3 * spread[:, 0]).astype(np.float32)
    return Encoded(width_px, PEOPLE, PEOPLE, unit, lengths)


def measured() -> Calibration:
    rng = np.random.default_rng(0)
    return calibration.calibrate(encoded(96, 0.2, rng), [encoded(16, 1.5, rng)])


def test_narrow_faces_need_a_lower_cosine_and_say_less() -> None:
    found = measured()
    assert found.widths == (16, 96)
    assert found.wide[0].slope < found.wide[1].slope
    assert found.genuine > 0.8
    assert found.impostor < 0.3


def test_a_short_vector_is_recognised_less_and_an_undetected_face_does_not_count() -> None:
    found = measured()
    assert found.length is not None
    chances = found.recognised(np.array([5, found.length.midpoint, 12], np.float32))
    assert chances[0] < 0.3
    assert chances[2] > 0.7
    assert chances[1] == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    wide, narrow = encoded(96, 0.2, rng), encoded(16, 1.5, rng)
    narrow.embeddings[0], narrow.lengths[0] = 0, 1e6
    again = calibration.calibrate(wide, [narrow]).length
    assert again is not None
    assert again.midpoint == pytest.approx(found.length.midpoint, abs=0.3)


def test_where_lengths_say_nothing_there_is_no_line() -> None:
    rng = np.random.default_rng(0)
    everybody = encoded(96, 0.01, rng)
    assert calibration.calibrate(everybody, []).length is None
    wide, narrow = encoded(96, 0.2, rng), encoded(16, 1.5, rng)
    for one, other in ((np.ones(80), np.ones(80)), (20 - wide.lengths, 20 - narrow.lengths)):
        both = [
            replace(part, lengths=lengths.astype(np.float32))
            for part, lengths in ((wide, one), (narrow, other))
        ]
        assert calibration.calibrate(both[0], both[1:]).length is None


@given(
    st.lists(st.floats(0, 900, width=32), max_size=8),
    st.floats(1, 900),
    st.floats(0.125, 200, width=32),
)
def test_the_longer_the_likelier(lengths: list[float], midpoint: float, slope: float) -> None:
    line = Calibration((96.0,), (Line(0.5, 9.0),), (Line(0.5, 9.0),), 0.7, 0.1)
    some: Float32 = np.sort(np.array(lengths, np.float32))
    assert line.recognised(some).tolist() == [1.0] * len(some)
    with_length = Calibration(
        line.widths, line.wide, line.alike, 0.7, 0.1, Line(midpoint, slope)
    ).recognised(some)
    assert with_length.shape == some.shape
    assert ((with_length >= 0) & (with_length <= 1)).all()
    assert (np.diff(with_length) >= 0).all()
