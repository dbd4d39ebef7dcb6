"""The whole of `bench-identity`: seasons, the real clip and what is switched off, to a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.config import Settings
from indexer.models import Models
from indexer.progress import Progress, silent
from training.bench import identity_report as reports
from training.bench.identity import ABLATION, ablation, naive_numbers, numbers, promise
from training.bench.real_clip import bench_real
from training.bench.seasons import Season, seasons_in, watch_season
from training.evaluate import naming_scores as scores


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured."""

    data: Path
    """Holds made seasons."""
    work: Path
    """Keeps libraries."""
    seasons: int | None = None
    """How many; None for all."""
    episodes: int | None = None
    """How many of each; None for all."""
    clips: Path | None = None
    """Holds the real clip; None to leave it out."""
    again: bool = False
    """Whether libraries that other code has judged are judged again: see `watch_season`."""


@dataclass(frozen=True, slots=True)
class Report:
    """The same twice."""

    markdown: str
    json: str


def bench_identity(
    asked: Asked, models: Models, settings: Settings, progress: Progress = silent
) -> Report:
    """Return what names and people are worth.

    Raises:
        ConfigError: there is no made season, or no clip where one is asked for.
        IndexerError: as enrolling and indexing.
    """
    found = seasons_in(asked.data)[: asked.seasons]
    watched = [
        watch_season(one, asked.work, models, settings, asked.episodes, progress, again=asked.again)
        for one in found
    ]
    clip = bench_real(asked.clips, asked.work, models, settings, progress) if asked.clips else []
    measured = [_measured(one, settings) for one in watched]
    variants = ablation(watched, ABLATION, settings, models.encoder.yardstick)
    return Report(
        reports.markdown(measured, clip, variants), reports.as_json(measured, clip, variants)
    )


def _measured(season: Season, settings: Settings) -> reports.Measured:
    watched, said = season.watched, season.snapshots[-1]
    faces = said.names[watched.found.tracks]
    return reports.Measured(
        season=season.name,
        numbers=numbers(season, promise(settings)),
        naive=naive_numbers(season),
        wrong=scores.wrong_names(faces, watched.shown, watched.found.tracks),
        widths=scores.by_width(faces, watched),
        reliability=scores.calibration(said, watched.people, watched.gallery),
        stale=season.stale,
    )
