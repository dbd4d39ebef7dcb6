"""Plots as PNG files: training curves, similarities, ROC, reliability, confusion and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from indexer.records import Bool, Float32, Int64
from indexer.store import disk
from training.evaluate.recognition import BINS, Reliability

_DPI = 110
_SIZE = (5.6, 3.8)
"""Inches."""
_LEAST_FPR = 1e-4
_LEGEND = 1.6
"""Width of the legend, in inches."""
_DARK = 0.5
"""Share from which a cell is too dark for black ink."""
_LETTERS = 22
"""The most characters of a label."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Pairs scored by an encoder."""

    similarities: Float32
    """(P,)."""
    same: Bool
    """(P,), whether each pair is genuine."""


def curves(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the loss and the metrics by epoch.

    Args:
        rows: one for each epoch, as `training.fit.Fitted.history`; what a row lacks is left out.
        path: of the PNG.
    """
    measured = [name for name in rows[-1] if name not in ("epoch", "rate", "loss")]
    figure, (above, below) = _figure(2)
    for axes, names in ((above, ["loss"]), (below, measured)):
        for name in names:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            axes.plot(*np.array(points).reshape(-1, 2).T, marker="o", markersize=3, label=name)
        axes.legend(fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.set_xlabel("epoch")
    _write(figure, path)


def similarities(of: Mapping[str, Scores], path: Path) -> None:
    """Draw the cosines of genuine and of impostor pairs, one panel for each encoder."""
    figure, panels = _figure(len(of))
    for axes, (name, scores) in zip(panels, of.items(), strict=True):
        for kind, chosen in (("one person", scores.same), ("two people", ~scores.same)):
            cosines = scores.similarities[chosen].astype(np.float64)  # else bins may coincide
            axes.hist(cosines, 80, alpha=0.6, density=True, label=kind)
        axes.set_title(name, fontsize=9)
        axes.set_yticks([])
        axes.legend(fontsize=8, loc="upper left")
    panels[-1].set_xlabel("cosine similarity")
    _write(figure, path)


def roc(of: Mapping[str, Scores], path: Path) -> None:
    """Draw the ROC of verification, with a logarithmic FPR axis, one line for each encoder."""
    figure, (axes,) = _figure(1)
    for name, scores in of.items():
        false, true, _ = roc_curve(scores.same, scores.similarities)
        axes.plot(np.maximum(false, _LEAST_FPR), true, label=name, drawstyle="steps-post")
    axes.set_xscale("log")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    _write(figure, path)


def reliability(found: Reliability, path: Path) -> None:
    """Draw the share that is right over the stated probability, by bin."""
    figure, (axes,) = _figure(1)
    edges = (np.arange(BINS) + 0.5) / BINS
    axes.bar(edges, np.nan_to_num(found.accuracy), width=0.9 / BINS, label="correct")
    axes.plot([0, 1], [0, 1], "k--", linewidth=1)
    axes.plot(found.confidence, found.accuracy, "o", color="C1", label="mean of each bin")
    axes.set_xlabel("probability")
    axes.set_ylabel("share that is correct")
    axes.set_title(f"expected calibration error {found.ece:.3f}", fontsize=9)
    axes.legend(fontsize=8, loc="upper left")
    _write(figure, path)


def confusion(counts: Int64, labels: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix, coloured by the share of each row.

    Args:
        counts: (K, K), by true label and predicted label.
        labels: (K,).
        path: of the PNG.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(_SIZE[1], 1.6 + 0.24 * len(labels))
    figure = Figure((side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    names = [_short(label) for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("said")
    axes.set_ylabel("is")
    for row, column in zip(*np.nonzero(counts), strict=True):
        ink = "white" if shares[row, column] > _DARK else "black"
        count = str(counts[row, column])
        axes.text(column, row, count, ha="center", va="center", fontsize=6, color=ink)
    figure.colorbar(drawn, ax=axes, label="share of the row", shrink=0.7)
    _write(figure, path)


def maps(places: Mapping[str, Float32], colour: Int64, labels: Sequence[str], path: Path) -> None:
    """Draw vectors on the plane, a panel for each encoder.

    Args:
        places: (N, 2) for each encoder.
        colour: (N,), the label of each point, -1 for a grey one.
        labels: at most ten.
        path: of the PNG.
    """
    width = _SIZE[0] * 0.75 * len(places) + _LEGEND
    figure = Figure((width, _SIZE[1]), layout="constrained")
    panels = figure.subplots(1, len(places), squeeze=False)[0]
    for axes, (name, points) in zip(panels, places.items(), strict=True):
        for one in range(-1, len(labels)):
            kind = {"color": "0.75", "s": 6} if one < 0 else {"color": f"C{one}", "s": 12}
            label = "others" if one < 0 else _short(labels[one])
            axes.scatter(*points[colour == one].T, label=label, linewidths=0, **kind)
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    entries = panels[0].get_legend_handles_labels()
    figure.legend(*entries, fontsize=7, loc="outside right center", frameon=False)
    _write(figure, path)


def _short(label: str) -> str:
    return label if len(label) <= _LETTERS else f"{label[: _LETTERS - 1]}…"


def _figure(rows: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure((_SIZE[0], _SIZE[1] * (1 + 0.6 * (rows - 1))), layout="constrained")
    return figure, list(figure.subplots(rows, squeeze=False)[:, 0])


def _write(figure: Figure, path: Path) -> None:
    with disk.replacing(path) as file:
        figure.savefig(file, format="png", dpi=_DPI)
