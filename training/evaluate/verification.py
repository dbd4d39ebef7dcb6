"""Face verification metrics: do two faces show the same person?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from indexer.errors import ImageError
from indexer.records import Bool, Float32
from indexer.store import disk


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, each by its name, as in ``George_W_Bush_0001``."""

    first: str
    second: str
    same: bool


@dataclass(frozen=True, slots=True)
class Verification:
    """How well similarities tell pairs of one person from pairs of two."""

    accuracy: float
    """Mean over the folds, each at the threshold that is best on the other folds."""
    accuracy_std: float
    """Standard deviation over the folds."""
    auc: float
    tpr_at_1_percent: float
    """Share of genuine pairs accepted where at most 1 % of the impostor pairs are."""
    tpr_at_01_percent: float
    threshold: float
    """Mean of the folds' thresholds."""


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of LFW's View 2 file, in its order: ten folds of genuine, then impostors.

    Raises:
        StoreError: the file cannot be read.
        ImageError: it is not a pairs file.
    """
    with disk.explained(path):
        content = path.read_bytes()
    try:
        lines = content.decode().splitlines()
        folds, half = (int(number) for number in lines[0].split())
        pairs = [_pair(line.split()) for line in lines[1:] if line.strip()]
    except (ValueError, IndexError) as error:
        raise ImageError(path, f"is not a pairs file: {error}", "take LFW's pairs.txt") from error
    if len(pairs) != 2 * folds * half:
        raise ImageError(
            path, f"promises {2 * folds * half} pairs, has {len(pairs)}", "copy it again"
        )
    return pairs


def _pair(words: list[str]) -> Pair:
    names = (words[0], words[0]) if len(words) == 3 else (words[0], words[2])  # noqa: PLR2004
    first, second = (
        f"{name}_{int(n):04d}" for name, n in zip(names, (words[1], words[-1]), strict=True)
    )
    return Pair(first, second, names[0] == names[1])


def verify(similarities: Float32, same: Bool, folds: int = 10) -> Verification:
    """Return the metrics of the LFW protocol for scored pairs.

    Huang et al., "Labeled Faces in the Wild", UMass TR 07-49, 2007: for each fold the threshold
    is the best one of the other folds.

    Args:
        similarities: (P,), larger is more alike; folds are consecutive and of equal size.
        same: (P,), whether each pair is genuine.
        folds: number of folds.
    """
    parts = np.split(np.arange(len(same)), folds)
    accuracies, thresholds = [], []
    for part in parts:
        rest = np.setdiff1d(np.arange(len(same)), part)
        threshold = best_threshold(similarities[rest], same[rest])
        thresholds.append(threshold)
        accuracies.append(np.mean((similarities[part] >= threshold) == same[part]))
    return Verification(
        accuracy=float(np.mean(accuracies)),
        accuracy_std=float(np.std(accuracies)),
        auc=float(roc_auc_score(same, similarities)),
        tpr_at_1_percent=tpr_at(similarities, same, 0.01),
        tpr_at_01_percent=tpr_at(similarities, same, 0.001),
        threshold=float(np.mean(thresholds)),
    )


def best_threshold(similarities: Float32, same: Bool) -> float:
    """Return the threshold, the least similarity to accept, that makes the fewest mistakes.

    Of equally good ones, the highest. It is above all similarities only if accepting nothing makes
    fewer mistakes than any other threshold.

    Args:
        similarities: (P,), one or more.
        same: (P,), whether each pair is genuine.

    Raises:
        ValueError: there is no pair.
    """
    if len(similarities) == 0:
        raise ValueError("expected a pair or more, got none")
    order = np.argsort(-similarities, kind="stable")
    falling = similarities[order]
    gains = np.cumsum(np.where(same[order], 1, -1))  # accepted genuine less accepted impostors
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # equal ones together
    best = int(np.argmax(gains[ends]))
    if gains[ends[best]] < 0:
        return float(np.nextafter(falling[0], falling.dtype.type(np.inf)))
    return float(falling[ends[best]])


def tpr_at(similarities: Float32, same: Bool, fpr: float) -> float:
    """Return the largest share of genuine pairs accepted with at most `fpr` of the impostors.

    Args:
        similarities: (P,).
        same: (P,), whether each pair is genuine; both kinds are there.
        fpr: in [0, 1).
    """
    impostors = np.sort(similarities[~same])[::-1]
    refused = impostors[int(fpr * len(impostors) + 1e-9)]  # the most alike that may not be accepted
    return float(np.mean(similarities[same] > refused))
