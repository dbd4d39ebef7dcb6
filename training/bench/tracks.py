"""Do the tracks of a show teach who is who? Heads compared on episodes with ground truth."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from indexer import geometry, pipeline
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.models import Models
from indexer.parallel import Workers
from indexer.progress import Progress, silent
from indexer.records import Float32, Float64, Int64
from training import clothes
from training.clothes import TieSettings
from training.evaluate import hac
from training.evaluate.clustering import Clustering, clustering
from training.fit import Schedule, fit
from training.library import LibraryTracks, read_tracks
from training.methods import tracks as heads
from training.methods.tracks import TrackSettings
from training.methods.whitening import whitening
from training.pairs import TrackFaces
from training.synthesize.truth import Truth
from training.synthesize.truth_file import read_truth, truth_path

_SAME_FACE_IOU = 0.3
NOBODY = -1
SCHEDULE = Schedule(epochs=15, learning_rate=1e-3, keep="last")
CLOTHES = "clothes, whitened"
METHODS: Mapping[str, TrackSettings] = {
    "Pseudo-RF": TrackSettings(mining="pseudo-rf"),
    "SSiam": TrackSettings(mining="ssiam"),
    "TSiam": TrackSettings(mining="tsiam"),
    "SSiam, linear": TrackSettings(mining="ssiam", head="linear"),
    "TSiam, linear": TrackSettings(mining="tsiam", head="linear"),
    "SSiam, tied": TrackSettings(mining="ssiam", head="tied", stay=1.0),
    "TSiam, tied": TrackSettings(mining="tsiam", head="tied", stay=0.3),
}
"""The paper's three; two with a head initialised as the identity; and two with one initialised by
the ties of clothes."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The tracks of an episode, and the true person of each."""

    name: str
    tracks: LibraryTracks
    people: Int64
    """(N,), `NOBODY` for a track that covers no true face."""
    frames: Float64
    """(N,), how many frames each lasts."""
    ties: Int64
    """(P, 2), pairs of tracks in the same clothes."""
    tying_s: float
    """Seconds that it took to find the ties."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How well an episode's tracks are clustered."""

    known: Clustering
    """With as many clusters as there are people."""
    known_per_frame: Clustering
    """The same, tracks weighted by their frames."""
    estimated: Clustering
    """With the number of clusters estimated by the silhouette."""
    seconds: float
    """Seconds that finding ties and training took, where the method does so."""


def labelled(
    folder: Path, library: Path, models: Models, settings: Settings, progress: Progress = silent
) -> list[Labelled]:
    """Return the tracks that the indexer finds in the synthetic episodes of a folder.

    Args:
        folder: holds videos, each with its truth beside it.
        library: the indexer's, made if it is not there.
        models: the indexer's.
        settings: the indexer's.
        progress: shows how far it is.

    Raises:
        ConfigError: the folder holds no synthetic episode.
        IndexerError: as indexing.
    """
    videos = [path for path in sorted(folder.glob("*.mp4")) if truth_path(path).is_file()]
    if not videos:
        remedy = "name a folder made by training synthesize"
        raise ConfigError(folder, "holds no video with its ground truth beside it", remedy)
    found = []
    for video in videos:
        opened = pipeline.open_or_create(library, models, settings)
        done = pipeline.index(video, opened, models, settings, progress)
        opened = pipeline.open_or_create(library, models, settings)
        tracks = read_tracks(opened, [done.episode])
        spans = (tracks.spans[:, 1] - tracks.spans[:, 0] + 1).astype(np.float64)
        who = people_of(tracks, read_truth(truth_path(video)))
        begun = time.perf_counter()
        worn = clothes.looks(tracks)
        ties = clothes.tied(worn, TieSettings())
        seconds = time.perf_counter() - begun
        found.append(Labelled(video.stem, tracks, who, spans, ties, seconds))
    return found


def people_of(tracks: LibraryTracks, truth: Truth) -> Int64:
    """Return who each track shows, by most of its faces, (N,): numbers of the cast, then strangers.

    `NOBODY` if none of its faces covers a true one.
    """
    names = {name: number for number, name in enumerate((*truth.cast, *truth.strangers))}
    votes = np.zeros((len(tracks.uids), len(names)), np.int64)
    for track, frame, box in zip(tracks.track, tracks.frames, tracks.boxes, strict=True):
        there = truth.at(int(frame))
        overlap = geometry.iou(box[None], there.boxes)[0]
        if len(overlap) and overlap.max() >= _SAME_FACE_IOU:
            votes[track, names[there.names[int(np.argmax(overlap))]]] += 1
    return np.where(votes.any(axis=1), votes.argmax(axis=1), NOBODY)


def learn(
    faces: TrackFaces, settings: TrackSettings, seed: int, workers: Workers
) -> tuple[Float32, float]:
    """Return the tracks' mean features by a head that learnt from them, and the seconds it took."""
    begun = time.perf_counter()
    method = heads.from_tracks(faces, settings, seed)
    schedule = replace(SCHEDULE, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        fit(method, schedule, Path(folder) / "checkpoint", torch.device("cpu"), workers)
    means = faces.means(heads.features(method.module, faces.vectors))
    return means, time.perf_counter() - begun


def whitened(one: Labelled, faces: TrackFaces) -> tuple[Float32, float]:
    """Return the tracks' mean features, whitened by the ties of clothes, and the seconds it took.

    Without a tie, the features are as they were.
    """
    begun = time.perf_counter()
    vectors = faces.vectors
    if len(one.ties):
        vectors = whitening(faces.means(), one.ties)(vectors)
    return faces.means(vectors), one.tying_s + time.perf_counter() - begun


def outcome(one: Labelled, features: Float32, seconds: float) -> Outcome:
    """Return how features (N, D) are clustered, over the tracks that show somebody."""
    real = one.people != NOBODY
    people, weights = one.people[real], one.frames[real]
    known = hac.into(len(np.unique(people)), features[real])
    guessed = hac.into(hac.estimated(features[real]), features[real])
    return Outcome(
        clustering(people, known),
        clustering(people, known, weights),
        clustering(people, guessed),
        seconds,
    )


def compare(
    episodes: Sequence[Labelled],
    seeds: int,
    workers: Workers,
    methods: Sequence[str] = tuple(METHODS),
) -> Mapping[str, Mapping[str, list[Outcome]]]:
    """Return the outcomes by method and episode, one for each seed; the base has one.

    Args:
        episodes: from `labelled`.
        seeds: how often each method learns, with seeds from 0 on.
        workers: for training.
        methods: of `METHODS`; the base and clothes alone are always included.
    """
    found: dict[str, dict[str, list[Outcome]]] = {
        "base": {},
        CLOTHES: {},
        **{name: {} for name in methods},
    }
    for one in episodes:
        faces = TrackFaces(one.tracks.vectors, one.tracks.track, one.tracks.together(), one.ties)
        found["base"][one.name] = [outcome(one, faces.means(), 0.0)]
        found[CLOTHES][one.name] = [outcome(one, *whitened(one, faces))]
        for name in methods:
            tying_s = one.tying_s if METHODS[name].head == "tied" else 0.0
            learnt = [learn(faces, METHODS[name], seed, workers) for seed in range(seeds)]
            found[name][one.name] = [outcome(one, means, s + tying_s) for means, s in learnt]
    return found


def table(found: Mapping[str, Mapping[str, list[Outcome]]]) -> list[list[str]]:
    """Return a row for each method, with the mean and spread over the seeds of each number."""
    rows = []
    for name, episodes in found.items():
        for episode, outcomes in episodes.items():
            base = found["base"][episode][0].known.wcp
            gains = [one.known.wcp - base for one in outcomes]
            rows.append(
                [
                    episode,
                    name,
                    _spread([one.known.wcp for one in outcomes]),
                    f"{100 * np.mean(gains):+.1f}",
                    _spread([one.known.nmi for one in outcomes]),
                    _spread([one.known.nmi_geometric for one in outcomes]),
                    _spread([one.known.precision for one in outcomes]),
                    _spread([one.known.recall for one in outcomes]),
                    _spread([one.known.f1 for one in outcomes]),
                    _spread([one.known_per_frame.wcp for one in outcomes]),
                    _spread([one.estimated.wcp for one in outcomes]),
                    f"{np.mean([one.estimated.predicted for one in outcomes]):.1f} / "
                    f"{outcomes[0].estimated.true}",
                    f"{np.mean([one.seconds for one in outcomes]):.1f}",
                ]
            )
    return sorted(rows, key=lambda row: row[0])


def gains(found: Mapping[str, Mapping[str, list[Outcome]]]) -> list[list[str]]:
    """Return a row for each method: the gain in WCP, K known, over the episodes, in points.

    The gain of an episode is the mean over the seeds.
    """
    rows = []
    for name, episodes in found.items():
        each = {
            episode: [100 * (o.known.wcp - found["base"][episode][0].known.wcp) for o in outcomes]
            for episode, outcomes in episodes.items()
        }
        means = [float(np.mean(one)) for one in each.values()]
        rows.append(
            [
                name,
                f"{np.mean([o.known.wcp for one in episodes.values() for o in one]):.3f}",
                f"{np.mean(means):+.1f} ± {np.std(means):.1f}",
                f"{min(means):+.1f} to {max(means):+.1f}",
                f"{sum(gain > 0 for gain in means)} of {len(means)}",
                f"{max(float(np.std(one)) for one in each.values()):.1f}",
                f"{max(o.seconds for one in episodes.values() for o in one):.1f}",
            ]
        )
    return rows


def records(found: Mapping[str, Mapping[str, list[Outcome]]]) -> list[dict[str, Any]]:
    """Return everything as records: a method, an episode, a seed, and the numbers of each."""
    return [
        {"features": name, "episode": episode, "seed": seed, **asdict(one)}
        for name, episodes in found.items()
        for episode, outcomes in episodes.items()
        for seed, one in enumerate(outcomes)
    ]


GAINS = (
    "features", "WCP", "gain", "least to most", "episodes that gain", "spread over seeds, at most",
    "seconds, at most",
)  # fmt: skip

HEADERS = (
    "episode", "features", "WCP, K known", "gain", "NMI", "geometric", "B-cubed P", "R", "F",
    "WCP per frame", "WCP, K estimated", "K / people", "seconds",
)  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"
