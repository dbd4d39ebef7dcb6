"""Why somebody on screen is who they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from indexer import config, explain, naming
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.request import Move
from indexer.store import read
from indexer.store.library import Library, open_library
from tests import libraries
from tests.conftest import Indexed, run
from tests.libraries import ANN, BOB, CARL, CAST, Shown
from tests.test_forget import STICK

PILOT = libraries.episode(
    shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL), Shown(60, 90, BOB)]
)
FIRST, SECOND, THIRD = (one.uid for one in PILOT.tracks)


@pytest.fixture
def pilot(tmp_path: Path) -> Library:
    judged = config.that_matter(Settings())
    return libraries.put(replace(libraries.new(tmp_path / "library"), settings=judged), PILOT, CAST)


def test_everybody_in_the_frame_is_explained(pilot: Library) -> None:
    found = explain.explain(pilot, PILOT.id, 0.4, STICK)
    assert (found.frame, found.encoder_id) == (10, libraries.ENCODER)
    faces = {one.track: one for one in found.faces}
    assert faces.keys() == {FIRST, SECOND}
    ann = faces[FIRST]
    assert (ann.label, ann.named, ann.beside, ann.decided) == ("Ann", True, ["Person 3"], "")
    assert {one.label for one in ann.candidates} == {"Ann", "Bob"}
    assert [one.log_odds for one in ann.candidates] == sorted(
        (one.log_odds for one in ann.candidates), reverse=True
    )
    assert all(one.track != SECOND for one in ann.links)  # who is beside is somebody else
    assert [one.track for one in ann.links] == [THIRD]
    track = PILOT.tracks[0]
    times = [round(one.time_s * libraries.RATE) for one in ann.exemplars]
    assert times == track.exemplar_frames[: len(times)].tolist()


def test_what_a_person_said_is_the_reason(pilot: Library) -> None:
    naming.decide(pilot, [Move(track=THIRD, to="Ann")])
    [one] = explain.explain(open_library(pilot.root), PILOT.id, 2.8, STICK).faces
    assert (one.label, one.probability) == ("Ann", 1.0)
    assert one.decided == f"track {THIRD} is Ann"
    assert "as a person said" in explain.as_text(
        explain.explain(open_library(pilot.root), PILOT.id, 2.8, STICK)
    )


def test_nobody_on_screen_and_no_such_time(pilot: Library) -> None:
    assert explain.explain(pilot, PILOT.id, 1.6, STICK).faces == []
    with pytest.raises(StoreError, match="has no frame at 99 s"):
        explain.explain(pilot, PILOT.id, 99, STICK)


def test_by_command(library: Indexed, tmp_path: Path) -> None:
    opened = open_library(library.library)
    [episode] = read.episodes(opened)
    track = read.read_tracks(opened, episode)[0]
    time = (track.start_s + track.end_s) / 2
    where = ("--library", library.library)
    picture = tmp_path / "why.png"
    said = run("explain", "episode one", f"0:{time:.3f}", "--picture", picture, *where)
    assert (said.status, said.err) == (0, "")
    assert f"track {track.uid}" in said.out
    assert opened.encoder_id in said.out
    with Image.open(picture) as image:
        assert image.size[1] > 100
    found = json.loads(run("explain", episode, f"{time}", "--json", *where).out)
    assert track.uid in {one["track"] for one in found["faces"]}
    assert run("explain", episode, "soon", *where).status == 2
    late = run("explain", episode, "1:00:00", *where)
    assert late.status == 2
    assert "has no frame at 3600 s" in late.err
