"""The figures of the README on labelled clips, each from a fresh library."""

from __future__ import annotations

import dataclasses
import filecmp
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from indexer import enroll, pipeline
from indexer.config import Settings
from indexer.models import Models
from indexer.store import library as libraries
from indexer.store.library import Library
from indexer.store.read import read_shots
from training.evaluate import clips

CROWDS = "intel_faces_6shots"
SITCOM = "tv_dev"
TIMED = ("crowd_1080p.mp4", "tears_of_steel.webm")
Say = Callable[[str], None]


def bench_clips(
    data: Path, work: Path, models: Models, settings: Settings, say: Say, *, timed: bool = True
) -> None:
    """Index the clips of a data folder and report how the results agree with their labels.

    Args:
        data: the folder of the clips and their .json files.
        work: an empty folder for libraries and scaled copies.
        models: detector and encoder.
        settings: of all stages.
        say: takes each line.
        timed: also measure time and memory, each video in a process of its own.
    """
    # Time first, while this process is small.
    if timed:
        _timed(data, work, say)
    _crowds(data, work, models, settings, say)
    _sitcom(data, work, models, settings, say)


def _crowds(data: Path, work: Path, models: Models, settings: Settings, say: Say) -> None:
    truth = json.loads((data / f"{CROWDS}.json").read_text())
    video = data / f"{CROWDS}.mp4"
    roots = [work / "crowds-1", work / "crowds-2"]
    for root in reversed(roots):
        library, episode = _indexed(video, root, models, settings)
    starts = [shot["start_frame"] for shot in truth["shots"]]
    say(_cuts_line(video.name, clips.compare_cuts(read_shots(library, episode), starts)))
    people = people_found(library, episode, truth)
    say(tabulate(list(enumerate(people.found)), headers=["shot", "people found"]))
    kept = "each one person throughout" if people.recurring_kept else "NOT one person throughout"
    say(f"{people.predicted} people predicted, {people.true} true; those who recur are {kept}")
    same = all(
        filecmp.cmp(one, roots[1] / one.relative_to(roots[0]), shallow=False)
        for one in roots[0].rglob("*.parquet")
    )
    say(f"indexed twice: Parquet files {'byte-identical' if same else 'DIFFER'}\n")


def people_of_crowds(
    data: Path, root: Path, models: Models, settings: Settings
) -> clips.PeopleByShot:
    """Return the people found in the clip of six shots, indexed into a library of its own.

    Args:
        data: the folder of the clip and its labels.
        root: of the library; if it holds the clip already, that is not indexed again.
        models: detector and encoder.
        settings: of all stages.
    """
    library, episode = _indexed(data / f"{CROWDS}.mp4", root, models, settings)
    return people_found(library, episode, json.loads((data / f"{CROWDS}.json").read_text()))


def people_found(library: Library, episode: str, truth: Mapping[str, Any]) -> clips.PeopleByShot:
    """Return which of the labelled people are found in each labelled shot.

    Args:
        library: that holds the clip.
        episode: the clip's id.
        truth: the clip's labels.
    """
    spans = [(shot["start_frame"], shot["end_frame"]) for shot in truth["shots"]]
    shown = clips.people_of_shots(library, episode, spans)
    return clips.compare_people(shown, [set(shot["people"]) for shot in truth["shots"]])


def _sitcom(data: Path, work: Path, models: Models, settings: Settings, say: Say) -> None:
    truth = json.loads((data / f"{SITCOM}.json").read_text())
    labels = [face for face in truth["faces"] if face["name"]]
    height = truth["size"][1]
    for lines in (height, height // 2):
        video = data / f"{SITCOM}.mp4"
        if lines != height:
            video = work / f"{SITCOM}-{lines}.mp4"
            clips.scaled_copy(data / f"{SITCOM}.mp4", video, lines)
        root = work / f"sitcom-{lines}"
        library = pipeline.open_or_create(root, models, settings)
        enroll.enroll(data / f"{SITCOM}_gallery", library, models, settings)
        library, episode = _indexed(video, root, models, settings)
        starts = [shot["start_frame"] for shot in truth["shots"]]
        say(_cuts_line(video.name, clips.compare_cuts(read_shots(library, episode), starts)))
        edges = [24.0, 48.0, 96.0, 144.0]
        rows = clips.compare_names(library, episode, labels, lines / height, edges)
        say(tabulate([_naming_row(row) for row in rows], headers="keys", floatfmt=".3f") + "\n")


def _naming_row(row: clips.Naming) -> dict[str, Any]:
    return {
        "face width": row.widths,
        "labelled": row.labelled,
        "found": row.found / row.labelled if row.labelled else None,
        "right of named": row.right / row.named if row.named else None,
        "recall": row.right / row.labelled if row.labelled else None,
    }


def _timed(data: Path, work: Path, say: Say) -> None:
    rows = []
    for name in TIMED:
        done = clips.cost_of_indexing(data / name, work / f"timed-{Path(name).stem}")
        seconds = done.said["duration_s"]
        times = {"video": name, "duration_s": seconds, "x real time": done.cost.wall_s / seconds}
        rows.append(times | dataclasses.asdict(done.cost))
    say(tabulate(rows, headers="keys", floatfmt=".2f") + "\n")


def _indexed(video: Path, root: Path, models: Models, settings: Settings) -> tuple[Library, str]:
    library = pipeline.open_or_create(root, models, settings)
    done = pipeline.index(video, library, models, settings)
    return libraries.open_library(root), done.episode


def _cuts_line(name: str, cuts: clips.Cuts) -> str:
    return f"{name}: {cuts.true} true cuts, {cuts.found} found, {cuts.right} of them right"
