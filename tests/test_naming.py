"""What people decide stays: names, merges, splits, moves, and their undoing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer import naming
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.identify import Cast, Heard, identify
from indexer.records import Constraints
from indexer.request import Merge, Move, Name, NotThis, Request, Split
from indexer.store import decisions, read
from indexer.store.library import Library, open_library
from indexer.store.verify import verify
from tests import libraries
from tests.conftest import run
from tests.indexer.test_recognize import PLAIN, STICK, at_cosine, axis, character, track
from tests.libraries import ANN, BOB, CARL, CAST, Shown

PILOT = libraries.episode(
    shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL), Shown(60, 90, CARL)]
)
FIRST, SECOND, THIRD = (one.uid for one in PILOT.tracks)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)


def shown(library: Library) -> dict[int, str]:
    now = open_library(library.root)
    names = {one.id: one.label for one in read.read_characters(now)}
    return {one.track: names[one.character] for one in read.read_identities(now, PILOT.id)}


def decide(library: Library, *requests: Request) -> None:
    naming.decide(open_library(library.root), requests)


def called(person: str, name: str) -> Name:
    return Name(person, name)


def test_a_name_is_given_to_all_tracks_of_a_person(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    assert shown(library) == {FIRST: "Ann", SECOND: "Carl", THIRD: "Carl"}
    carl = read.find_character(open_library(library.root), "carl")
    assert (carl.id, carl.named) == (CARL, True)
    pinned = decisions.read_constraints(open_library(library.root)).pinned
    assert pinned == {SECOND: CARL, THIRD: CARL}
    assert verify(open_library(library.root)) == []


def test_each_kind_of_decision_by_hand(library: Library) -> None:
    decide(library, Move(track=THIRD, to="Bob"))
    assert shown(library) == {FIRST: "Ann", SECOND: "Person 3", THIRD: "Bob"}
    decide(library, NotThis(track=THIRD, person="Bob"))
    assert shown(library)[THIRD] == "Person 4"
    barred = decisions.read_constraints(open_library(library.root)).barred
    assert barred == {(THIRD, BOB)}
    decide(library, Merge(person="Person 4", into="Ann"))
    assert shown(library) == {FIRST: "Ann", SECOND: "Person 3", THIRD: "Ann"}
    decide(library, Split(person="Ann", tracks=(FIRST,)))
    assert shown(library)[FIRST] == "Person 5"


def test_two_in_one_frame_are_not_merged(library: Library) -> None:
    with pytest.raises(StoreError, match="is on screen together with Ann"):
        decide(library, Merge(person="Person 3", into="Ann"))
    assert decisions.read_decisions(open_library(library.root)) == []


def test_a_decision_undone_is_as_if_it_had_not_been(library: Library) -> None:
    before = shown(library)
    decide(library, called("Person 3", "Carl"))
    naming.undo(open_library(library.root))
    assert shown(library) == before
    assert not read.find_character(open_library(library.root), "Person 3").named
    naming.undo(open_library(library.root), 2)  # the undo itself
    assert shown(library)[SECOND] == "Carl"


REQUESTS = st.one_of(
    st.builds(called, st.sampled_from(["Ann", "Bob", "Person 3"]), st.text()),
    st.builds(
        lambda p, q: Merge(person=p, into=q),
        st.sampled_from(["Bob", "Person 3", "Person 4"]),
        st.sampled_from(["Ann", "Bob"]),
    ),
    st.builds(
        lambda t, p: Move(track=t, to=p),
        st.sampled_from([FIRST, SECOND, THIRD]),
        st.sampled_from(["Ann", "Bob", "unknown"]),
    ),
    st.builds(
        lambda t, p: NotThis(track=t, person=p),
        st.sampled_from([FIRST, SECOND, THIRD]),
        st.sampled_from(["Ann", "Bob", "Person 3"]),
    ),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, max_size=4))
def test_undoing_everything_gives_back_what_was(
    tmp_path_factory: pytest.TempPathFactory, requests: list[Request]
) -> None:
    root = tmp_path_factory.mktemp("law") / "library"
    library = libraries.put(libraries.new(root), PILOT, CAST)
    before = shown(library)
    made = 0
    for request in requests:
        try:
            decide(library, request)
            made += 1
        except StoreError:
            assert len(decisions.read_decisions(open_library(root))) == made
    for _ in range(made):
        naming.undo(open_library(root))
    assert shown(library) == before
    assert decisions.read_constraints(open_library(root)) == Constraints()
    with pytest.raises(StoreError, match="nothing to undo"):
        naming.undo(open_library(root))


def test_all_or_none(library: Library) -> None:
    with pytest.raises(StoreError, match="is nobody in the library"):
        decide(library, called("Person 3", "Carl"), called("Dora", "Dora B"))
    assert shown(library)[SECOND] == "Person 3"


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (called("Person 3", "Ann"), "is somebody's name already"),
        (called("Person 3", " "), "is no name"),
        (called("Person 3", "Person 9"), "is no name"),
        (Move(track=1, to="Ann"), "is not in the library"),
        (Split(person="Ann", tracks=(THIRD,)), "is no track of Ann"),
        (Merge(person="Ann", into="Ann"), "is the same person"),
    ],
)
def test_refusals(library: Library, request_: Request, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        decide(library, request_)


def test_later_judgements_obey() -> None:
    """A pinned track keeps its name against all evidence, and nobody beside it has that name."""
    gallery = [character(1, axis(0)), character(2, axis(1))]
    tracks = [track(1, axis(1)), replace(track(2, at_cosine(axis(0), 0.99)), start_frame=5)]
    chosen = Settings(recognize=PLAIN)
    free = identify(tracks, Cast(gallery, [], 3), STICK, chosen)
    assert [i.character for i in free.identities] == [2, 1]
    decided = Constraints({1: 1}, frozenset())
    bound = identify(tracks, Cast(gallery, [], 3), STICK, chosen, Heard(decided=decided))
    assert [i.character for i in bound.identities] == [1, 3]
    assert bound.identities[0].probability == 1
    never = Constraints({}, frozenset({(1, 2)}))
    assert (
        identify(tracks[:1], Cast(gallery, [], 3), STICK, chosen, Heard(decided=never))
        .identities[0]
        .character
        == 3
    )


def test_a_damaged_log_is_refused(library: Library) -> None:
    decisions.path_of(library).write_text('{"number": 1}\n')
    with pytest.raises(StoreError, match="is damaged"):
        decide(library, called("Person 3", "Carl"))
    assert any("decisions.jsonl" in line for line in verify(open_library(library.root)))


def test_the_commands(library: Library, tmp_path: Path) -> None:
    said = run("name", "Person 3", "Carl", "--library", library.root)
    assert (said.status, said.err) == (0, "")
    assert said.out == "1: Person 3 is Carl (2 tracks, 2.3 s)\n"
    file = tmp_path / "decisions.json"
    wanted = [{"do": "move", "track": THIRD, "to": "Bob"}]
    file.write_text(json.dumps({"schema": "decisions/1", "decisions": wanted}))
    assert run("name", "--from", file, "--library", library.root).status == 0
    assert shown(library)[THIRD] == "Bob"
    log = run("decisions", "--library", library.root)
    assert "Person 3 is Carl" in log.out
    assert run("undo", "--library", library.root).out.startswith("3: not so: track")
    file.write_text('{"decisions": [{"do": "sing"}]}')
    refused = run("name", "--from", file, "--library", library.root)
    assert refused.status == 2
    assert str(file) in refused.err
    assert run("name", "Person 3", "--library", library.root).status == 2


def test_prototypes_of_somebody_named_are_the_best_faces(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    carl = read.find_character(open_library(library.root), "Carl")
    tracks = [one for one in PILOT.tracks if one.uid in (SECOND, THIRD)]
    assert len(carl.prototypes) == sum(len(one.embeddings) for one in tracks) or carl.genuine
    assert np.allclose(np.linalg.norm(carl.prototypes, axis=1), 1, atol=1e-5)
