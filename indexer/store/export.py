"""The timeline of an episode as JSON, CSV or WebVTT."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TextIO

import pyarrow.compute as pc
from webvtt import Caption, WebVTT
from webvtt.models import Timestamp

from indexer.errors import StoreError
from indexer.records import UNKNOWN
from indexer.store import appearances as seen
from indexer.store import disk, query, read, schema
from indexer.store.appearances import Appearance
from indexer.store.library import Library, open_library

SCHEMA = "timeline/1"
_FRAMES_AT_ONCE = 1024
_CSV_COLUMNS = ("character", "start_s", "end_s", "shot", "track", "probability")
_REPEAT = ("start_frame", "end_frame", "episode", "their_start_frame")
_TIME_DIGITS, _BOX_DIGITS, _PROBABILITY_DIGITS = 6, 2, 4


def write_json(library: Library, episode: str, stream: TextIO, *, repeats: bool = True) -> None:
    """Write the episode's timeline/1 (timeline.schema.json): who is where in every frame.

    Frame by frame: memory does not grow with the episode's length. An unknown face has the
    character 0 and the name null; a person nobody has named has an id and the name null.
    """
    manifest = read.read_manifest(library, episode)
    appearances = seen.of_episode(library, episode, repeats=repeats)
    head = {
        "schema": SCHEMA,
        "encoder_id": library.encoder_id,
        "video": {key: manifest["video"][key] for key in schema.VIDEO_KEYS},
        "shots": _shots(library, episode),
        "characters": _characters(library, appearances),
    }
    encode = json.JSONEncoder(allow_nan=False).encode
    stream.write(encode(head)[:-1] + ', "frames": [')
    before = "\n"
    for frame in _frames(library, episode, appearances):
        stream.write(before + encode(frame))
        before = ",\n"
    _check_same(library)
    stream.write("\n]}\n")


def write_csv(library: Library, episode: str, stream: TextIO, *, repeats: bool = True) -> None:
    """Write a line for every track, by start: who it is (empty if unknown), when, in which shot."""
    labels = _labels(library)
    shown = seen.of_episode(library, episode, repeats=repeats)
    _check_same(library)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for one in shown:
        line = _interval(one) | {"character": labels[one.character]}
        writer.writerow([line[column] for column in _CSV_COLUMNS])


def write_webvtt(library: Library, episode: str, stream: TextIO, *, repeats: bool = True) -> None:
    """Write subtitles that say who is on screen: a cue for as long as nobody comes or goes.

    A line for each person, by label if unnamed; unknown faces are left out.
    """
    labels = _labels(library)
    captions = WebVTT()
    shown = seen.of_episode(library, episode, repeats=repeats)
    _check_same(library)
    known = [one for one in shown if one.character != UNKNOWN]
    for start_s, end_s, people in _cues(known):
        names = sorted(escape(" ".join(labels[one].split()), quote=False) for one in people)
        start, end = (str(Timestamp.from_seconds(one)) for one in (start_s, end_s))
        captions.captions.append(Caption(start, end, names))
    captions.write(stream)


def _check_same(library: Library) -> None:
    """Check that all that was read of a library is of one state: the one it was opened in.

    Raises:
        StoreError: another run has published meanwhile.
    """
    if open_library(library.root).revision != library.revision:
        problem = "was changed by another run while it was exported"
        raise StoreError(library.root, problem, "export it again")


class Form(Protocol):
    """Writes an episode in one format."""

    def __call__(
        self, library: Library, episode: str, stream: TextIO, *, repeats: bool = True
    ) -> None:
        """Write it; without `repeats`, leave out the faces an earlier episode showed already."""


FORMATS: dict[str, Form] = {
    "json": write_json,
    "csv": write_csv,
    "webvtt": write_webvtt,
}


def export_to(
    library: Library, episode: str, form: str, target: Path | TextIO, *, repeats: bool = True
) -> None:
    """Write the episode in one of FORMATS; a file is written whole or not at all.

    Args:
        library: that holds the episode.
        episode: its id.
        form: a name in FORMATS.
        target: a file, or an open stream.
        repeats: whether to include faces that an earlier episode showed already.

    Raises:
        StoreError: the episode cannot be read, or changes meanwhile, or the file cannot be
            written; a stream has then got a part that is not valid JSON, or nothing.
    """
    if not isinstance(target, Path):
        FORMATS[form](library, episode, target, repeats=repeats)
        return
    with disk.explained(target), disk.written(target) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        FORMATS[form](library, episode, text, repeats=repeats)
        text.detach()


def _labels(library: Library) -> dict[int, str]:
    return {one.id: one.label for one in read.read_characters(library)} | {UNKNOWN: ""}


def _shots(library: Library, episode: str) -> list[dict[str, Any]]:
    repeats: dict[int, list[dict[str, Any]]] = {}
    for again in read.read_repeats(library, episode):
        stretch = {name: getattr(again, name) for name in _REPEAT}
        repeats.setdefault(again.shot, []).append(stretch)
    return [
        {
            "shot": one.shot,
            "start_s": round(one.start_s, _TIME_DIGITS),
            "end_s": round(one.end_s, _TIME_DIGITS),
            "start_frame": one.start_frame,
            "end_frame": one.end_frame,
            **({"repeats": repeats[one.shot]} if one.shot in repeats else {}),
        }
        for one in read.read_shots(library, episode)
    ]


def _characters(library: Library, appearances: Sequence[Appearance]) -> list[dict[str, Any]]:
    """Return who is in the episode, longest on screen first."""
    found = []
    for one in query.screen_times(library, seen.table_of(library, appearances)):
        here = [track for track in appearances if track.character == one.id]
        if here:
            found.append(
                {
                    "id": one.id,
                    "name": one.label if one.named else None,
                    "label": one.label,
                    "screen_time_s": round(one.screen_time_s, _TIME_DIGITS),
                    "probability": round(seen.mean_probability(here), _PROBABILITY_DIGITS),
                    "intervals": [_interval(track) for track in here],
                }
            )
    return found


def _interval(one: Appearance) -> dict[str, float | str]:
    return {
        "start_s": round(one.start_s, _TIME_DIGITS),
        "end_s": round(one.end_s, _TIME_DIGITS),
        "track": one.track,
        "shot": one.shot,
        "probability": round(one.probability, _PROBABILITY_DIGITS),
    }


def _frames(
    library: Library, episode: str, appearances: Sequence[Appearance]
) -> Iterator[dict[str, Any]]:
    who = _faces_facts(library, appearances)
    folder = library.episode(episode)
    total = read.read_manifest(library, episode)["video"]["frames"]
    for start in range(0, total, _FRAMES_AT_ONCE):
        frame = pc.field("frame")
        where = (frame >= start) & (frame < start + _FRAMES_AT_ONCE)
        faces: dict[int, list[dict[str, Any]]] = {}
        rows = read.read_table(
            library, folder / schema.FACES, ["track", "frame", "box", "detected"], where
        )
        for row in rows.sort_by([("frame", "ascending"), ("track", "ascending")]).to_pylist():
            box = [round(side, _BOX_DIGITS) for side in row["box"]]
            face = {"track": row["track"], "box": box, "detected": row["detected"]}
            if row["track"] in who:
                faces.setdefault(row["frame"], []).append(face | who[row["track"]])
        for row in read.read_table(library, folder / schema.FRAMES, None, where).to_pylist():
            yield {
                "frame": row["frame"],
                "pts": row["pts"],
                "time_s": round(row["time_s"], _TIME_DIGITS),
                "faces": faces.get(row["frame"], []),
            }


def _faces_facts(library: Library, appearances: Sequence[Appearance]) -> dict[int, dict[str, Any]]:
    """Return the fields that all faces of a track have in the timeline, by uid."""
    names = {one.id: one.label for one in read.read_characters(library) if one.named}
    return {
        one.track: {
            "character": one.character,
            "name": names.get(one.character),
            "probability": round(one.probability, _PROBABILITY_DIGITS),
        }
        for one in appearances
    }


def _cues(appearances: Sequence[Appearance]) -> Iterator[tuple[float, float, frozenset[int]]]:
    """Yield start, end and people for every longest stretch in which the same people are on screen.

    In seconds, rounded to WebVTT's milliseconds and at least 0; never for no people.
    """
    changes = sorted(
        (max(0.0, round(time_s, 3)), change, one.character)
        for one in appearances
        for time_s, change in ((one.start_s, 1), (one.end_s, -1))
    )
    counts: Counter[int] = Counter()
    since_s, people = 0.0, frozenset[int]()
    for time_s, group in groupby(changes, key=lambda change: change[0]):
        for _, change, character in group:
            counts[character] += change
        now = frozenset(one for one, count in counts.items() if count)
        if now != people:
            if people:
                yield since_s, time_s, people
            since_s, people = time_s, now
