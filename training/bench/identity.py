"""The metrics of `bench-identity` for a season, and those of naive baselines on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isnan, nan

import numpy as np

from indexer.config import Settings
from indexer.records import Float64, Int64, Yardstick
from indexer.store import read
from training.bench.seasons import Season, audited_purity
from training.bench.verdicts import as_verdicts, rejudged, varied
from training.evaluate import naive
from training.evaluate import naming_scores as scores
from training.evaluate.clustering import Clustering
from training.evaluate.naming import SEEN, Names, Verdicts, Watched
from training.evaluate.tracking import TrackBoxes, Tracking, compare_tracks, leave_out

PROMISE = 0.01
"""The promised share of wrong names where the settings have none."""
WIDE_PX = 40.0
_LEAST_PX = 14.0
"""Faces narrower than this, at 360p, are ignored by the tracking metrics."""
_THRESHOLDS = np.arange(0.1, 0.95, 0.05)
"""Cosines that the naive clusterings are tried with."""
NEAREST, WHISPERS, DBSCAN = "nearest still", "Chinese whispers", "DBSCAN"
ABLATION: Mapping[str, Sequence[str]] = {
    "one face": ["recognize.evidence=face"],
    "+ its track": ["recognize.evidence=track"],
    "+ who is beside it": ["recognize.evidence=apart"],
    "+ clothes": ["recognize.evidence=clothes"],
    "+ all tracks together": ["recognize.evidence=joint"],
    "people by C1C": ["cluster.method=c1c"],
    "people by average linkage": ["cluster.method=hac"],
}
"""The settings of each variant: more and more evidence for names, then other ways to cluster."""


@dataclass(frozen=True, slots=True)
class Goal:
    """The range in which a metric should lie."""

    text: str
    low: float = -inf
    high: float = inf
    every: bool = False
    """Whether every season has to reach it, or only their mean."""

    def met(self, values: Sequence[float]) -> bool | None:
        """Return whether the goal is met; None if nothing was measured."""
        known = [value for value in values if not isnan(value)]
        judged = known if self.every else [float(np.mean(known))] if known else []
        return all(self.low <= value <= self.high for value in judged) if judged else None


@dataclass(frozen=True, slots=True)
class Number:
    """A metric of one season."""

    what: str
    value: float
    """NaN where there is nothing to measure."""
    goal: Goal | None = None
    percent: bool = False


def promise(settings: Settings) -> float:
    """Return the share of wrong names that settings promise."""
    return float(getattr(settings.recognize, "max_wrong_names", PROMISE))


def numbers(season: Season, promised: float) -> list[Number]:
    """Return the metrics of a season: the same ones, in the same order, for every season."""
    watched, said = season.watched, season.snapshots[-1]
    faces = said.names[watched.found.tracks]
    groups = said.people
    true_purity = scores.purity(said, watched)
    audited = audited_purity(season.audits)
    apart = scores.audit_error(audited, true_purity)
    estimate = nan if audited is None else audited
    kept = scores.retained([one.names for one in season.snapshots], watched.found.tracks)
    middle, worst = scores.spread(scores.screen_time(faces, watched))
    expected, off = scores.spread(scores.expected_time(said, watched))
    return [
        *naming(watched, faces, said.names, promised),
        *_confidence(season, scores.wrong_by_episode(faces, watched), promised),
        Number("ECE of the tracks' probabilities", _ece(said, watched), Goal("≤ 0.02", high=0.02)),
        *clustered(watched, said, groups),
        *_tracking(watched),
        Number("named screen time that keeps its name", kept.value, Goal("100 %", low=1), True),  # noqa: FBT003
        Number("purity of people, by episode and screen time", true_purity),
        Number("purity that the audit estimates", estimate),
        Number("audit's purity against the truth", apart, Goal("within 0.03", high=0.03)),
        Number("screen-time error, the median character", middle, None, True),  # noqa: FBT003
        Number("screen-time error, the worst character", worst, Goal("≤ 3 %", high=0.03), True),  # noqa: FBT003
        Number("the same of expected_s, the median character", expected, None, True),  # noqa: FBT003
        Number("the same of expected_s, the worst character", off, None, True),  # noqa: FBT003
    ]


def _confidence(season: Season, wrong: Float64, promised: float) -> list[Number]:
    """Return how well the confidence that the audits state holds, over the episodes.

    Args:
        season: with its audits.
        wrong: (E,), share of wrong names in each episode.
        promised: the share of wrong names that may be.
    """
    bounds = np.array([one.wrong_at_most for one in season.audits])
    rows = (
        ("episodes below the bound stated with 95 %", np.mean(wrong <= bounds)),
        ("episodes that keep the promise", np.mean(wrong <= promised)),
        ("the same, as stated", np.mean([one.kept for one in season.audits])),
    )
    return [Number(what, float(value), None, percent=True) for what, value in rows]


def naming(
    watched: Watched, faces: Names, tracks: Names, promised: float = PROMISE
) -> list[Number]:
    """Return the metrics of names.

    Args:
        watched: the faces.
        faces: (N,), the name given to each found face.
        tracks: (T,), the name given to each track.
        promised: the share of wrong names that may be.
    """
    wrong = scores.wrong_names(faces, watched.shown, watched.found.tracks)
    called = scores.strangers_called(tracks, watched.people, watched.gallery)
    rows: list[tuple[str, float, Goal | None]] = [
        (
            "wrong names among named screen time",
            wrong.faces.value,
            Goal(f"≤ {promised:.1%}, every season", high=promised, every=True),
        ),
        (
            "named screen time recalled, all faces",
            scores.recalled(faces, watched).value,
            Goal("≥ 85 %", low=0.85),
        ),
        (
            f"named screen time recalled, faces ≥ {WIDE_PX:.0f} px at 360p",
            scores.recalled(faces, watched, WIDE_PX).value,
            Goal("≥ 97 %", low=0.97),
        ),
        ("strangers called by a cast name, tracks", called.value, Goal("≤ 0.5 %", high=0.005)),
    ]
    return [Number(what, value, goal, percent=True) for what, value, goal in rows]


def clustered(watched: Watched, said: Verdicts, groups: Int64) -> list[Number]:
    """Return how well unnamed people are told apart, over the season and within episodes.

    Args:
        watched: the faces.
        said: of the tracks; those count that have no name and show somebody not enrolled.
        groups: (T,), the cluster of each track, 0 for one that is alone.
    """
    people = watched.people
    some = scores.unnamed(said, people, watched.gallery)
    whole = scores.clusters(people, groups, some)
    each = scores.by_episode(people, groups, some, watched.episodes)
    rows: list[tuple[str, float, Goal | None]] = [
        ("unnamed: WCP", _of(whole, "wcp"), Goal("≥ 0.97", low=0.97)),
        ("unnamed: B-cubed precision", _of(whole, "precision"), None),
        ("unnamed: B-cubed recall", _of(whole, "recall"), None),
        ("unnamed: B-cubed F", _of(whole, "f1"), Goal("≥ 0.95", low=0.95)),
        ("unnamed: NMI", _of(whole, "nmi"), None),
        ("unnamed: people predicted / true", _ratio(whole), Goal("0.9-1.2", low=0.9, high=1.2)),
        ("unnamed: people", nan if whole is None else whole.true, None),
        ("unnamed, within an episode: WCP", _mean([one.wcp for one in each]), None),
        ("unnamed, within an episode: B-cubed F", _mean([one.f1 for one in each]), None),
        (
            "unnamed, within an episode: predicted / true",
            _mean([_ratio(one) for one in each]),
            None,
        ),
    ]
    return [Number(*row) for row in rows]


def naive_numbers(season: Season) -> Mapping[str, list[Number]]:
    """Return the metrics of the naive baselines, by name; each has only some of them."""
    watched, encoded, said = season.watched, season.encoded, season.snapshots[-1]
    found, count = watched.found, len(watched.episodes)
    one_by_one = naive.nearest_names(
        encoded.vectors, encoded.stills, encoded.names, encoded.threshold
    )
    faces = naive.spread_in_time(
        one_by_one, encoded.tracks, encoded.frames, found.tracks, found.frames
    )
    tracks = naive.most_frequent(faces, found.tracks, count)
    results = {NEAREST: naming(watched, faces, tracks)}
    means = encoded.means[scores.unnamed(said, watched.people, watched.gallery)]
    for name, how in ((WHISPERS, naive.chinese_whispers), (DBSCAN, naive.dbscan)):
        results[name] = at_best(watched, said, partial(how, means))
    return results


def at_best(watched: Watched, said: Verdicts, how: Callable[[float], Int64]) -> list[Number]:
    """Return the metrics of a naive clustering at its best threshold in hindsight, by B-cubed F.

    Args:
        watched: the faces.
        said: of the tracks.
        how: a threshold → the clusters of the tracks that are judged.
    """
    some = scores.unnamed(said, watched.people, watched.gallery)
    tried = []
    for cosine in _THRESHOLDS:
        groups = np.zeros(len(some), np.int64)
        groups[some] = how(float(cosine))
        whole = scores.clusters(watched.people, groups, some)
        tried.append((_of(whole, "f1"), clustered(watched, said, groups)))
    return max(tried, key=lambda one: -inf if isnan(one[0]) else one[0])[1]


def ablation(
    seasons: Sequence[Season],
    variants: Mapping[str, Sequence[str]],
    settings: Settings,
    stick: Yardstick,
) -> Mapping[str, list[list[Number]]]:
    """Return for each variant the metrics of names, ECE and unnamed people, season by season.

    Nothing is indexed: the tracks in the libraries are re-judged, in memory.

    Args:
        seasons: watched with `settings`.
        variants: settings to change, as ``STAGE.KEY=VALUE``, by name of the variant.
        settings: that all variants start from.
        stick: of the encoder.

    Raises:
        ConfigError: a variant changes a stage that comes before names.
    """
    results: dict[str, list[list[Number]]] = {}
    for name, overrides in variants.items():
        changed = varied(settings, overrides)
        results[name] = []
        for season in seasons:
            library, watched = season.library, season.watched
            tracks = [read.read_tracks(library, one) for one in season.ids]
            last = rejudged(library, season.ids, stick, changed)[-1]
            said = as_verdicts(last, tracks)
            faces = said.names[watched.found.tracks]
            results[name].append(
                [
                    *naming(watched, faces, said.names, promise(changed)),
                    Number("ECE of the tracks' probabilities", _ece(said, watched)),
                    *clustered(watched, said, said.people),
                ]
            )
    return results


def boxes_of(watched: Watched) -> tuple[TrackBoxes, TrackBoxes]:
    """Return the boxes of the true tracks and of the tracks found."""
    truth, found = watched.truth, watched.found
    return (
        TrackBoxes(truth.frames, truth.tracks, truth.boxes),
        TrackBoxes(found.frames, found.tracks, found.boxes),
    )


def _tracking(watched: Watched) -> list[Number]:
    truth, found = boxes_of(watched)
    ignored = (watched.truth.visible < SEEN) | (watched.truth.widths < _LEAST_PX)
    clear: Tracking = compare_tracks(*leave_out(truth, found, ignored))
    every = compare_tracks(truth, found)
    return [
        Number("tracks within shots: HOTA", clear.hota, Goal("≥ 0.85", low=0.85)),
        Number("tracks within shots: IDF1", clear.idf1, Goal("≥ 0.95", low=0.95)),
        Number("tracks, hidden and tiny faces too: HOTA", every.hota),
        Number("tracks, hidden and tiny faces too: IDF1", every.idf1),
    ]


def _ece(said: Verdicts, watched: Watched) -> float:
    found = scores.calibration(said, watched.people, watched.gallery)
    return nan if found is None else found.ece


def _ratio(one: Clustering | None) -> float:
    return nan if one is None else one.predicted / one.true


def _of(one: Clustering | None, name: str) -> float:
    return nan if one is None else float(getattr(one, name))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else nan
