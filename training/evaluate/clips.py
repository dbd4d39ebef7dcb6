"""The whole pipeline on labelled clips: shots, people, names, time and memory."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from scipy.optimize import linear_sum_assignment

from indexer import geometry
from indexer.errors import VideoError
from indexer.records import Bool, Float32, Float64, Int64, Shot
from indexer.store import schema
from indexer.store.library import Library
from indexer.store.read import read_characters, read_identities, read_table
from indexer.store.tables import vectors_of

_SAME_CUT_FRAMES = 2
_SAME_FACE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Cuts:
    """How the cuts found agree with the true ones."""

    true: int
    found: int
    right: int
    """True cuts with a found one within two frames; each found cut is matched once."""


def compare_cuts(found: Sequence[Shot], starts: Sequence[int]) -> Cuts:
    """Return how the shots found agree with the first frames of the true shots."""
    mine = [shot.start_frame for shot in found[1:]]
    true = list(starts[1:])
    left = list(mine)
    right = 0
    for cut in true:
        near = [one for one in left if abs(one - cut) <= _SAME_CUT_FRAMES]
        if near:
            left.remove(near[0])
            right += 1
    return Cuts(len(true), len(mine), right)


@dataclass(frozen=True, slots=True)
class PeopleByShot:
    """Which people were found in each shot, by the letters of the ground truth."""

    found: Sequence[str]
    """A line per shot, as in ``A B; missed C; also D ?``: D is in other shots, ? matches nobody."""
    predicted: int
    """Number of people in the index."""
    true: int
    recurring_kept: bool
    """True if everybody who is in several shots is found in all of them as the same person."""


def compare_people(shown: Sequence[set[int]], truth: Sequence[set[str]]) -> PeopleByShot:
    """Return who was found in which shot, after matching people to letters by shared shots.

    Args:
        shown: for each true shot, the ids of the people that the index has in it.
        truth: for each true shot, the letters of the people in it.
    """
    ids, letters = sorted(set().union(*shown)), sorted(set().union(*truth))
    # Among people who share equally many shots with a letter, one with fewer other shots wins.
    gain = np.array(
        [
            [
                sum((i in s) == (c in t) for s, t in zip(shown, truth, strict=True))
                + 100 * sum(i in s and c in t for s, t in zip(shown, truth, strict=True))
                for c in letters
            ]
            for i in ids
        ]
    ).reshape(len(ids), len(letters))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    name = {ids[r]: letters[c] for r, c in zip(rows, columns, strict=True) if gain[r, c] >= 100}  # noqa: PLR2004
    lines, kept = [], True
    for here, wanted in zip(shown, truth, strict=True):
        got = sorted(name.get(i, "?") for i in here)
        extra = [letter for letter in got if letter not in wanted]
        missed = sorted(wanted.difference(got))
        kept &= not [c for c in missed if sum(c in t for t in truth) > 1]
        line = " ".join(sorted(wanted.intersection(got))) or "-"
        line += f"; missed {' '.join(missed)}" if missed else ""
        lines.append(line + (f"; also {' '.join(extra)}" if extra else ""))
    return PeopleByShot(lines, len(ids), len(letters), kept)


def people_of_shots(
    library: Library, episode: str, spans: Iterable[tuple[int, int]]
) -> list[set[int]]:
    """Return the ids of the people with a detected face in each span of frames, ends included."""
    who = {i.track: i.character for i in read_identities(library, episode)}
    faces = read_faces(library, episode)
    return [
        {who[int(t)] for t in faces.track[(faces.frame >= a) & (faces.frame <= b) & faces.detected]}
        for a, b in spans
    ]


@dataclass(frozen=True, slots=True)
class FaceRows:
    """The faces of an episode, a row each."""

    track: Int64
    frame: Int64
    detected: Bool
    boxes: Float32


def read_faces(library: Library, episode: str) -> FaceRows:
    """Return the rows of an episode's faces.parquet."""
    table = read_table(library, library.episode(episode) / schema.FACES)
    return FaceRows(
        track=table["track"].to_numpy(),
        frame=table["frame"].to_numpy(),
        detected=table["detected"].to_numpy(),
        boxes=vectors_of(table["box"]),
    )


@dataclass(frozen=True, slots=True)
class Naming:
    """How many labelled faces in a range of widths were found and named."""

    widths: str
    labelled: int
    found: int
    named: int
    """Found faces that were given a name."""
    right: int
    """Named faces whose name is right."""


def compare_names(
    library: Library,
    episode: str,
    labels: Sequence[Mapping[str, Any]],
    scale: float,
    edges: Sequence[float],
) -> list[Naming]:
    """Return how labelled faces were found and named, by width and, last, over all widths.

    Args:
        library: with the episode and its characters.
        episode: its id.
        labels: ``frame``, ``box`` and ``name`` of each labelled face.
        scale: pixels of the episode for each pixel of the labels.
        edges: ascending widths that bound the ranges, in pixels of the episode.
    """
    names = {c.id: c.label for c in read_characters(library) if c.named}
    who = {i.track: names.get(i.character, "") for i in read_identities(library, episode)}
    faces = read_faces(library, episode)
    answers = []
    for frame in sorted({label["frame"] for label in labels}):
        mine = [label for label in labels if label["frame"] == frame]
        here = faces.frame == frame
        truth = np.array([label["box"] for label in mine], np.float32) * scale
        overlap = geometry.iou(truth, faces.boxes[here])
        tracks = faces.track[here]
        matched = {
            int(r): who[int(tracks[c])]
            for r, c in zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
            if overlap[r, c] >= _SAME_FACE_IOU
        }
        for n, label in enumerate(mine):
            given = matched.get(n)
            width = float(truth[n, 2] - truth[n, 0])
            answers.append((width, given is not None, bool(given), given == label["name"]))
    rows = np.array(answers, dtype=float)
    spans = [*zip([0.0, *edges], [*edges, np.inf], strict=True), (0.0, np.inf)]
    return [_naming(rows, low, high) for low, high in spans]


def _naming(rows: Float64, low: float, high: float) -> Naming:
    inside = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
    span = "all" if low == 0 and high == np.inf else f"{low:.0f}-{high:.0f} px"
    return Naming(span, len(inside), *(int(inside[:, column].sum()) for column in (1, 2, 3)))


def scaled_copy(source: Path, target: Path, height: int) -> None:
    """Write a smaller H.264 copy of a video, frame by frame and with the same times.

    Raises:
        VideoError: the source cannot be read.
    """
    try:
        with av.open(str(source)) as container, av.open(str(target), "w") as out:
            stream = container.streams.video[0]
            width = round(stream.width * height / stream.height / 2) * 2
            rate = stream.average_rate or Fraction(25)
            copy = out.add_stream("libx264", rate=rate, options={"crf": "18"})
            copy.width, copy.height, copy.pix_fmt = width, height, "yuv420p"
            copy.time_base = stream.time_base
            for frame in container.decode(stream):
                small = frame.reformat(width, height, "yuv420p", interpolation="AREA")
                out.mux(copy.encode(small))
            out.mux(copy.encode(None))
    except av.error.FFmpegError as error:
        raise VideoError(source, f"cannot be read: {error}", "check the data folder") from error


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory of a child process."""

    wall_s: float
    cpu_s: float
    """Of all its threads, in user and system mode."""
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Indexing:
    """What indexing a video cost, and its report."""

    cost: Cost
    said: Mapping[str, Any]
    """The output of ``index --json`` for the video."""


def cost_of_indexing(video: Path, library: Path, *more: str) -> Indexing:
    """Return the cost and the report of ``python -m indexer index`` on a video.

    Raises:
        VideoError: the command failed.
    """
    command = ["-m", "indexer", "index", str(video), "--library", str(library), "--json", *more]
    report = library.with_suffix(".json")
    cost = cost_of(command, report)
    if cost is None:
        raise VideoError(video, "could not be indexed", "see what the command says")
    return Indexing(cost, json.loads(report.read_bytes())[0])


def cost_of(arguments: Sequence[str], output: Path) -> Cost | None:
    """Return the cost of a Python process whose stdout goes to a file; None if it fails.

    Linux counts the peak memory of the starting process as the child's, too: call this while the
    present process is small.
    """
    started = time.perf_counter()
    with output.open("wb") as file:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)],
        )
        _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - started
    cost = Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return cost if status == 0 else None
