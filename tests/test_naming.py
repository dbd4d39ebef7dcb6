"""People's decisions stay: names, merges, splits, moves, and their undoing."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer import evidence, labels, naming
from indexer.admit import admit
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.identify import Cast, Heard, identify
from indexer.looking import Looker
from indexer.records import Constraints, Track, Yardstick
from indexer.request import Merge, Move, Name, NotThis, Request, Split
from indexer.store import decisions, query, read, schema
from indexer.store.library import Library, open_library
from indexer.store.verify import verify
from indexer.store.write import EpisodeWriter
from tests import libraries
from tests.conftest import run
from tests.indexer.test_recognize import (
    CALIBRATION,
    PLAIN,
    STICK,
    at_cosine,
    axis,
    character,
    track,
)
from tests.libraries import ANN, BOB, CARL, CAST, Shown

PILOT = libraries.episode(
    shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL), Shown(60, 90, CARL)]
)
FIRST, SECOND, THIRD = (one.uid for one in PILOT.tracks)


NAMES = st.sampled_from(["Dora", "DORA", "Emil"])


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)


def shown(library: Library) -> dict[int, str]:
    now = open_library(library.root)
    names = {one.id: one.label for one in read.read_characters(now)}
    return {one.track: names[one.character] for one in read.read_identities(now, PILOT.id)}


def decide(library: Library, *requests: Request) -> None:
    naming.decide(open_library(library.root), requests)


def attempt(library: Library, step: Request | int) -> None:
    """Make a decision, or undo the one of that number; it may be refused."""
    with suppress(StoreError):  # no other error may come
        if isinstance(step, int):
            naming.undo(open_library(library.root), step)
        else:
            decide(library, step)


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


def test_a_library_of_before_keeps_what_was_decided(library: Library) -> None:
    decide(library, Move(track=THIRD, to="Bob"), called("Person 3", "Carl"), Merge("Bob", "Ann"))
    before, path = shown(library), library.root / schema.CHARACTERS
    pq.write_table(pq.read_table(path).drop_columns("clear_px"), path)
    assert shown(library) == before
    assert [one.do for one in decisions.read_decisions(open_library(library.root))] == [
        "move",
        "name",
        "merge",
    ]
    naming.undo(open_library(library.root))
    assert shown(library) == {FIRST: "Ann", SECOND: "Carl", THIRD: "Bob"}
    assert "clear_px" in pq.read_table(path).column_names
    assert verify(open_library(library.root)) == []


def test_somebody_unnamed_is_as_clear_as_all_tracks_are(library: Library) -> None:
    def clear() -> dict[str, float]:
        return {c.label: c.clear_px for c in read.read_characters(open_library(library.root))}

    tracks = {one.uid: one for one in PILOT.tracks}
    each = [48 * min(1.0, float(tracks[uid].quality.sum())) for uid in (SECOND, THIRD)]
    decide(library, Move(track=THIRD, to="unknown"))
    assert [clear()["Person 3"], clear()["Person 4"]] == pytest.approx(each)
    decide(library, Move(track=THIRD, to="Person 3"))
    assert [clear()["Person 3"], clear()["Person 4"]] == pytest.approx([sum(each), 0])
    decide(library, called("Person 3", "Carl"))
    carl = read.find_character(open_library(library.root), "Carl")
    assert carl.clear_px == 48 * len(carl.prototypes)


def test_a_number_is_given_once_so_that_every_name_can_be_taken_back(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    decide(library, Split(person="Ann", tracks=(FIRST,)))
    assert shown(library)[FIRST] == "Person 4"
    naming.undo(open_library(library.root), 1)
    assert shown(library) == {FIRST: "Person 4", SECOND: "Person 3", THIRD: "Person 3"}
    naming.undo(open_library(library.root), 2)
    decide(library, Move(track=THIRD, to="unknown"))
    assert shown(library)[THIRD] == "Person 5"


def index(library: Library, made: libraries.Episode) -> Library:
    """Add an episode as indexing does, and return the new state of the library."""
    stick = SimpleNamespace(encoder=SimpleNamespace(yardstick=Yardstick.of(CALIBRATION, 8)))
    looker = cast("Looker", SimpleNamespace(models=stick, settings=Settings(recognize=PLAIN)))
    now = open_library(library.root)
    with EpisodeWriter(now, made.id, made.sha256) as writer:
        libraries.fill(writer, made)
        admit(now, writer, made.manifest(), made.tracks, looker, lambda _: True)
    return open_library(library.root)


def test_somebody_unnamed_is_known_by_all_that_other_episodes_show(library: Library) -> None:
    """However often one episode is indexed, it does not count itself."""
    pilot = {one.uid: one for one in PILOT.tracks}
    finale = libraries.episode("Finale.mp4", (50,), [Shown(0, 20, 0)])
    carl = [pilot[SECOND], pilot[THIRD]]
    seen = replace(finale.tracks[0], embedding=evidence.known_by(carl)[0][0])
    finale = replace(finale, tracks=[seen])

    def known() -> tuple[list[float], float]:
        person = read.find_character(open_library(library.root), "Person 3")
        return person.prototypes[0].tolist(), person.clear_px

    def by(tracks: list[Track]) -> tuple[object, object]:
        mean, clear = evidence.known_by(tracks)
        return pytest.approx(mean[0].tolist(), abs=1e-5), pytest.approx(clear)

    for _ in range(2):
        now = index(library, finale)
        assert [one.character for one in read.read_identities(now, finale.id)] == [CARL]
        assert known() == by(carl)
    index(library, libraries.episode("Epilogue.mp4", (50,), [Shown(0, 20, 0)]))
    assert known() == by([*carl, seen])


def test_nor_does_indexing_give_it_again(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    now = index(library, libraries.episode("Finale.mp4", (50,), [Shown(0, 20, 0), Shown(5, 30, 0)]))
    labels_now = [one.label for one in read.read_characters(now)]
    assert labels_now == ["Ann", "Bob", "Carl", "Person 4", "Person 5"]
    naming.undo(now)
    assert shown(library)[THIRD] == "Person 3"
    assert verify(open_library(library.root)) == []


def test_a_name_that_is_somebody_elses_by_now_does_not_come_back(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    naming.undo(open_library(library.root))
    decide(library, called("Bob", "CARL"))
    before = decisions.path_of(library).read_bytes()
    with pytest.raises(
        StoreError, match=r'somebody else has now .*first give .*: name "Carl" NAME'
    ):
        naming.undo(open_library(library.root), 2)
    decide(library, called("Ann", "Bob"))
    with pytest.raises(StoreError, match="undo 3: would give back the name Bob"):
        naming.undo(open_library(library.root), 3)
    assert decisions.path_of(library).read_bytes().startswith(before)
    decide(library, called("Bob", "Dora"))
    naming.undo(open_library(library.root), 3)
    assert [c.label for c in read.read_characters(open_library(library.root))] == [
        "Dora",
        "Bob",
        "Person 3",
    ]


def test_whichever_way_round_two_are_merged_the_name_stays(library: Library) -> None:
    decide(library, Move(track=THIRD, to="unknown"))
    decide(library, Merge(person="Ann", into="Person 4"))
    assert shown(library) == {FIRST: "Ann", SECOND: "Person 3", THIRD: "Ann"}
    decide(library, Merge(person="Bob", into="Ann"))
    with pytest.raises(StoreError, match=r"Bob: was merged into Ann \(use Ann"):
        decide(library, Move(track=SECOND, to="Bob"))
    with pytest.raises(StoreError, match="'Person 4': is nobody"):
        decide(library, called("Person 4", "Dora"))


def test_who_has_neither_name_nor_track_is_not_listed_nor_met(library: Library) -> None:
    decide(library, Split(person="Person 3", tracks=(THIRD, THIRD)))
    assert decisions.read_decisions(open_library(library.root))[-1].says == (
        "1 track of Person 3 is Person 4"
    )
    naming.undo(open_library(library.root))
    now = open_library(library.root)
    assert [one.label for one in query.people(now)] == ["Person 3", "Ann", "Bob"]
    with pytest.raises(StoreError, match="no character 'Person 4'"):
        read.find_character(now, "Person 4")
    assert verify(now) == []
    ghost = read.read_characters(now)[-1]
    assert (ghost.label, ghost.prototypes.shape) == ("Person 4", (0, libraries.DIMENSION))
    met = identify(
        [track(1, axis(0))],
        Cast([replace(ghost, prototypes=np.zeros((0, 8), np.float32))], [], 9, next_person=5),
        STICK,
        Settings(recognize=PLAIN),
    )
    assert [(c.label, len(c.prototypes)) for c in met.characters] == [
        ("Person 4", 0),
        ("Person 5", 1),
    ]
    naming.undo(now, 2)
    assert shown(library)[THIRD] == "Person 4"
    assert len(read.find_character(open_library(library.root), "Person 4").prototypes) == 1


def test_a_name_does_not_come_back_to_somebody_whom_no_track_shows(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    naming.undo(open_library(library.root))
    decide(library, Move(track=SECOND, to="Bob"), Move(track=THIRD, to="Bob"))
    with pytest.raises(
        StoreError, match=r"undo 2: would give the name Carl to somebody who has no"
    ):
        naming.undo(open_library(library.root), 2)
    naming.undo(open_library(library.root), 3)
    naming.undo(open_library(library.root), 2)
    assert shown(library) == {FIRST: "Ann", SECOND: "Carl", THIRD: "Bob"}


def test_somebody_is_found_as_spelt_before_any_other_case(tmp_path: Path) -> None:
    """As in libraries where stills were once added under a name in another case."""
    people = [libraries.character(ANN, "louis"), libraries.character(BOB, "Louis"), CAST[2]]
    library = libraries.put(libraries.new(tmp_path / "library"), PILOT, people)
    decide(library, Merge(person="louis", into="Louis"))
    assert shown(library)[FIRST] == "Louis"
    library = libraries.put(libraries.new(tmp_path / "two"), PILOT, people)
    with pytest.raises(
        StoreError, match=r"'LOUIS': is the label of several people \(say which: Louis, louis"
    ):
        decide(library, called("LOUIS", "Lou"))


REQUESTS = st.one_of(
    st.builds(called, st.sampled_from(["Ann", "Bob", "Person 3"]), st.text() | NAMES),
    st.builds(
        lambda p, t: Split(person=p, tracks=tuple(t)),
        st.sampled_from(["Ann", "Bob", "Person 3"]),
        st.lists(st.sampled_from([FIRST, SECOND, THIRD]), max_size=2),
    ),
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


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS | st.integers(1, 6), max_size=7))
def test_whatever_is_decided_and_undone_a_number_is_one_persons(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Request | int]
) -> None:
    root = tmp_path_factory.mktemp("law") / "library"
    library = libraries.put(libraries.new(root), PILOT, CAST)
    owners: dict[str, int] = {}
    for step in steps:
        attempt(library, step)
        for one in read.read_characters(open_library(root)):
            if labels.is_person(one.label):
                assert owners.setdefault(one.label, one.id) == one.id
            assert len(one.prototypes) or not one.named
    assert verify(open_library(root)) == []


def test_all_or_none(library: Library) -> None:
    with pytest.raises(StoreError, match="is nobody in the library"):
        decide(library, called("Person 3", "Carl"), called("Dora", "Dora B"))
    assert shown(library)[SECOND] == "Person 3"


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (called("Person 3", "Ann"), "is already somebody's name"),
        (called("Person 3", " "), "cannot be given as a name"),
        (called("Person 3", "Person 9"), "cannot be given as a name"),
        (called("Person 3", "Unknown"), "cannot be .* show nobody known"),
        (Split(person="Ann", tracks=()), "names no track"),
        (Move(track=1, to="Ann"), "is not in the library"),
        (Split(person="Ann", tracks=(THIRD,)), "is not a track of Ann"),
        (Merge(person="Ann", into="Ann"), "is that person already"),
    ],
)
def test_refusals(library: Library, request_: Request, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        decide(library, request_)


def test_later_judgements_obey() -> None:
    """A pinned track keeps its name against all evidence, and nobody beside it has that name."""
    gallery = [character(1, axis(0)), character(2, axis(1))]
    tracks = [track(1, axis(1)), replace(track(2, at_cosine(axis(0), 0.9)), start_frame=5)]
    chosen = Settings(recognize=PLAIN)
    free = identify(tracks, Cast(gallery, [], 3), STICK, chosen)
    assert [i.character for i in free.identities] == [2, 1]
    decided = Constraints({1: 1}, frozenset())
    bound = identify(tracks, Cast(gallery, [], 3), STICK, chosen, Heard(decided=decided))
    assert [i.character for i in bound.identities] == [1, 3]
    assert bound.identities[0].probability == 1
    mirrored = [tracks[0], replace(track(2, axis(0)), start_frame=5)]
    bound = identify(mirrored, Cast(gallery, [], 3), STICK, chosen, Heard(decided=decided))
    assert [i.character for i in bound.identities] == [1, 1]  # unless it can hardly be another
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


def test_decisions_that_are_lost_are_missed(library: Library) -> None:
    decide(library, called("Person 3", "Carl"))
    decide(library, Move(track=THIRD, to="Bob"))
    path = decisions.path_of(library)
    whole, known = path.read_bytes(), (library.root / "library.json").read_bytes()
    first = whole.splitlines(keepends=True)[0]
    for text, problem in [
        (first, "is damaged: it has only 1 of 2 decisions"),
        (whole[:-9], "is damaged: it has only 1 of 2 decisions"),
        (whole.replace(b"Carl", b"Karl"), "is damaged: it has changed since it was written"),
        (b"", "is damaged: it has only 0 of 2 decisions"),
        (None, "is missing, although 2 decisions were made"),
    ]:
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_bytes(text)
        for act in (lambda now: decide(now, called("Ann", "Dora")), naming.undo):
            with pytest.raises(StoreError, match=rf"{problem} \(restore it from a copy"):
                act(library)
        assert [problem in line for line in verify(open_library(library.root))] == [True]
        assert (library.root / "library.json").read_bytes() == known
    path.write_bytes(first)
    told = json.loads(known)
    del told["decisions"]  # as the message's remedy says
    (library.root / "library.json").write_text(json.dumps(told))
    assert verify(open_library(library.root)) == []
    decide(library, called("Ann", "Dora"))
    assert open_library(library.root).decisions.count == 2


def test_a_log_read_while_another_run_publishes_is_read_again(library: Library) -> None:
    then = open_library(library.root)
    decide(library, called("Person 3", "Carl"))
    assert [one.number for one in decisions.read_decisions(then)] == [1]


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
    file.write_text('{"schema": "decisions/1", "decisions": []}')
    none = run("name", "--from", file, "--library", library.root)
    assert (none.status, none.out) == (0, "no decisions in the file\n")
    file.write_text("no JSON")
    broken = run("name", "--from", file, "--library", library.root)
    assert broken.status == 2
    assert "is not a file of decisions: Invalid JSON" in broken.err
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
