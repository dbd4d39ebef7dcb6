from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.evaluate import plots
from training.evaluate.plots import Scores
from training.evaluate.recognition import reliability


def ink(path: Path) -> float:
    """Return the share of a picture that is not white."""
    pixels = cv2.imread(str(path))
    assert pixels is not None
    assert min(pixels.shape[:2]) > 300
    return float(np.mean(np.any(pixels < 250, axis=2)))


def test_every_plot_is_a_picture_with_something_in_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    same = np.arange(400) % 2 == 0
    of = {
        name: Scores((rng.normal(size=400) / 4 + same * apart).astype(np.float32), same)
        for name, apart in (("before", 0.2), ("after", 0.6))
    }
    rows = [{"epoch": 0, "accuracy": 0.5}, {"epoch": 1, "loss": 1.0, "rate": 0, "accuracy": 0.7}]
    plots.curves(rows, tmp_path / "curves.png")
    plots.similarities(of, tmp_path / "similarities.png")
    plots.roc(of, tmp_path / "roc.png")
    plots.reliability(reliability(rng.random(400), same), tmp_path / "reliability.png")
    counts = np.diag([5, 0, 9]) + 1
    plots.confusion(counts, ["Ann", "Bob", "nobody"], tmp_path / "confusion.png")
    assert all(0.01 < ink(path) < 0.9 for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 5


def test_similarities_that_nearly_coincide_are_drawn(tmp_path: Path) -> None:
    cosines = np.array([1.0, 0.99999994, 1.0, 0.99999994], np.float32)
    scores = Scores(cosines, np.array([True, True, False, False]))
    plots.similarities({"one": scores}, tmp_path / "similarities.png")
    assert ink(tmp_path / "similarities.png") > 0.01


def test_a_run_without_an_epoch_has_curves_too(tmp_path: Path) -> None:
    plots.curves([{"epoch": 0, "accuracy": 0.5}], tmp_path / "curves.png")
    assert ink(tmp_path / "curves.png") > 0.01
