"""People are known by stills, or by the faces of the tracks that users say show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer import naming
from indexer.errors import StoreError
from indexer.records import Character, Float32, Track
from indexer.request import Merge, Move, Name, NotThis, Request, Split
from indexer.store import decisions, read
from indexer.store.library import Library, open_library
from tests import libraries
from tests.libraries import ANN, CARL, CAST, Shown
from tests.test_naming import FIRST, PILOT, REQUESTS, SECOND, THIRD, attempt, decide, shown

FACES = {one.uid: one.embeddings for one in PILOT.tracks}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)


def known_by(library: Library, name: str) -> Float32:
    return read.find_character(open_library(library.root), name).prototypes


def are_faces_of(rows: Float32, *uids: int) -> bool:
    """Return whether these are all faces of these tracks, and no others."""
    faces = np.concatenate([FACES[uid] for uid in uids])
    return sorted(map(tuple, rows)) == sorted(map(tuple, faces))


def carl_known_by(library: Library, rows: Float32) -> Library:
    """Return the library once Carl, whom two tracks show unasked, has a name and prototypes."""
    carl = replace(CAST[2], label="Carl", named=True, prototypes=rows)
    return libraries.put(open_library(library.root), PILOT, [*CAST[:2], carl])


def test_a_track_that_is_somebody_elses_takes_its_faces_away(library: Library) -> None:
    decide(library, Name("Person 3", "Carl"))
    assert are_faces_of(known_by(library, "Carl"), SECOND, THIRD)
    decide(library, Split(person="Carl", tracks=(THIRD,)))
    assert are_faces_of(known_by(library, "Carl"), SECOND)
    carl = read.find_character(open_library(library.root), "Carl")
    assert carl.clear_px == 48 * len(carl.prototypes)
    naming.undo(open_library(library.root))
    assert are_faces_of(known_by(library, "Carl"), SECOND, THIRD)


@pytest.mark.parametrize("wrong", [Move(track=THIRD, to="Bob"), NotThis(THIRD, person="Carl")])
def test_however_that_is_said(library: Library, wrong: Request) -> None:
    decide(library, Name("Person 3", "Carl"), wrong)
    assert are_faces_of(known_by(library, "Carl"), SECOND)


def test_a_track_that_is_moved_to_somebody_brings_its_faces(library: Library) -> None:
    decide(library, Name("Person 3", "Carl"), Move(track=FIRST, to="Carl"))
    assert are_faces_of(known_by(library, "Carl"), FIRST, SECOND, THIRD)


def test_stills_stay_whatever_is_decided(library: Library) -> None:
    stills = {one.label: one.prototypes for one in CAST[:2]}
    decide(library, Move(track=THIRD, to="Bob"), Move(track=FIRST, to="Bob"))
    decide(library, Split(person="Bob", tracks=(FIRST, THIRD)))
    for name, rows in stills.items():
        assert np.array_equal(known_by(library, name), rows)


def test_of_stills_and_faces_only_wrong_faces_go(library: Library) -> None:
    stills = libraries.unit(np.random.default_rng(7), 2)
    carl_known_by(library, np.concatenate([stills, FACES[SECOND], FACES[THIRD]]))
    decide(library, Move(track=THIRD, to="Bob"))
    assert np.array_equal(known_by(library, "Carl"), np.concatenate([stills, FACES[SECOND]]))
    decide(library, Move(track=SECOND, to="Bob"))
    assert np.array_equal(known_by(library, "Carl"), stills)


def test_without_decided_tracks_those_that_show_somebody_count(library: Library) -> None:
    carl_known_by(library, FACES[SECOND])
    decide(library, Move(track=SECOND, to="Bob"))
    assert are_faces_of(known_by(library, "Carl"), THIRD)


def test_faces_lent_by_somebody_merged_go_too(library: Library) -> None:
    decide(library, Name("Person 3", "Carl"))
    decide(library, Merge(person="Carl", into="Bob"))
    assert are_faces_of(known_by(library, "Carl"), SECOND, THIRD)
    decide(library, Split(person="Bob", tracks=(THIRD,)))
    assert are_faces_of(known_by(library, "Carl"), SECOND)
    naming.undo(open_library(library.root))
    naming.undo(open_library(library.root))
    assert shown(library)[THIRD] == "Carl"
    assert are_faces_of(known_by(library, "Carl"), SECOND, THIRD)


def test_nobody_with_a_name_is_left_without_a_face(library: Library) -> None:
    decide(library, Name("Person 3", "Carl"))
    before = libraries.state(open_library(library.root))
    with pytest.raises(StoreError, match=r"Carl: would be known by no face.*undo the naming of"):
        decide(library, Move(track=SECOND, to="Bob"), Move(track=THIRD, to="Ann"))
    assert libraries.state(open_library(library.root)) == before


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS | st.integers(1, 5), max_size=5))
def test_nobody_is_known_by_a_face_that_users_say_is_anothers(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[Request | int]
) -> None:
    root = tmp_path_factory.mktemp("law") / "library"
    library = libraries.put(libraries.new(root), PILOT, CAST)
    for step in [Name("Person 3", "Carl"), *steps]:
        attempt(library, step)
    decided = decisions.read_constraints(open_library(root))
    for one in read.read_characters(open_library(root)):
        for uid in decided.pinned if one.named else ():
            mine = decided.merged.get(one.id, one.id) == decided.pinned[uid]
            assert mine or not any(row in FACES[uid] for row in one.prototypes)


def test_only_episodes_that_matter_are_read(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    finale = libraries.episode("Finale.mkv", shots=(40,), shown=[Shown(0, 20, ANN)])
    libraries.put(open_library(library.root), finale, CAST)
    asked: list[str] = []
    tracks_of = read.read_tracks

    def read_tracks(now: Library, episode: str) -> list[Track]:
        asked.append(episode)
        return tracks_of(now, episode)

    monkeypatch.setattr(read, "read_tracks", read_tracks)
    decide(library, Name("Person 3", "Carl"), Move(track=THIRD, to="unknown"))
    assert asked == [PILOT.id]


def test_whom_nothing_was_said_of_is_as_before(library: Library) -> None:
    def bare(one: Character) -> tuple[object, ...]:
        return one.id, one.label, one.prototypes.tolist(), one.clear_px

    decide(library, Move(track=FIRST, to="Bob"))
    now = {one.id: one for one in read.read_characters(open_library(library.root))}
    assert bare(now[CARL]) == bare(CAST[2])
