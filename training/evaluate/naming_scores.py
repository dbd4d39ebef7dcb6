"""How far names can be trusted: the metrics of `bench-identity`, each from arrays.

Names of faces are (N,), of tracks (T,); `UNNAMED` is no name. A share of nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from indexer.records import Bool, Float64, Int64
from training.evaluate.clustering import Clustering, clustering
from training.evaluate.intervals import Interval, binomial, interval
from training.evaluate.naming import EDGES, SEEN, UNNAMED, Names, Verdicts, Watched
from training.evaluate.recognition import Reliability, reliability, screen_time_errors


@dataclass(frozen=True, slots=True)
class Share:
    """A count out of a total."""

    some: int
    of: int

    @property
    def value(self) -> float:
        """Return the share, 0 to 1; NaN if the total is 0."""
        return self.some / self.of if self.of else float("nan")


@dataclass(frozen=True, slots=True)
class WrongNames:
    """Wrong names, and how much their share would vary with other tracks."""

    faces: Share
    """Faces with a wrong name, among the faces with a name."""
    drawn: Interval
    """95 % bootstrap interval of that share over tracks; 0 to 1 if no face has a name."""
    tracks: Share
    """Tracks most of whose named faces are wrong, among the tracks with named faces."""
    exact: Interval
    """95 % interval of `tracks` (Clopper and Pearson); faces of a track are not independent."""


@dataclass(frozen=True, slots=True)
class OfWidth:
    """True faces of enrolled people, in a range of widths in pixels at 360p."""

    low: float
    high: float
    found: Share
    """Those that a found face covers, whatever its name."""
    right: Share
    """Those that are named right."""


def wrong_names(said: Names, shown: Names, tracks: Int64) -> WrongNames:
    """Return how many names are wrong: the face shows somebody else, or is nobody's face.

    Args:
        said: (N,), the name given to each found face.
        shown: (N,), the true name of each.
        tracks: (N,), the track of each.
    """
    named = said != UNNAMED
    wrong = said[named] != shown[named]
    _, of = np.unique(tracks[named], return_inverse=True)
    totals = np.bincount(of)
    wrongs = np.bincount(of, wrong, len(totals))
    mostly = Share(int(np.sum(2 * wrongs > totals)), len(totals))
    drawn = Interval(0.0, 1.0)
    if len(totals):
        [drawn] = interval(len(totals), lambda some: [wrongs[some].sum() / totals[some].sum()])
    exact = binomial(mostly.some, mostly.of)
    return WrongNames(Share(int(wrong.sum()), len(wrong)), drawn, mostly, exact)


def wrong_by_episode(said: Names, watched: Watched) -> Float64:
    """Return the share of each episode's named faces whose name is wrong, (E,), 0 without any.

    Args:
        said: (N,), the name given to each found face.
        watched: the faces.
    """
    episodes, named = watched.episodes[watched.found.tracks], said != UNNAMED
    count = int(watched.episodes.max(initial=-1)) + 1
    totals = np.bincount(episodes[named], minlength=count)
    wrong = np.bincount(episodes[named & (said != watched.shown)], minlength=count)
    return np.asarray(wrong / np.maximum(totals, 1))


def asked_for(watched: Watched, least_px: float = 0.0) -> Bool:
    """Return which true faces should be named, (M,): of enrolled people, visible, wide enough.

    Args:
        watched: with the true faces.
        least_px: the least width, in pixels at 360p.
    """
    truth = watched.truth
    return truth.enrolled & (truth.visible >= SEEN) & (truth.widths >= least_px)


def recalled(said: Names, watched: Watched, least_px: float = 0.0) -> Share:
    """Return the recall of names: how many of the faces that should be named are named right.

    Args:
        said: (N,), the name given to each found face.
        watched: the faces.
        least_px: the least width of a face that should be named, in pixels at 360p.
    """
    wanted = asked_for(watched, least_px)
    return Share(int(np.sum(wanted & _named_right(said, watched))), int(wanted.sum()))


def by_width(said: Names, watched: Watched) -> list[OfWidth]:
    """Return how many faces of the enrolled are found and named right, by width."""
    covered = np.zeros(len(watched.truth.frames), bool)
    covered[watched.pairs[watched.pairs >= 0]] = True
    wanted, right = asked_for(watched), _named_right(said, watched)
    rows = []
    for low, high in pairwise(EDGES):
        here = wanted & (watched.truth.widths >= low) & (watched.truth.widths < high)
        count = int(here.sum())
        shares = (Share(int(np.sum(here & one)), count) for one in (covered, right))
        rows.append(OfWidth(low, high, *shares))
    return rows


def _named_right(said: Names, watched: Watched) -> Bool:
    """Return which true faces are covered by a found one with the right name, (M,)."""
    right = np.zeros(len(watched.truth.frames), bool)
    right[watched.pairs[(said == watched.shown) & (said != UNNAMED)]] = True
    return right


def strangers_called(named: Names, people: Names, gallery: Names) -> Share:
    """Return how many tracks of people who are not enrolled were given a name.

    Args:
        named: (T,), the name given to each track.
        people: (T,), the true name of each.
        gallery: the names of the enrolled.
    """
    others = strangers(people, gallery)
    return Share(int(np.sum(named[others] != UNNAMED)), int(others.sum()))


def strangers(people: Names, gallery: Names) -> Bool:
    """Return which tracks show somebody who is not enrolled, (T,)."""
    return np.asarray((people != UNNAMED) & ~np.isin(people, gallery), dtype=np.bool_)


def calibration(said: Verdicts, people: Names, gallery: Names) -> Reliability | None:
    """Return the reliability of the probabilities, over the tracks that show somebody.

    None if there is none. A name is right if it is the person's; no name is right if the person is
    not enrolled.
    """
    real = people != UNNAMED
    if not real.any():
        return None
    known = np.isin(people, gallery)
    right = np.where(said.names == UNNAMED, ~known, said.names == people)
    return reliability(said.probabilities[real], right[real])


def unnamed(said: Verdicts, people: Names, gallery: Names) -> Bool:
    """Return which tracks clustering is judged by, (T,): of people not enrolled, without a name."""
    return np.asarray(strangers(people, gallery) & (said.names == UNNAMED), dtype=np.bool_)


def clusters(people: Names, groups: Int64, some: Bool) -> Clustering | None:
    """Return how clusters of tracks agree with people; None if no track counts.

    Args:
        people: (T,), the true names.
        groups: (T,), the cluster of each; 0 for a track in none, which is a cluster of its own.
        some: (T,), which tracks count.
    """
    if not some.any():
        return None
    numbers = np.unique(people, return_inverse=True)[1]
    alone = -1 - np.arange(len(groups))
    return clustering(numbers[some], np.where(groups == 0, alone, groups)[some])


def by_episode(people: Names, groups: Int64, some: Bool, episodes: Int64) -> list[Clustering]:
    """Return `clusters` for each episode in which a track counts."""
    each = [clusters(people, groups, some & (episodes == one)) for one in np.unique(episodes)]
    return [one for one in each if one is not None]


def retained(snapshots: Sequence[Names], tracks: Int64) -> Share:
    """Return how many named faces, over all snapshots but the last, keep that name in the last.

    Args:
        snapshots: the names of the tracks after each episode: of the first episode's tracks, of
            the first two's, and so on.
        tracks: (N,), the track of each face.
    """
    kept, of = 0, 0
    frames = np.bincount(tracks, minlength=len(snapshots[-1]))
    for before in snapshots[:-1]:
        counts = frames[: len(before)] * (before != UNNAMED)
        kept += int(counts[before == snapshots[-1][: len(before)]].sum())
        of += int(counts.sum())
    return Share(kept, of)


def screen_time(said: Names, watched: Watched) -> Mapping[str, float]:
    """Return the relative error of each enrolled person's screen time, counted in faces."""
    return _time_errors(said, np.ones(len(said)), watched)


def expected_time(said: Verdicts, watched: Watched) -> Mapping[str, float]:
    """Return `screen_time`, each face weighted by how likely it shows the person, named or not."""
    tracks = watched.found.tracks
    names = np.concatenate([said.names[tracks], said.likely[tracks]])
    weights = np.concatenate([said.probabilities[tracks], said.chances[tracks]])
    return _time_errors(names, weights, watched)


def _time_errors(said: Names, weights: Float64, watched: Watched) -> Mapping[str, float]:
    names, counts = np.unique(watched.truth.names[asked_for(watched)], return_counts=True)
    bearing, places = np.unique(said, return_inverse=True)
    found = dict(zip(bearing.tolist(), np.bincount(places, weights).tolist(), strict=True))
    found.pop(UNNAMED, None)
    return screen_time_errors(dict(zip(names.tolist(), map(float, counts), strict=True)), found)


def purity(said: Verdicts, watched: Watched) -> float:
    """Return the purity of the index's people, weighted by screen time, within episodes.

    An audit estimates the same without labels. It is over the tracks that show somebody and were
    given to a person, named or not; NaN if there is none.
    """
    people, episodes = watched.people, watched.episodes
    frames = np.bincount(watched.found.tracks, minlength=len(people)).astype(np.float64)
    some = (people != UNNAMED) & (said.people != 0) & (frames > 0)
    if not some.any():
        return float("nan")
    # A person counts as another one in each episode.
    _, groups = np.unique(np.stack([episodes, said.people])[:, some], axis=1, return_inverse=True)
    numbers = np.unique(people[some], return_inverse=True)[1]
    return clustering(numbers, groups, frames[some]).wcp


def audit_error(estimated: float | None, true: float) -> float:
    """Return how far an audit's estimate of purity is off, NaN where there is no audit."""
    return float("nan") if estimated is None else abs(estimated - true)


def spread(errors: Mapping[str, float]) -> Float64:
    """Return the median and the largest absolute error, (2,); NaN if there are no errors."""
    sizes = np.abs(list(errors.values()))
    return np.array([np.median(sizes), sizes.max()]) if len(sizes) else np.full(2, np.nan)
