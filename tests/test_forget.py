"""Somebody is forgotten: nothing of them is left, and everything else is as it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer import forget, naming
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.records import Calibration, Constraints, Line, Repeat, Yardstick
from indexer.request import Merge, Name, Split
from indexer.store import appearances, decisions, nearest, read, schema, tables, unfinished, vectors
from indexer.store.library import Library, open_library
from indexer.store.verify import verify
from tests import libraries
from tests.conftest import Indexed, run
from tests.indexer.test_recognize import at_cosine
from tests.libraries import ANN, BOB, CARL, CAST, Shown

_STEEP = (Line(0.6, 40.0), Line(0.6, 100.0))
STICK = Yardstick.of(Calibration((20.0, 80.0), _STEEP, _STEEP, 0.9, 0.1), libraries.DIMENSION)
PILOT = libraries.episode(
    shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL), Shown(60, 90, BOB)]
)
FINALE = libraries.episode("Finale.mkv", shots=(40,), shown=[Shown(0, 20, ANN)])
FIRST, SECOND, THIRD = (one.uid for one in PILOT.tracks)
[AGAIN] = (one.uid for one in FINALE.tracks)


@pytest.fixture
def pilot(tmp_path: Path) -> Library:
    one = libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)
    shown = Repeat(0, 0, 20, PILOT.id, 0, 1.0, (AGAIN,), (FIRST,))
    return libraries.put(one, FINALE, CAST, [shown])


def forgotten(library: Library, name: str, *, dry: bool = False) -> forget.Forgotten:
    return forget.forget(open_library(library.root), name, STICK, Settings(), dry=dry)


def uids_everywhere(library: Library) -> list[set[int]]:
    """Return the uids of the tracks in each table and in the index of the library."""
    now = open_library(library.root)
    everything = appearances.of_library(now)
    uids = tables.integers_of(everything["track"])
    found = [set(uids.tolist()), set(vectors.uids_of(nearest.read(now, uids)).tolist())]
    tracks, faces, names, pictures, again = set(), set(), set(), set(), set()
    for one in read.episodes(now):
        folder = now.episode(one)
        tracks |= {track.uid for track in read.read_tracks(now, one)}
        column = read.read_table(now, folder / schema.FACES, ["track"])["track"]
        faces |= set(tables.integers_of(column).tolist())
        names |= {i.track for i in read.read_identities(now, one)}
        pictures |= {int(path.stem) for path in (folder / schema.THUMBNAILS).iterdir()}
        for repeat in read.read_repeats(now, one):
            again |= {*repeat.tracks, *repeat.their_tracks}
    return [*found, tracks, faces, names, pictures, again]


def test_nothing_is_left(pilot: Library) -> None:
    assert all(FIRST in some for some in uids_everywhere(pilot))
    done = forgotten(pilot, "ann")
    assert (done.name, done.tracks, done.episodes, done.left) == ("Ann", 2, 2, [])
    assert not any({FIRST, AGAIN} & some for some in uids_everywhere(pilot))
    now = open_library(pilot.root)
    assert [one.label for one in read.read_characters(now)] == [
        one.label for one in CAST if one.id != ANN
    ]
    assert verify(now) == []
    with pytest.raises(StoreError, match="no character 'Ann'"):
        forgotten(pilot, "Ann")


def test_the_rest_is_as_it_was(pilot: Library) -> None:
    before = {one.uid: one for one in PILOT.tracks}
    forgotten(pilot, "Ann")
    now = open_library(pilot.root)
    for track in read.read_tracks(now, PILOT.id):
        assert np.array_equal(track.embeddings, before[track.uid].embeddings)
    said = {i.track: i.character for i in read.read_identities(now, PILOT.id)}
    assert said == {SECOND: CARL, THIRD: BOB}
    counts = read.read_manifest(now, PILOT.id)["counts"]
    assert (counts["tracks"], counts["frames"]) == (2, 100)


def test_a_dry_run_does_nothing(pilot: Library) -> None:
    before = libraries.state(pilot)
    assert forgotten(pilot, "Ann", dry=True).tracks == 2
    assert libraries.state(open_library(pilot.root)) == before


def test_what_is_likely_the_person_goes_too_unless_it_has_a_name(pilot: Library) -> None:
    """Carl looks like Bob: while he has no name, he may well be Bob."""
    carl = PILOT.tracks[1].embedding
    people = [replace(one, prototypes=carl[None]) if one.id == BOB else one for one in CAST]
    now = libraries.put(open_library(pilot.root), PILOT, people)
    done = forgotten(now, "Bob", dry=True)
    assert (done.tracks, done.alike, done.left) == (2, 1, [])
    naming.decide(open_library(pilot.root), [Name("Person 3", "Carl")])
    done = forgotten(pilot, "Bob")
    assert (done.tracks, done.alike) == (1, 0)
    assert {one.what for one in done.left} == {
        f"track {SECOND} of {PILOT.id}, Carl",
        "stored faces of Carl",
    }
    assert done.nearest > 0.5
    assert verify(open_library(pilot.root)) == []


def test_who_is_likelier_somebody_else_stays(pilot: Library) -> None:
    """Carl looks like Bob, but more like Ann: Bob is forgotten without him."""
    carl = PILOT.tracks[1].embedding
    like = {ANN: carl[None], BOB: at_cosine(carl, 0.75, 3)[None]}
    people = [replace(one, prototypes=like.get(one.id, one.prototypes)) for one in CAST]
    now = libraries.put(open_library(pilot.root), PILOT, people)
    assert forgotten(now, "Bob", dry=True).alike == 0
    assert forgotten(now, "Ann", dry=True).alike == 1


def test_what_is_begun_of_any_video_goes_as_it_may_show_the_person(pilot: Library) -> None:
    other = libraries.episode("other.mkv", shots=(3,))
    with unfinished.resumed(pilot, other.sha256) as work:
        work.add(other.frames, [], [])
    forgotten(pilot, "Ann", dry=True)
    assert unfinished.exists(pilot, other.sha256)
    forgotten(pilot, "Ann")
    assert not (pilot.root / "unfinished").exists()


def test_the_log_falls_silent(pilot: Library) -> None:
    naming.decide(open_library(pilot.root), [Name("Person 3", "Carl")])
    naming.decide(open_library(pilot.root), [Name("Bob", "Robert")])
    naming.undo(open_library(pilot.root), 1)
    naming.undo(open_library(pilot.root), 3)
    done = forgotten(pilot, "Carl")
    assert done.decisions == 3
    text = decisions.path_of(pilot).read_text()
    assert "Carl" not in text
    assert str(SECOND) not in text
    log = decisions.read_decisions(open_library(pilot.root))
    assert [one.number for one in log] == [1, 2, 3, 4]
    assert log[1].says == "Bob is Robert"
    assert verify(open_library(pilot.root)) == []


def test_whose_tracks_were_split_off_is_not_told(pilot: Library) -> None:
    naming.decide(open_library(pilot.root), [Split(person="Bob", tracks=(THIRD,))])
    naming.undo(open_library(pilot.root))
    naming.undo(open_library(pilot.root), 2)
    assert forgotten(pilot, "Bob").decisions == 3
    assert "Bob" not in decisions.path_of(pilot).read_text()


def test_what_is_said_of_others_stays(pilot: Library) -> None:
    """A decision that names Carl stays, although his track was likeliest Bob's before it."""
    bob = PILOT.tracks[1].embedding
    people = [replace(one, prototypes=bob[None]) if one.id == BOB else one for one in CAST]
    maybe = replace(PILOT, identities=[replace(i, runner_up=BOB) for i in PILOT.identities])
    libraries.put(open_library(pilot.root), maybe, people)
    naming.decide(open_library(pilot.root), [Name("Person 3", "Carl")])
    assert forgotten(pilot, "Bob").decisions == 0  # Bob was only the runner-up before it
    [one] = decisions.read_decisions(open_library(pilot.root))
    assert one.says == "Person 3 is Carl"
    assert all(row.runner_up == 0 for row in one.before.values())


def test_whoever_was_said_to_be_the_person_goes_too(pilot: Library) -> None:
    naming.decide(open_library(pilot.root), [Merge(person="Bob", into="Ann")])
    assert forgotten(pilot, "Ann").tracks == 3
    labels = {one.label for one in read.read_characters(open_library(pilot.root))}
    assert not labels & {"Ann", "Bob"}


def test_the_unnamed_person_of_before_the_stills_goes_too(pilot: Library) -> None:
    """Indexed, enrolled, forgotten: no track shows Person 4 since Ann's stills were enrolled."""
    ann = CAST[0].prototypes
    before = replace(libraries.character(4, named=False), prototypes=ann[:1])
    split = replace(libraries.character(5, named=False), prototypes=ann[:0])
    now = libraries.put(open_library(pilot.root), PILOT, [*CAST, before, split])
    assert forgotten(now, "Ann", dry=True).left == []
    assert forgotten(now, "Bob", dry=True).left == []
    forgotten(now, "Ann")
    left = [one.label for one in read.read_characters(open_library(pilot.root))]
    assert left == ["Bob", "Person 3", "Person 5"]


def test_who_is_somebody_else_by_a_decision_stays(pilot: Library) -> None:
    """Person 3 looks like Ann, but users said that this is Bob."""
    people = [*CAST[:2], replace(CAST[2], prototypes=CAST[0].prototypes[:1])]
    libraries.put(open_library(pilot.root), PILOT, people)
    naming.decide(open_library(pilot.root), [Merge(person="Person 3", into="Bob")])
    assert [one.what for one in forgotten(pilot, "Ann").left] == ["stored faces of Person 3"]
    now = open_library(pilot.root)
    assert [one.label for one in read.read_characters(now)] == ["Bob", "Person 3"]
    assert decisions.read_constraints(now).merged == {CARL: BOB}


def test_no_merge_leads_to_somebody_whose_tracks_all_go(pilot: Library) -> None:
    """All tracks of Person 3 are likeliest Bob's, and Person 4 was merged into Person 3."""
    carl = PILOT.tracks[1].embedding
    third = PILOT.tracks[2]
    third = replace(third, embeddings=np.tile(carl, (len(third.quality), 1)), embedding=carl)
    said = [replace(i, character=4 if i.track == THIRD else i.character) for i in PILOT.identities]
    people = [CAST[0], replace(CAST[1], prototypes=carl[None]), CAST[2]]
    people.append(libraries.character(4, named=False))
    made = replace(PILOT, tracks=[*PILOT.tracks[:2], third], identities=said)
    libraries.put(open_library(pilot.root), made, people)
    naming.decide(open_library(pilot.root), [Merge(person="Person 4", into="Person 3")])
    assert forgotten(pilot, "Bob").alike == 2
    now = open_library(pilot.root)
    assert [one.label for one in read.read_characters(now)] == ["Ann"]
    assert decisions.read_constraints(now) == Constraints()
    assert verify(now) == []


def test_by_command(library: Indexed, tmp_path: Path) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    planned = run("forget", "Ada", "--dry-run", "--library", root)
    assert (planned.status, planned.err) == (0, "")
    assert planned.out.startswith("Ada would be forgotten: ")
    done = run("forget", "Ada", "--json", "--library", root)
    assert done.status == 0
    said = json.loads(done.out)
    assert said["tracks"] > 0
    assert said["nearest"] < 0.5
    assert run("verify", "--library", root).status == 0
    assert run("query", "--character", "Ada", "--library", root).status == 2
    refused = run("forget", "Ada", "--library", root)
    assert refused.status == 2
    assert "no character 'Ada'" in refused.err
