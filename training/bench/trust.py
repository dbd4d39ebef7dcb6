"""What cosines are worth as evidence: a yardstick, measured on made seasons whose truth is known.

The cohort are people with two photos, who play in no season. Coefficients of pairs of tracks, then
of names, are logistic regressions with both answers weighed alike; how names are believed is fitted
to seasons left out in turn, by screen time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from indexer import affinity, enroll, evidence, likeness, pipeline, recognize, scene, thresholds
from indexer.affinity import Affinity
from indexer.config import RecognizeSettings, Settings
from indexer.errors import ConfigError
from indexer.models import Models
from indexer.progress import Progress, silent
from indexer.records import Bool, Character, Float32, Float64, Int64, Track, Yardstick
from indexer.store import read
from training.bench.tracks import NOBODY, people_of
from training.evaluate import calibration
from training.lfw import Photo
from training.library import read_tracks
from training.synthesize.season import GALLERY
from training.synthesize.truth_file import read_truth, truth_path

_ONE_SIDED = 1e-6
_BITS, _WIDTHS = (0, 18, 24), (0.0, 1.0, 2.0, 4.0)
"""From where to where pairs are counted by picture and place."""


@dataclass(frozen=True, slots=True)
class Known:
    """An episode's tracks, and who they are."""

    season: int
    tracks: Sequence[Track]
    people: Int64
    """(N,), `NOBODY` for what is no face of the truth."""
    gallery: Sequence[Character]
    wanted: Int64
    """(C,), who each of the gallery is, as in `people`."""

    @property
    def together(self) -> Bool:
        """Return which tracks share a frame, (N, N)."""
        return affinity.cooccurring(self.tracks)

    @property
    def real(self) -> Bool:
        """Return which tracks are somebody's, (N,)."""
        return np.asarray(self.people != NOBODY)


def known_episodes(
    seasons: Sequence[Path], work: Path, models: Models, settings: Settings, progress: Progress
) -> list[Known]:
    """Return the episodes of made seasons, each indexed into a library of its own in `work`.

    Raises:
        ConfigError: a season holds no episode with its truth.
        IndexerError: as enrolling and indexing.
    """
    found = []
    for number, season in enumerate(seasons):
        videos = [path for path in sorted(season.glob("*.mp4")) if truth_path(path).is_file()]
        if not videos:
            remedy = "name a folder of training synthesize"
            raise ConfigError(season, "holds no video with its truth beside it", remedy)
        root = work / season.name
        library = pipeline.open_or_create(root, models, settings)
        if library.revision == 0:
            enroll.enroll(season / GALLERY, library, models, settings, progress)
        for video in videos:
            library = pipeline.open_or_create(root, models, settings)
            done = pipeline.index(video, library, models, settings, progress)
            library = pipeline.open_or_create(root, models, settings)
            truth = read_truth(truth_path(video))
            names = [*truth.cast, *truth.strangers]
            gallery = [one for one in read.read_characters(library) if one.named]
            found.append(
                Known(
                    season=number,
                    tracks=read.read_tracks(library, done.episode),
                    people=people_of(read_tracks(library, [done.episode]), truth),
                    gallery=gallery,
                    wanted=np.array([names.index(one.label) for one in gallery], np.int64),
                )
            )
    return found


def cohort(
    photos: Sequence[Photo], models: Models, settings: Settings, progress: Progress = silent
) -> Float32:
    """Return the mean vector of each person, unit rows (M, D).

    Args:
        photos: two of each person, one after the other.
        models: detector and encoder, with its head.
        settings: of the detector.
        progress: shows how far it is.
    """
    counted = progress(photos, total=len(photos), what="cohort")
    rows = calibration.encode_at(counted, 0.0, models, settings).embeddings
    sums = rows[::2] + rows[1::2]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(lengths, _ONE_SIDED))[lengths[:, 0] > _ONE_SIDED]


def measure(episodes: Sequence[Known], plain: Yardstick, settings: Settings) -> Yardstick:
    """Return the yardstick of the encoder that made the episodes' vectors.

    Args:
        episodes: of two seasons or more.
        plain: calibration and cohort.
        settings: of recognition.

    Raises:
        ConfigError: they are of one season alone.
    """
    seasons = sorted({one.season for one in episodes})
    if len(seasons) < 2:  # noqa: PLR2004
        raise ConfigError("seasons", f"{len(seasons)} are given", "give two or more")
    stick = _names(episodes, _pairs(episodes, plain))
    chosen, right, weights = [], [], []
    for season in seasons:
        rest = [one for one in episodes if one.season != season]
        left_out = _names(rest, _pairs(rest, plain))
        for one in (one for one in episodes if one.season == season):
            odds, correct, seconds = _said(one, left_out, settings)
            chosen.append(odds)
            right.append(correct)
            weights.append(seconds)
    model = LogisticRegression(C=1e6)
    model.fit(np.concatenate(chosen)[:, None], np.concatenate(right), np.concatenate(weights))
    belief = (round(float(model.coef_[0, 0]), 4), round(float(model.intercept_[0]), 4))
    return replace(stick, belief=belief)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Names of a season by what the others taught."""

    season: str
    wrong: float
    """Share of the named seconds of the found tracks,"""
    recalled: float
    """and share of those of the enrolled that bear the right name."""


def left_out(episodes: Sequence[Known], plain: Yardstick, settings: Settings) -> list[LeftOut]:
    """Return what names come to where each season is judged by what the others taught.

    Args:
        episodes: of three seasons or more.
        plain: calibration and cohort.
        settings: of recognition.
    """
    found = []
    for season in sorted({one.season for one in episodes}):
        stick = measure([one for one in episodes if one.season != season], plain, settings)
        wrong = right = asked = 0.0
        for one in (one for one in episodes if one.season == season):
            odds_of = _judged(one, stick, settings.recognize)
            named, true = odds_of.named & one.real, odds_of.people == one.people
            wrong += odds_of.seconds[named & ~true].sum()
            right += odds_of.seconds[named & true].sum()
            asked += odds_of.seconds[np.isin(one.people, one.wanted)].sum()
        shares = (wrong / max(wrong + right, _ONE_SIDED), right / max(asked, _ONE_SIDED))
        found.append(LeftOut(f"season {season + 1}", *map(float, shares)))
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Pairs of tracks whose pictures differ so much, so far apart."""

    bits: int
    """At least, and less than in the next row."""
    widths: float
    """At least, and less than in the next row."""
    pairs: int
    same: float
    """Share of them that is of one person."""


def places(episodes: Sequence[Known]) -> list[Place]:
    """Return how often tracks before and after a cut are of one person, by picture and place."""
    rows = [np.zeros((0, 3))]
    for one in episodes:
        bits, widths, known = scene.placed(one.tracks)
        known &= one.real[:, None] & one.real
        same = one.people[:, None] == one.people
        rows.append(np.stack([bits[known], widths[known], same[known]], axis=1))
    every = np.concatenate(rows)
    low = np.searchsorted(_BITS, every[:, 0], side="right") - 1
    near = np.searchsorted(_WIDTHS, every[:, 1], side="right") - 1
    found = []
    for row, bits_from in enumerate(_BITS):
        for column, widths_from in enumerate(_WIDTHS):
            here = every[(low == row) & (near == column), 2]
            share = float(here.mean()) if len(here) else float("nan")
            found.append(Place(bits_from, widths_from, len(here), share))
    return found


def _related(one: Known, stick: Yardstick) -> Affinity:
    return evidence.related(one.tracks, one.gallery, stick, RecognizeSettings())


def _pairs(episodes: Sequence[Known], stick: Yardstick) -> Yardstick:
    rows, same = [], []
    for one in episodes:
        related = _related(one, stick)
        upper = np.triu(one.real[:, None] & one.real & ~one.together, k=1)
        first, second = np.nonzero(upper)
        cosine = (related.vectors @ related.vectors.T)[upper]
        low, high = affinity.clarity(related.widths[first], related.widths[second])
        rows.append(np.stack([cosine, low, high, cosine * low, cosine * high], axis=1))
        same.append(one.people[first] == one.people[second])
    return replace(stick, pairs=_coefficients(np.concatenate(rows), np.concatenate(same)))


def _names(episodes: Sequence[Known], stick: Yardstick) -> Yardstick:
    rows, same = [], []
    for one in episodes:
        helped = affinity.pooled(related := _related(one, stick))
        middles = evidence.centres(one.gallery, related.common)
        parts = likeness.name_terms(helped.vectors, helped.widths, middles, related.common, stick)
        rows.append(np.stack([part[one.real].ravel() for part in parts], axis=1))
        same.append((one.people[one.real, None] == one.wanted).ravel())
    return replace(stick, names=_coefficients(np.concatenate(rows), np.concatenate(same)))


def _coefficients(rows: Float64, same: Bool) -> tuple[float, ...]:
    model = LogisticRegression(C=100, class_weight="balanced", max_iter=5000).fit(rows, same)
    found = [*model.intercept_, *model.coef_[0]]
    return tuple(round(float(value), 4) for value in found)


def _said(one: Known, stick: Yardstick, settings: Settings) -> tuple[Float64, Bool, Float64]:
    """Return log-odds of the most likely names, given or not, whether right, and for how long."""
    found = _judged(one, replace(stick, belief=(1.0, 0.0)), settings.recognize)
    odds = logit(np.clip(found.probability, _ONE_SIDED, 1 - _ONE_SIDED))
    right = np.asarray(found.people == one.people)
    return odds[one.real], right[one.real], found.seconds[one.real]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What names the tracks of an episode get, (N,) each."""

    named: Bool
    people: Int64
    """Who each most likely is, as in `Known.people`."""
    probability: Float64
    """Of that one."""
    seconds: Float64


def _judged(one: Known, stick: Yardstick, settings: RecognizeSettings) -> _Judged:
    seen = evidence.gather(one.tracks, _related(one, stick), one.together, settings)
    gallery = thresholds.calibrate(one.gallery, seen, one.together, stick, settings)
    none = np.zeros((len(one.tracks), len(gallery)), bool)
    apart = recognize.Apart(one.together, none, np.full(len(one.tracks), recognize.OPEN))
    said = recognize.recognize(one.tracks, seen, gallery, apart, stick, settings)
    ids = np.array([character.id for character in one.gallery])
    named = np.array([identity.character > 0 for identity in said])
    best = np.array([one.character or one.runner_up for one in said])
    # Without a name, the margin is nobody's probability less the likeliest name's.
    chance = [one.probability - (0 if one.character else one.margin) for one in said]
    return _Judged(
        named=named,
        people=one.wanted[np.argmax(best[:, None] == ids, axis=1)],
        probability=np.array(chance),
        seconds=np.array([track.end_s - track.start_s for track in one.tracks]),
    )
