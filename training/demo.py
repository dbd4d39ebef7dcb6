"""The whole product in one go, on an episode synthesized from portraits in installed packages."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from indexer import __main__ as command_line
from indexer.commands.console import DONE
from indexer.config import DetectSettings, Settings
from indexer.detect import detect
from indexer.models import load_models
from training.people import write_people
from training.synthesize import Detect, EpisodeSpec, synthesize

CAST = ("Ada", "Cleo", "Finn")
STRANGERS = ("Ben", "Dora")
"""Chosen for looking little like the cast: synthetic people resemble each other."""


def demo(folder: Path, say: Callable[[str], None]) -> int:
    """Make an episode, enrol its cast, index and query it, and return the exit status.

    Args:
        folder: gets ``faces``, ``episode.mp4`` with its truth, ``library`` and ``timeline.json``.
        say: called with each line of what is being done.
    """
    video, gallery, library = folder / "episode.mp4", folder / "gallery", folder / "library"
    if not video.is_file():
        say(f"making {video}: a cast of {len(CAST)} and {len(STRANGERS)} strangers")
        write_people(gallery, stills=4, seed=1, names=CAST)
        write_people(folder / "faces", stills=2, seed=2, names=(*CAST, *STRANGERS))
        synthesize(folder / "faces", video, EpisodeSpec(seconds=30), detector(), STRANGERS)
    timeline = folder / "timeline.json"
    for words in (
        ["enroll", gallery],
        ["index", video],
        ["people"],
        ["query", "--character", "Ada", "--without", "Cleo"],
        ["export", video.stem, "--format", "json", "--output", timeline],
    ):
        command = [*map(str, words), "--library", str(library)]
        say(f"\n$ python -m indexer {shlex.join(command)}")
        status = command_line.main(command)
        if status != DONE:
            return status
    say(f"\nepisode: {video}; library: {library}; faces in every frame: {timeline}")
    return DONE


def detector() -> Detect:
    """Return the detector of faces in the stills that episodes are made of.

    It is MTCNN, whatever the default detector: synthesized data, and their truth, stay the same.
    """
    settings = Settings(detect=DetectSettings(method="mtcnn"))
    models = load_models(settings)
    return lambda pixels: detect(models.detector, [pixels], settings.detect)[0]
