"""The whole of `bench-identity`: seasons, real clips and ablation in, a report out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.config import Settings
from indexer.models import Models
from indexer.progress import Progress, silent
from training.bench import identity_report as reports
from training.bench.identity import ABLATION, ablation, naive_numbers, numbers, promise
from training.bench.real_clip import CLIP, bench_real
from training.bench.seasons import (
    ARCHIVE,
    Season,
    digest,
    make_seasons,
    seasons_in,
    watch_season,
)
from training.evaluate import naming_scores as scores
from training.evaluate.bench_clips import CROWDS, people_of_crowds
from training.evaluate.clips import PeopleByShot

_SEASONS = 5
"""How many seasons are made."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured."""

    data: Path
    """Folder of synthetic seasons, or of LFW's archive to make them from."""
    work: Path
    """Folder that keeps the libraries."""
    seasons: int | None = None
    """Number of seasons; None for all."""
    episodes: int | None = None
    """Number of episodes of each season; None for all."""
    clips: Path | None = None
    """Folder of the real clips; None for the data folder, if they are there."""
    again: bool = False
    """Whether libraries judged by another version of the code are judged again: `watch_season`."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report in two formats."""

    markdown: str
    json: str


def bench_identity(
    asked: Asked, models: Models, settings: Settings, progress: Progress = silent
) -> Report:
    """Return the report on names and people.

    Raises:
        ConfigError: there is no synthetic season, or no clip where one is asked for.
        IndexerError: as enrolling and indexing.
    """
    found = _seasons(asked, progress)
    watched = [
        watch_season(one, asked.work, models, settings, asked.episodes, progress, again=asked.again)
        for one in found
    ]
    clips = asked.clips or (asked.data if (asked.data / f"{CLIP}.mp4").is_file() else None)
    clip = bench_real(clips, asked.work, models, settings, progress) if clips else []
    crowds = _crowds(clips, asked.work, models, settings) if clips else []
    measured = [_measured(one, settings) for one in watched]
    variants = ablation(watched, ABLATION, settings, models.encoder.yardstick)
    return Report(
        reports.markdown(measured, clip, variants, crowds),
        reports.as_json(measured, clip, variants, crowds),
    )


def _crowds(clips: Path, work: Path, models: Models, settings: Settings) -> list[PeopleByShot]:
    """Return the people found in the clip of a crowd, if it is there."""
    if not (clips / f"{CROWDS}.mp4").is_file():
        return []
    root = work / f"{CROWDS}-{digest(models, settings)}"
    return [people_of_crowds(clips, root, models, settings)]


def _seasons(asked: Asked, progress: Progress) -> list[Path]:
    """Return the seasons of the data folder; made first if it has only LFW's archive."""
    folder = asked.data
    if (folder / ARCHIVE).is_file() and not any(folder.glob("s*/*.mp4")):
        folder = asked.work / "seasons"
        make_seasons(asked.data, folder, asked.seasons or _SEASONS, progress)
    return seasons_in(folder)[: asked.seasons]


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
