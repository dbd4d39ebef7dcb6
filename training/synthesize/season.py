"""A synthetic season, start to finish: photos in, episodes with their truth and a gallery out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from PIL import Image

from indexer.errors import ConfigError
from indexer.progress import Progress, silent
from training.synthesize.company import Company, read_company
from training.synthesize.encode import Format, encode
from training.synthesize.film import Studio, draw
from training.synthesize.heads import Detect, Head
from training.synthesize.reel import Episode
from training.synthesize.script import Look
from training.synthesize.season_spec import SeasonSpec
from training.synthesize.story import Roles, write_season
from training.synthesize.truth import TICKS, Truth
from training.synthesize.truth_file import mot_path, truth_path, write_mot, write_truth

GALLERY = "gallery"
"""The folder of the gallery's stills, in the season's folder."""
_QUALITY = 95


def synthesize_season(
    source: Path, folder: Path, spec: SeasonSpec, detect: Detect, progress: Progress = silent
) -> list[Truth]:
    """Return the truth of a season's episodes, and write all of it or nothing.

    Writes ``ep01.mp4``, ``ep01.truth.json``, ``ep01.gt.txt`` and so on, and ``gallery/Name/*.jpg``.

    Args:
        source: LFW's archive or the folder that holds it, or a folder of stills per person.
        folder: where to; must not exist.
        spec: length, size, how many people and so on.
        detect: finds the faces in a photo.
        progress: shows how far it is.

    Raises:
        ImageError: the source has too few people with enough usable photos.
        ConfigError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise ConfigError(folder, "exists already", "name a folder that does not")
    company = read_company(source, spec, detect, progress)
    episodes = plan(spec, company)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        beside.mkdir(parents=True)
        write_gallery(beside / GALLERY, company.gallery)
        for number, episode in enumerate(episodes):
            film(beside, spec, company, number, episode, progress)
        beside.rename(folder)
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
        raise ConfigError(folder, problem, "check the folder and the disk") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [episode.truth for episode in episodes]


def plan(spec: SeasonSpec, company: Company) -> list[Episode]:
    """Return a season before a pixel is drawn."""
    roles = Roles(_looks(company.cast), _looks(company.strangers))
    aside = tuple(head.label for heads in company.gallery.values() for head in heads)
    return [
        replace(
            episode,
            truth=replace(
                episode.truth,
                enrolled=tuple(company.gallery),
                gallery=aside,
                skipped=company.skipped,
            ),
        )
        for episode in write_season(spec, roles)
    ]


def film(
    folder: Path,
    spec: SeasonSpec,
    company: Company,
    number: int,
    episode: Episode,
    progress: Progress = silent,
) -> None:
    """Write an episode's video and truth into a folder."""
    video = folder / f"{episode.truth.episode}.mp4"
    people = (*company.cast.values(), *company.strangers.values())
    studio = Studio(spec.film, {head.label: head for heads in people for head in heads}, {})
    dissolves = [shot.dissolve for shot in episode.truth.shots]
    how = Format(
        width=spec.width,
        height=spec.height,
        fps=spec.fps,
        crf=spec.crf,
        ticks=episode.truth.ticks,
        time_base=Fraction(1, TICKS) / spec.fps,
        rotation=spec.rotation,
    )
    frames = draw(studio, episode.takes, dissolves, number)
    encode(video, how, progress(frames, total=episode.truth.frames, what=episode.truth.episode))
    write_truth(truth_path(video), episode.truth)
    write_mot(mot_path(video), episode.truth)


def write_gallery(folder: Path, gallery: Mapping[str, Sequence[Head]]) -> None:
    """Write the stills that were set aside, ``Name/file.jpg``; of a PNG, ``Name/file.png.jpg``."""
    for name, heads in gallery.items():
        (folder / name).mkdir(parents=True)
        for head in heads:
            file = Path(head.label).name
            file = file if file.lower().endswith(".jpg") else f"{file}.jpg"
            Image.fromarray(head.pixels).save(folder / name / file, quality=_QUALITY)


def _looks(people: Mapping[str, Sequence[Head]]) -> dict[str, list[Look]]:
    return {
        name: [Look(head.label, float(head.face[0] / head.face[1]), head.turn) for head in heads]
        for name, heads in people.items()
    }
