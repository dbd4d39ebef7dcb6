from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from html import unescape
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import webvtt
from hypothesis import given, settings

from indexer.errors import StoreError
from indexer.records import Repeat
from indexer.store import export
from indexer.store.export import FORMATS, export_to
from indexer.store.library import Library
from tests.libraries import (
    ANN,
    CARL,
    CAST,
    Episode,
    Shown,
    character,
    episode,
    episodes,
    new,
    put,
)

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((files("indexer.store") / "timeline.schema.json").read_text())
)


def exported(library: Library, made: Episode, form: str) -> str:
    stream = io.StringIO()
    export_to(library, made.id, form, stream)
    return stream.getvalue()


def timeline(library: Library, made: Episode) -> Any:  # noqa: ANN401 - JSON
    """Return the timeline, checked against its schema; NaN and Infinity are refused."""
    text = exported(library, made, "json")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    VALIDATOR.validate(content)
    return content


def seconds(stamp: str) -> float:
    hours, minutes, rest = stamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def cues(library: Library, made: Episode) -> list[tuple[float, float, list[str]]]:
    captions = webvtt.from_string(exported(library, made, "webvtt"), strict=True).captions
    return [
        (seconds(one.start), seconds(one.end), [unescape(line) for line in one.lines])
        for one in captions
    ]


@settings(max_examples=15)
@given(made=episodes())
def test_the_timeline_holds_every_frame_with_the_faces_it_shows(
    made: Episode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = put(new(tmp_path_factory.mktemp("export")), made, CAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_FRAMES_AT_ONCE", 7)
        content = timeline(library, made)
    assert [(one["frame"], one["pts"]) for one in content["frames"]] == [
        (one.index, one.pts) for one in made.frames
    ]
    names = {one.id: one.label for one in CAST if one.named}
    expected: dict[int, list[Any]] = {one.index: [] for one in made.frames}
    for track, trace, identity in zip(made.tracks, made.traces, made.identities, strict=True):
        for at, frame in enumerate(trace.frames.tolist()):
            face = {
                "track": track.uid,
                "box": pytest.approx(trace.boxes[at].tolist(), abs=0.006),
                "detected": bool(trace.detected[at]),
                "character": identity.character,
                "name": names.get(identity.character),
                "probability": identity.probability,
            }
            expected[frame].append(face)
    assert {one["frame"]: one["faces"] for one in content["frames"]} == expected
    tracks = {row["track"] for one in content["characters"] for row in one["intervals"]}
    assert tracks == {one.track for one in made.identities if one.character}


@settings(max_examples=15)
@given(made=episodes())
def test_cues_say_who_is_on_screen_and_last_as_long_as_they_can(
    made: Episode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = put(new(tmp_path_factory.mktemp("export")), made, CAST)
    labels = {one.id: one.label for one in CAST}
    found = cues(library, made)
    for frame in made.frames:
        shown = {
            labels[identity.character]
            for track, identity in zip(made.tracks, made.identities, strict=True)
            if track.start_frame <= frame.index <= track.end_frame and identity.character
        }
        middle = frame.time_s + 0.02
        said = [names for start, end, names in found if start <= middle < end]
        assert said == ([sorted(shown)] if shown else [])
    for (_, end, names), (start, _, others) in pairwise(found):
        assert end < start or names != others


@pytest.fixture
def pilot(tmp_path: Path) -> tuple[Library, Episode]:
    made = episode(
        "Pilot.mp4",
        (50, 25),
        [
            Shown(0, 24, ANN, 0.9),
            Shown(10, 49, CARL, 0.5),
            Shown(50, 74, ANN, 0.8),
            Shown(50, 59, 0),
        ],
    )
    return put(new(tmp_path / "library"), made, CAST), made


def test_the_schema_is_one_and_refuses_what_it_does_not_name(
    pilot: tuple[Library, Episode],
) -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    content = timeline(*pilot)
    for part in (content, content["video"], content["shots"][0], content["characters"][0]):
        part["more"] = 1
        assert not VALIDATOR.is_valid(content)
        del part["more"]
    content["frames"][0]["faces"][0]["box"].pop()
    assert not VALIDATOR.is_valid(content)


def test_a_timeline_by_hand(pilot: tuple[Library, Episode]) -> None:
    library, made = pilot
    content = timeline(library, made)
    one, two, three, nobody = (track.uid for track in made.tracks)
    assert content["schema"] == "timeline/1"
    assert content["encoder_id"] == library.encoder_id
    assert content["video"] == made.manifest()["video"]
    assert content["shots"] == [
        {"shot": 0, "start_s": 0.0, "end_s": 2.0, "start_frame": 0, "end_frame": 49},
        {"shot": 1, "start_s": 2.0, "end_s": 3.0, "start_frame": 50, "end_frame": 74},
    ]
    first, last = (
        {"start_s": 0.0, "end_s": 1.0, "track": one, "shot": 0, "probability": 0.9},
        {"start_s": 2.0, "end_s": 3.0, "track": three, "shot": 1, "probability": 0.8},
    )
    middle = {"start_s": 0.4, "end_s": 2.0, "track": two, "shot": 0, "probability": 0.5}
    assert content["characters"] == [
        {
            "id": ANN,
            "name": "Ann",
            "label": "Ann",
            "screen_time_s": 2.0,
            "probability": 0.85,
            "intervals": [first, last],
        },
        {
            "id": CARL,
            "name": None,
            "label": "Person 3",
            "screen_time_s": 1.6,
            "probability": 0.5,
            "intervals": [middle],
        },
    ]
    faces = content["frames"][50]["faces"]
    assert [(face["track"], face["character"], face["name"]) for face in faces] == [
        (three, ANN, "Ann"),
        (nobody, 0, None),
    ]


def test_lines_and_cues_by_hand(pilot: tuple[Library, Episode]) -> None:
    library, made = pilot
    one, two, three, nobody = (str(track.uid) for track in made.tracks)
    assert list(csv.reader(io.StringIO(exported(library, made, "csv")))) == [
        ["character", "start_s", "end_s", "shot", "track", "probability"],
        ["Ann", "0.0", "1.0", "0", one, "0.9"],
        ["Person 3", "0.4", "2.0", "0", two, "0.5"],
        ["Ann", "2.0", "3.0", "1", three, "0.8"],
        ["", "2.0", "2.4", "1", nobody, "0.9"],
    ]
    assert cues(library, made) == [
        (0.0, 0.4, ["Ann"]),
        (0.4, 1.0, ["Ann", "Person 3"]),
        (1.0, 2.0, ["Person 3"]),
        (2.0, 3.0, ["Ann"]),
    ]


def test_any_name_survives(tmp_path: Path) -> None:
    names = ["A --> B", "<b>Tom & Jerry</b>", 'Söze, "K"', "NOTE 00:00.000 --> 00:01.000"]
    cast = [character(number, name) for number, name in enumerate(names, start=1)]
    made = episode("Pilot.mp4", (10,), [Shown(0, 9, one.id) for one in cast])
    library = put(new(tmp_path), made, cast)
    assert [one["name"] for one in timeline(library, made)["characters"]] == names
    rows = list(csv.DictReader(io.StringIO(exported(library, made, "csv"))))
    assert [row["character"] for row in rows] == names
    ((_, _, said),) = cues(library, made)
    assert sorted(said) == sorted(names)


def test_nobody_on_screen(tmp_path: Path) -> None:
    made = episode("Nobody.mp4", (30,))
    library = put(new(tmp_path), made, [])
    content = timeline(library, made)
    assert content["characters"] == []
    assert [one["faces"] for one in content["frames"]] == [[]] * 30
    assert exported(library, made, "csv").splitlines() == [",".join(export._CSV_COLUMNS)]
    assert exported(library, made, "webvtt").strip() == "WEBVTT"
    empty = episode("Empty.mp4")
    library = put(library, empty, [])
    assert timeline(library, empty)["frames"] == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_written_whole_or_not_at_all(
    form: str, pilot: tuple[Library, Episode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, made = pilot
    target = tmp_path / "here" / f"out.{form}"
    target.parent.mkdir()
    target.write_text("before")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(export, "FORMATS", {form: fail})
        with pytest.raises(RuntimeError):
            export_to(library, made.id, form, target)
    assert target.read_text() == "before"
    export_to(library, made.id, form, target)
    assert target.read_bytes().decode() == exported(library, made, form)
    assert [one.name for one in target.parent.iterdir()] == [target.name]


def test_what_cannot_be_exported_is_refused(pilot: tuple[Library, Episode], tmp_path: Path) -> None:
    library, made = pilot
    with pytest.raises(StoreError, match=r"nowhere/out\.csv: there is no such file or folder"):
        export_to(library, made.id, "csv", tmp_path / "nowhere" / "out.csv")
    with pytest.raises(StoreError, match=r"gone-00000000: has no manifest\.json"):
        export_to(library, "gone-00000000", "json", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(StoreError, match="is a folder, not a file"):
        export_to(library, made.id, "csv", tmp_path)
    export_to(library, made.id, "csv", Path(os.devnull))


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    peaks = []
    for count in (1_000, 4_000):
        made = episode(f"{count}.mp4", (count,), [Shown(0, count - 1, ANN)])
        library = put(new(tmp_path), made, CAST)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "_FRAMES_AT_ONCE", 250)
            tracemalloc.start()
            export_to(library, made.id, "json", tmp_path / "out.json")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_what_was_shown_before_is_said_and_can_be_left_out(tmp_path: Path) -> None:
    first = episode("one.mp4", [50], [Shown(0, 24, ANN)])
    second = episode("two.mp4", [25, 50], [Shown(0, 19, ANN), Shown(25, 44, CARL)])
    library = put(new(tmp_path), first, CAST)
    library = put(library, second, CAST, [Repeat(0, 0, 24, first.id, 5, 1.5)])
    whole = timeline(library, second)
    assert [shot.get("repeats") for shot in whole["shots"]] == [
        [{"start_frame": 0, "end_frame": 24, "episode": first.id, "their_start_frame": 5}],
        None,
    ]
    assert len(whole["characters"]) == 2
    streams = {form: io.StringIO() for form in FORMATS}
    for form, stream in streams.items():
        export_to(library, second.id, form, stream, repeats=False)
    rest = json.loads(streams["json"].getvalue())
    VALIDATOR.validate(rest)
    assert rest["shots"] == whole["shots"]
    assert rest["characters"] == [one for one in whole["characters"] if one["id"] == CARL]
    assert [len(frame["faces"]) for frame in rest["frames"]] == [0] * 25 + [1] * 20 + [0] * 30
    assert len(streams["csv"].getvalue().splitlines()) == 2
    assert streams["webvtt"].getvalue().count("-->") == 1


class Meanwhile(io.StringIO):
    """A stream that publishes an episode into a library before it takes its first text."""

    def __init__(self, library: Library, made: Episode) -> None:
        super().__init__()
        self._publish = [lambda: put(library, made, CAST)]

    def write(self, text: str) -> int:
        while self._publish:
            self._publish.pop()()
        return super().write(text)


def test_no_timeline_is_of_two_indexes(pilot: tuple[Library, Episode], tmp_path: Path) -> None:
    library, made = pilot
    stream = Meanwhile(library, made)
    with pytest.raises(StoreError, match=r"was changed by another run .*\(export it again\)"):
        export_to(library, made.id, "json", stream)
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())
    for form in FORMATS:  # the library is not what it was when it was opened
        with pytest.raises(StoreError, match="was changed by another run"):
            export_to(library, made.id, form, tmp_path / "file")
    assert not (tmp_path / "file").exists()
