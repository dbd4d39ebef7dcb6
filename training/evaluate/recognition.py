"""Metrics of open-set identification: who is it, or is it nobody in the gallery?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.records import Bool, Float64, Int64

STRANGER = -1
BINS = 15
"""Bins of the reliability diagram, equally wide (Guo et al., "On calibration of modern neural
networks", ICML 2017)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The best match in the gallery of each of N probes."""

    scores: Float64
    """(N,), of the best match; larger is surer."""
    named: Int64
    """(N,), the person of the best match."""
    people: Int64
    """(N,), the true person; `STRANGER` for whoever is not in the gallery."""

    def __post_init__(self) -> None:
        if not len(self.scores) == len(self.named) == len(self.people):
            raise ValueError(
                "scores, named, people: expected as many of each, got "
                f"{len(self.scores)}, {len(self.named)}, {len(self.people)}"
            )

    @property
    def right(self) -> Bool:
        """Return which answers are right, (N,); for a stranger none is."""
        return np.asarray((self.named == self.people) & (self.people != STRANGER), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class OpenSetCurve:
    """Correct identifications over false alarms, at every threshold."""

    false_alarms: Float64
    """(T,), rising: share of the strangers' probes that get a name."""
    correct: Float64
    """(T,), share of the enrolled people's probes that get the right name."""
    area: float
    """Area under the curve, 0 to 1."""


def open_set(answers: Answers) -> OpenSetCurve:
    """Return the open-set classification rate curve.

    Dhamija, Günther and Boult, "Reducing network agnostophobia", NeurIPS 2018, sec. 4.

    Raises:
        ValueError: there are no strangers, or only strangers.
    """
    strangers = answers.people == STRANGER
    if not 0 < strangers.sum() < len(strangers):
        raise ValueError(f"expected strangers and others, got {strangers.sum()}, {len(strangers)}")
    order = np.argsort(-answers.scores, kind="stable")
    falling = answers.scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # equal ones come together
    alarms = np.cumsum(strangers[order])[ends] / strangers.sum()
    correct = np.cumsum(answers.right[order])[ends] / (~strangers).sum()
    alarms, correct = np.insert(alarms, 0, 0.0), np.insert(correct, 0, 0.0)
    return OpenSetCurve(alarms, correct, float(np.trapezoid(correct, alarms)))


def identified_at(curve: OpenSetCurve, false_alarm_rate: float) -> float:
    """Return DIR@FAR: the share of enrolled probes named right at no more than this FAR.

    Phillips, Grother and Micheals, "Evaluation methods in face recognition", 2011, sec. 21.2.
    """
    return float(curve.correct[curve.false_alarms <= false_alarm_rate].max())


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability diagram: are answers given with 80 % right in 80 % of the cases?"""

    confidence: Float64
    """(BINS,), mean probability of each bin; NaN if it is empty."""
    accuracy: Float64
    """(BINS,), share of each bin that is right; NaN if it is empty."""
    counts: Int64
    """(BINS,), number of answers."""
    ece: float
    """Expected calibration error: mean gap of confidence and accuracy, weighted by count."""


def reliability(probabilities: Float64, right: Bool) -> Reliability:
    """Return the reliability diagram of answers.

    Args:
        probabilities: (N,), 0 to 1.
        right: (N,), whether each answer is right.

    Raises:
        ValueError: there is no probability, or one outside of 0 to 1.
    """
    if len(probabilities) == 0 or probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError(f"expected probabilities, one or more, got {probabilities}")
    upper = np.ceil(probabilities * BINS).astype(np.int64) - 1  # bins are open below
    of = np.clip(upper, 0, BINS - 1)
    counts = np.bincount(of, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(of, probabilities, BINS) / counts
        accuracy = np.bincount(of, right, BINS) / counts
    gaps = np.nan_to_num(np.abs(confidence - accuracy))
    return Reliability(confidence, accuracy, counts, float(np.sum(gaps * counts) / len(right)))


def screen_time_errors(
    true: Mapping[str, float], found: Mapping[str, float]
) -> Mapping[str, float]:
    """Return the relative error of each true character's screen time; below 0 if too short.

    Args:
        true: seconds on screen by character, above 0.
        found: likewise; a character who is missing has 0 seconds.
    """
    return {name: found.get(name, 0.0) / seconds - 1 for name, seconds in true.items()}
