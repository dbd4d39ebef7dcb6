"""Why somebody on screen is who they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import config, explain, explained, naming
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.explain import Chance
from indexer.records import Repeat
from indexer.request import Move
from indexer.sheet import SIDE
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
    assert all(one.track != SECOND for one in ann.links)  # it is on screen with her: another person
    assert [one.track for one in ann.links] == [THIRD]
    track = PILOT.tracks[0]
    times = [round(one.time_s * libraries.RATE) for one in ann.exemplars]
    assert times == track.exemplar_frames[: len(times)].tolist()


def test_what_a_person_said_is_the_reason(pilot: Library) -> None:
    naming.decide(pilot, [Move(track=THIRD, to="Ann")])
    [one] = explain.explain(open_library(pilot.root), PILOT.id, 2.8, STICK).faces
    assert (one.label, one.probability) == ("Ann", 1.0)
    assert one.decided == f"track {THIRD} is Ann"
    assert "decided by a user" in explained.as_text(
        explain.explain(open_library(pilot.root), PILOT.id, 2.8, STICK)
    )


def test_the_three_probabilities_are_told_alike_as_text_and_as_records(pilot: Library) -> None:
    found = explain.explain(pilot, PILOT.id, 0.4, STICK)
    text = explained.as_text(found)
    for one in found.faces:
        first, second = one.chances  # Ann and Bob are all the gallery
        assert first.probability >= second.probability
        assert first.probability + second.probability + one.nobody == pytest.approx(1)
        said = [f"P({who.label}) {who.probability:.1%}" for who in one.chances]
        assert f"  {', '.join(said)}, P(nobody enrolled) {one.nobody:.1%}; by own faces" in text
        assert f"P({first.label}) {first.by_face:.1%}\n" in text
        best, next_best = sorted([first.probability, second.probability, one.nobody])[:0:-1]
        assert one.margin == pytest.approx(best - next_best)
        assert f"the likeliest leads the next by {one.margin:.1%}" in text
    assert "P(same person as in the other tracks of Person 3) 90.0%" in text


def test_nobody_asks_who_it_is_where_nobody_is_likelier(pilot: Library) -> None:
    found = explain.explain(pilot, PILOT.id, 0.4, STICK)
    one = next(one for one in found.faces if not one.named)

    def asked(ann: float, bob: float) -> str:
        chances = [Chance("Ann", ann, 0.5), Chance("Bob", bob, 0.5)]
        maybe = explain.likeliest(chances, 1 - ann - bob, either=bob > ann / 2)
        face = replace(one, chances=chances, maybe=maybe, reason="so")
        text = explained.as_text(replace(found, faces=[face]))
        return next(line.strip() for line in text.splitlines() if "no name" in line)

    assert asked(0.03, 0.01) == asked(0.4, 0.05) == "no name, so"
    assert asked(0.8, 0.05) == "no name, so: Ann?"
    assert asked(0.5, 0.4) == "no name, so: Ann or Bob?"


def test_whoever_shows_twice_is_not_said_to_be_somebody_else(pilot: Library) -> None:
    naming.decide(pilot, [Move(track=SECOND, to="Ann")])  # a mirror
    found = explain.explain(open_library(pilot.root), PILOT.id, 0.4, STICK)
    assert [one.beside for one in found.faces] == [[], []]
    assert "so somebody else" not in explained.as_text(found)


def test_what_is_taken_over_says_whence(pilot: Library) -> None:
    again = libraries.episode("Two.mp4", shots=(50,), shown=[Shown(0, 20, ANN), Shown(5, 30, BOB)])
    mine, theirs = (tuple(one.uid for one in x.tracks[:2]) for x in (again, PILOT))
    repeat = Repeat(0, 0, 49, PILOT.id, 0, 0.0, mine, theirs)
    both = libraries.put(pilot, again, CAST, [repeat])
    found = explain.explain(both, again.id, 0.4, STICK)
    faces = {one.track: one for one in found.faces}
    ann, bob = (faces[uid] for uid in mine)
    assert (ann.taken, ann.taken_track) == (PILOT.id, FIRST)
    assert (bob.taken, bob.taken_track) == ("", 0)  # the earlier track is Person 3's
    assert f"taken over from {PILOT.id}, which showed this before as track {FIRST}" in (
        explained.as_text(found)
    )
    naming.decide(both, [Move(track=mine[0], to="Bob")])
    [moved] = explain.explain(open_library(both.root), again.id, 0.0, STICK).faces
    assert (moved.taken, moved.decided) == ("", f"track {mine[0]} is Bob")


def test_candidates_are_compared_by_their_looks(pilot: Library, tmp_path: Path) -> None:
    own = PILOT.tracks[0].embedding
    far = np.roll(own, 1) - own * (np.roll(own, 1) @ own)
    far /= np.linalg.norm(far)
    looks = np.stack([own, own, far, far, far]).astype(np.float32)
    cast = [replace(CAST[0], prototypes=looks), *CAST[1:]]
    two = libraries.put(pilot, PILOT, cast)
    found = explain.explain(two, PILOT.id, 0.4, STICK)
    ann = next(one for one in found.faces if one.track == FIRST)
    best = ann.candidates[0]
    assert (best.label, best.looks) == ("Ann", 2)
    assert best.similarity > 0.9  # to the mean of both looks it would be lower
    assert "similarity" in explained.as_text(found)
    assert "to the nearest of 2 looks" in explained.as_text(found)


def test_the_picture_shows_faces_of_the_candidates(pilot: Library, tmp_path: Path) -> None:
    found = explain.explain(pilot, PILOT.id, 0.4, STICK)
    ann = next(one for one in found.faces if one.track == FIRST)
    tracks = {one.label: one.track for one in ann.candidates}
    assert tracks == {"Ann": 0, "Bob": THIRD}  # Ann has no other track
    explained.write_picture(tmp_path / "why.png", pilot, found)
    with Image.open(tmp_path / "why.png") as image:
        grey = (np.asarray(image.convert("L")) == 90).sum()  # as the thumbnails are
    beside = [x.track for one in found.faces for x in one.candidates if x.track]
    beside += [x.track for one in found.faces for x in one.links]
    assert grey == pytest.approx((len(found.faces) + len(beside)) * SIDE * SIDE, rel=0.02)


def test_nobody_on_screen_and_no_such_time(pilot: Library, tmp_path: Path) -> None:
    empty = libraries.episode("Empty.mp4", [30])
    alone = libraries.put(libraries.new(tmp_path), empty, [])
    assert explain.explain(alone, empty.id, 0.4, STICK).faces == []
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
