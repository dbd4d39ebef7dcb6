"""What cosines are worth as evidence: a yardstick, measured on synthetic seasons.

The cohort are people with two photos, who play in no season. The coefficients of pairs of tracks,
then those of names, are of logistic regressions with balanced classes. How far names are believed
is fitted to seasons left out in turn, weighted by screen time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from indexer import affinity, enroll, evidence, likeness, pipeline, recognize, scene, thresholds
from indexer.affinity import Affinity, Clarity
from indexer.config import RecognizeSettings, Settings
from indexer.errors import ConfigError
from indexer.evidence import Evidence
from indexer.models import Models
from indexer.progress import Progress, silent
from indexer.recognize import Apart
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
"""Lower edges of the bins in which pairs are counted: bits of the hash, and face widths apart."""


@dataclass(frozen=True, slots=True)
class Known:
    """An episode's tracks, and the true person of each."""

    season: int
    tracks: Sequence[Track]
    people: Int64
    """(N,), `NOBODY` for a track that covers no true face."""
    gallery: Sequence[Character]
    wanted: Int64
    """(C,), who each character of the gallery is, numbered as in `people`."""

    @property
    def together(self) -> Bool:
        """Return which tracks are on screen together, (N, N)."""
        return affinity.cooccurring(self.tracks)

    @property
    def seconds(self) -> Float64:
        """Return how long each track is on screen, (N,)."""
        return np.array([track.end_s - track.start_s for track in self.tracks])

    @property
    def real(self) -> Bool:
        """Return which tracks show somebody, (N,)."""
        return np.asarray(self.people != NOBODY)


def known_episodes(
    seasons: Sequence[Path], work: Path, models: Models, settings: Settings, progress: Progress
) -> list[Known]:
    """Return the episodes of synthetic seasons, each season indexed into its own library in `work`.

    Raises:
        ConfigError: a season holds no episode with its truth.
        IndexerError: as enrolling and indexing.
    """
    found = []
    for number, season in enumerate(seasons):
        videos = [path for path in sorted(season.glob("*.mp4")) if truth_path(path).is_file()]
        if not videos:
            remedy = "name a folder made by training synthesize"
            raise ConfigError(season, "holds no video with its ground truth beside it", remedy)
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
    """Return the mean vector of each person, unit rows (M, D); none for a person without a face.

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
        raise ConfigError("seasons", f"only {len(seasons)} given", "give two or more")
    stick = _names(episodes, _pairs(episodes, plain))
    said = []
    for season in seasons:
        rest = [one for one in episodes if one.season != season]
        left_out = _names(rest, _pairs(rest, plain))
        said += [_said(one, left_out, settings) for one in episodes if one.season == season]
    odds, nobody, right, strange, seconds = (
        np.concatenate([getattr(one, part) for one in said]) for part in _Said.__slots__
    )
    wrong = ~right
    return replace(
        stick,
        helped=_helped(episodes, stick),
        belief=_line(odds, right, seconds),
        nobody=_line(nobody[wrong], strange[wrong], np.ones(int(wrong.sum()))),
    )


def _line(odds: Float64, true: Bool, weights: Float64) -> tuple[float, float]:
    """Return the slope and offset that calibrate log-odds, (N,), to what is true."""
    if true.all() or not true.any():
        return 1.0, 0.0
    model = LogisticRegression(C=1e6).fit(odds[:, None], true, weights)
    return round(float(model.coef_[0, 0]), 4), round(float(model.intercept_[0]), 4)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How well a season's tracks are named by the yardstick of the other seasons."""

    season: str
    wrong: float
    """Share of the named seconds, of tracks that show somebody, with a wrong name."""
    recalled: float
    """Share of the enrolled people's seconds, of the tracks found, that are named right,"""
    likeliest: float
    """and that would be, if each track were given its likeliest name."""


def left_out(episodes: Sequence[Known], plain: Yardstick, settings: Settings) -> list[LeftOut]:
    """Return how well each season is named by the yardstick measured on the others.

    Args:
        episodes: of three seasons or more.
        plain: calibration and cohort.
        settings: of recognition.
    """
    found = []
    for season in sorted({one.season for one in episodes}):
        stick = measure([one for one in episodes if one.season != season], plain, settings)
        wrong = right = asked = likely = 0.0
        for one in (one for one in episodes if one.season == season):
            said = _judged(one, stick, settings.recognize)
            named, true = said.named & one.real, said.people == one.people
            wrong += one.seconds[named & ~true].sum()
            right += one.seconds[named & true].sum()
            asked += one.seconds[np.isin(one.people, one.wanted)].sum()
            likely += one.seconds[true].sum()
        shares = [share / max(asked, _ONE_SIDED) for share in (right, likely)]
        mistaken = wrong / max(wrong + right, _ONE_SIDED)
        found.append(LeftOut(f"season {season + 1}", *map(float, (mistaken, *shares))))
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Pairs of tracks in a bin: how much their pictures differ, how far apart their faces are."""

    bits: int
    """Lower edge of the bin, in bits by which the hashes differ."""
    widths: float
    """Lower edge of the bin, in face widths."""
    pairs: int
    same: float
    """Share of the pairs that show one person; NaN without pairs."""


def places(episodes: Sequence[Known]) -> list[Place]:
    """Return how often tracks of nearby shots show one person, by bins of picture and place."""
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


@dataclass(frozen=True, slots=True)
class Meeting:
    """Pairs of an episode's tracks that are on screen together for so long."""

    shared_s: float
    """More than this, and not more than in the next row; the first row is of any two tracks."""
    pairs: int
    same: float
    """Share of the pairs that show one person: the reason for `affinity.MOMENT_S`."""


def meetings(episodes: Sequence[Known]) -> list[Meeting]:
    """Return how often two tracks show one person, by how long they are on screen together."""
    rows = [np.zeros((0, 2))]
    for one in episodes:
        start, end = (np.array([getattr(t, at) for t in one.tracks]) for at in ("start_s", "end_s"))
        shared = affinity.shared_s(start[:, None], end[:, None], start, end)
        known = np.triu(one.real[:, None] & one.real, k=1)
        same = one.people[:, None] == one.people
        rows.append(np.stack([shared[known], same[known]], axis=1))
    every = np.concatenate(rows)
    bounds = [-np.inf, 0.0, affinity.MOMENT_S, 2 * affinity.MOMENT_S, np.inf]
    some = [every[:, 1]]
    some += [every[(every[:, 0] > a) & (every[:, 0] <= b), 1] for a, b in pairwise(bounds)][1:]
    shares = [float(one.mean()) if len(one) else float("nan") for one in some]
    return [Meeting(*row) for row in zip(bounds[:4], map(len, some), shares, strict=True)]


def _related(one: Known, stick: Yardstick) -> Affinity:
    return evidence.related(one.tracks, one.gallery, stick, RecognizeSettings())


def _pairs(episodes: Sequence[Known], stick: Yardstick) -> Yardstick:
    rows = []
    for one in episodes:
        related = _related(one, stick)
        rows.append(_compared(one, related.vectors, related.clarity))
    terms, same = (np.concatenate(part) for part in zip(*rows, strict=True))
    return replace(stick, pairs=_coefficients(terms, same))


def _helped(episodes: Sequence[Known], stick: Yardstick) -> tuple[float, ...]:
    rows = []
    for one in episodes:
        pool = affinity.pooled(related := _related(one, stick))
        near = affinity.nearness(pool.vectors, related.common, stick)
        rows.append(_compared(one, pool.vectors, Clarity(pool.widths, near)))
    return _coefficients(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def _compared(one: Known, vectors: Float32, clear: Clarity) -> tuple[Float64, Bool]:
    """Return terms, (P, K), of pairs of tracks not on screen together, and which are genuine."""
    upper = np.triu(one.real[:, None] & one.real & ~one.together, k=1)
    first, second = np.nonzero(upper)
    terms = affinity.pair_terms((vectors @ vectors.T)[upper], clear[first], clear[second])
    return np.stack(list(terms), axis=1).astype(np.float64), one.people[first] == one.people[second]


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


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of the tracks that show somebody in an episode, (N,) each, and what is true."""

    odds: Float64
    """Log-odds of the likeliest name, given or not,"""
    nobody: Float64
    """and of its being nobody of the gallery, if that name is wrong."""
    right: Bool
    """Whether the likeliest name is right,"""
    strange: Bool
    """and whether the track shows nobody of the gallery."""
    seconds: Float64


def _said(one: Known, stick: Yardstick, settings: Settings) -> _Said:
    """Return what is said of an episode's tracks before the belief in it is fitted."""
    seen, gallery, apart = _asked(one, stick, settings.recognize)
    shares = recognize.all_shares(seen, gallery, apart, stick, settings.recognize)
    best, rows = shares[:, 1:].argmax(axis=1), np.flatnonzero(one.real)
    chance = np.clip(shares[np.arange(len(shares)), 1 + best], _ONE_SIDED, 1 - _ONE_SIDED)
    nobody = np.clip(shares[:, 0] / (1 - chance), _ONE_SIDED, 1 - _ONE_SIDED)
    return _Said(
        odds=logit(chance)[rows],
        nobody=logit(nobody)[rows],
        right=(one.wanted[best] == one.people)[rows],
        strange=~np.isin(one.people, one.wanted)[rows],
        seconds=one.seconds[rows],
    )


def _asked(
    one: Known, stick: Yardstick, settings: RecognizeSettings
) -> tuple[Evidence, list[Character], Apart]:
    """Return an episode's evidence, gallery and constraints, no decisions of people among them."""
    seen = evidence.gather(one.tracks, _related(one, stick), one.together, settings)
    gallery = thresholds.calibrate(one.gallery, seen, one.together, stick, settings)
    none = np.zeros((len(one.tracks), len(gallery)), bool)
    return seen, gallery, Apart(one.together, none, np.full(len(one.tracks), recognize.OPEN))


@dataclass(frozen=True, slots=True)
class _Judged:
    """The names that the tracks of an episode get, (N,) each."""

    named: Bool
    """Whether the track is given a name."""
    people: Int64
    """The likeliest person of the gallery, numbered as in `Known.people`."""


def _judged(one: Known, stick: Yardstick, settings: RecognizeSettings) -> _Judged:
    seen, gallery, apart = _asked(one, stick, settings)
    said = recognize.recognize(one.tracks, seen, gallery, apart, stick, settings)
    ids = np.array([character.id for character in one.gallery])
    best = np.array([identity.character or identity.runner_up for identity in said])
    return _Judged(
        named=np.array([identity.character > 0 for identity in said]),
        people=one.wanted[np.argmax(best[:, None] == ids, axis=1)],
    )
