"""A video indexed again with other settings: decisions about its tracks carry over."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import admit, again, judging, naming
from indexer.commands import indexing
from indexer.config import Settings
from indexer.diff import Diff
from indexer.errors import StoreError
from indexer.judging import Accept, never
from indexer.looking import Looker
from indexer.records import UNKNOWN, Constraints, Identity
from indexer.request import Move, NotThis
from indexer.store import decisions, read, schema
from indexer.store.decisions import Decision
from indexer.store.library import Library, open_library
from indexer.store.verify import verify
from indexer.store.write import EpisodeWriter
from tests import libraries
from tests.conftest import Indexed, run
from tests.libraries import ANN, BOB, CARL, CAST, Episode, Shown
from tests.test_forget import STICK

USUAL = Settings()

PILOT = libraries.episode(shots=(50,), shown=[Shown(0, 20, ANN), Shown(25, 45, CARL)])
FIRST, SECOND = (one.uid for one in PILOT.tracks)
HEAD = FIRST >> 20


def said(uid: int, who: int) -> Identity:
    return Identity(uid, who, 0.9, 0.9, 0.5, UNKNOWN)


def pin(number: int, uid: int, who: int) -> Decision:
    return Decision(number, "", "move", "", tracks={uid: who}, before={uid: said(uid, UNKNOWN)})


def moved(number: int, renamed: dict[int, int], head: int = HEAD) -> Decision:
    return Decision(number, "", "index", "", again=head, renamed=renamed)


def test_pins_go_with_their_tracks_and_end_with_them() -> None:
    barred = Decision(3, "", "not-this", "", never=((SECOND, BOB),))
    log = [pin(1, FIRST, ANN), pin(2, SECOND, CARL), barred, moved(4, {FIRST: SECOND})]
    assert decisions.constraints(log) == Constraints({SECOND: ANN}, frozenset())
    assert decisions.spoken_of(log) == {SECOND}


def test_another_episode_does_not_move_them() -> None:
    log = [pin(1, FIRST, ANN), moved(2, {}, HEAD + 1)]
    assert decisions.constraints(log).pinned == {FIRST: ANN}


@given(st.permutations(range(5)), st.permutations(range(5)), st.integers(0, 4))
def test_moving_twice_is_moving_once(first: list[int], then: list[int], count: int) -> None:
    uids = [HEAD << 20 | n for n in range(5)]
    pins = [pin(n + 1, uids[n], n + 1) for n in range(count)]
    one = moved(count + 1, {uids[a]: uids[b] for a, b in enumerate(first)})
    two = moved(count + 2, {uids[a]: uids[b] for a, b in enumerate(then)})
    both = moved(count + 1, {uids[a]: uids[then[b]] for a, b in enumerate(first)})
    assert decisions.constraints([*pins, one, two]) == decisions.constraints([*pins, both])


def placed(library: Library, order: list[int]) -> tuple[dict[int, int], Decision | None]:
    """Index the pilot again, tracks in another order: new uids by old ones, and the log's entry."""
    tracks = [PILOT.tracks[n] for n in order]
    traces = [PILOT.traces[n] for n in order]
    uids = [schema.track_uid(PILOT.sha256, n) for n in range(len(order))]
    tracks = [replace(one, uid=uid) for one, uid in zip(tracks, uids, strict=True)]
    changed = replace(PILOT, tracks=tracks, traces=traces)
    with EpisodeWriter(library, PILOT.id, PILOT.sha256) as writer:
        staged = libraries.write(writer, changed)
        found = again.places(library, staged)
        assert found is not None
        log = [pin(1, FIRST, ANN), pin(2, SECOND, CARL)]
        return found, again.moved(log, staged, found)


def test_tracks_are_found_where_their_faces_are(tmp_path: Path) -> None:
    library = libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)
    found, entry = placed(library, [1, 0])
    assert found == {FIRST: SECOND, SECOND: FIRST}
    assert entry is not None
    assert (entry.again, entry.renamed) == (HEAD, found)
    assert "2 of 2" in entry.says
    assert placed(library, [0, 1]) == ({FIRST: FIRST, SECOND: SECOND}, None)


def test_a_track_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    library = libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)
    found, entry = placed(library, [1])
    assert found == {SECOND: FIRST}
    assert entry is not None
    assert "1 of 2" in entry.says


def changes(library: Library, made: Episode, accept: Accept = never) -> Diff:
    """Index an episode into a library as it is now, with its settings; return what changed."""
    encoder = SimpleNamespace(yardstick=STICK)
    looker = cast(Looker, SimpleNamespace(models=SimpleNamespace(encoder=encoder), settings=USUAL))
    now = replace(open_library(library.root), settings=library.settings)
    with EpisodeWriter(now, made.id, made.sha256) as writer:
        libraries.fill(writer, made)
        return admit.admit(now, writer, made.manifest(), made.tracks, looker, accept)[1]


def indexed(library: Library, made: Episode, accept: Accept = never) -> Library:
    """Index an episode likewise; return the library."""
    changes(library, made, accept)
    return open_library(library.root)


@pytest.fixture
def told(tmp_path: Path) -> Library:
    """The pilot, of whose tracks a user says that one is Bob, and the other not Ann."""
    library = libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)
    naming.decide(library, [Move(track=FIRST, to="Bob"), NotThis(track=SECOND, person="Ann")])
    return library


def damage(library: Library, name: str) -> None:
    path = library.episode(PILOT.id) / name
    path.write_bytes(path.read_bytes()[:-20])


DAMAGED = st.sets(st.sampled_from([schema.FACES, schema.MANIFEST, schema.FRAMES]), min_size=1)
OTHER: dict[str, Any] = {"detect": {"every_s": 0.4}}


@settings(max_examples=5)
@given(damaged=DAMAGED)
def test_mending_a_damaged_index_keeps_all_decisions(
    damaged: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = libraries.put(libraries.new(tmp_path_factory.mktemp("again") / "l"), PILOT, CAST)
    naming.decide(library, [Move(track=FIRST, to="Bob"), NotThis(track=SECOND, person="Ann")])
    before = decisions.read_decisions(open_library(library.root))
    for name in damaged:
        damage(library, name)
    after = indexed(library, PILOT)
    assert decisions.read_decisions(after) == before
    assert decisions.read_constraints(after).pinned[FIRST] == BOB
    who = {one.track: one.character for one in read.read_identities(after, PILOT.id)}
    assert who[FIRST] == BOB
    assert verify(after) == []


def test_decisions_that_other_settings_would_lose_are_not_lost_unasked(told: Library) -> None:
    damage(told, schema.FACES)
    other = replace(told, settings=OTHER)
    before = open_library(told.root)
    asked: list[Diff] = []

    def no(changed: Diff) -> bool:
        asked.append(changed)
        return False

    with pytest.raises(StoreError, match=r"decisions about 2 of its tracks would be lost"):
        indexed(other, PILOT, no)
    assert open_library(told.root) == before
    [bob, carl] = asked[0].changes
    assert (bob.track, bob.was, bob.now) == (FIRST, "Bob", "unknown")
    assert (carl.track, carl.was) == (SECOND, "Person 3")
    after = indexed(other, PILOT, judging.always)
    assert decisions.read_constraints(after) == Constraints()
    assert "0 of 2 tracks" in decisions.read_decisions(after)[-1].says


def test_settings_are_known_by_the_tables_if_not_by_the_manifest(told: Library) -> None:
    damage(told, schema.MANIFEST)
    assert again.is_alike(told, PILOT.id, 1.0)
    assert not again.is_alike(replace(told, settings=OTHER), PILOT.id, 1.0)
    assert not again.is_alike(told, PILOT.id, 0.5)
    for name in (schema.TRACKS, schema.FACES, schema.FRAMES, schema.SHOTS):
        damage(told, name)
    assert again.is_alike(replace(told, settings=OTHER), PILOT.id, 1.0)  # nothing speaks against it


def test_who_decided_nothing_may_mend_with_other_settings(tmp_path: Path) -> None:
    library = libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)
    damage(library, schema.FACES)
    assert verify(indexed(replace(library, settings=OTHER), PILOT)) == []


def test_a_damaged_index_is_refused_before_anything_is_looked_at(
    library: Indexed, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    [episode] = read.episodes(open_library(root))
    assert run("name", "Person 1", "Zoe", "--library", root).status == 0
    decided = decisions.read_constraints(open_library(root))
    manifest = root / schema.EPISODES / episode / schema.MANIFEST
    manifest.write_text(manifest.read_text()[:-20])
    other = ("--set", "detect.every_s=0.4")
    done = run("index", library.show.video, "--library", root, *other)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "would be lost with other settings" in done.err
    done = run("index", library.show.video, "--library", root)
    assert done.status == 0, done.err
    assert decisions.read_constraints(open_library(root)) == decided
    assert run("verify", "--library", root).status == 0


def film(step: int) -> Episode:
    """An empty shot, then two people at one place of the picture, of which some frames are read."""
    empty, cut, end = 30 // step, 102 // step, 198 // step
    shown = [Shown(empty, cut - 1, ANN), Shown(cut, end - 1, CARL)]
    times = [frame * step / libraries.RATE for frame in range(end + 1)]
    made = libraries.episode(shots=(empty, cut - empty, end - cut), shown=shown, times=times)
    box = np.array([300, 100, 400, 200], np.float32)
    traces = [replace(one, boxes=np.tile(box, (len(one.frames), 1))) for one in made.traces]
    return replace(made, traces=traces)


@settings(max_examples=6)
@given(before=st.integers(1, 3), after=st.integers(1, 3))
def test_frames_are_the_same_at_the_same_time_however_many_are_decoded(
    before: int, after: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("again") / "library"
    library = libraries.put(libraries.new(root), film(before), CAST)
    made = film(after)
    with EpisodeWriter(library, made.id, made.sha256) as writer:
        found = again.places(library, libraries.write(writer, made))
    assert found == {FIRST: FIRST, SECOND: SECOND}


def test_no_decision_moves_to_another_person_with_the_frames_numbers(tmp_path: Path) -> None:
    library = libraries.put(libraries.new(tmp_path / "library"), film(1), CAST)
    naming.decide(library, [Move(track=FIRST, to="Bob"), NotThis(track=SECOND, person="Ann")])
    before = decisions.read_decisions(open_library(library.root))
    assert decisions.read_decisions(indexed(library, film(2))) == before


def test_lost_decisions_are_counted(told: Library) -> None:
    one = replace(PILOT, tracks=PILOT.tracks[:1], traces=PILOT.traces[:1])
    changed = changes(replace(told, settings=OTHER), one)
    assert (changed.decided, changed.lost) == (2, 1)
    assert "decisions lost: 1 of the 2 tracks that they were about are gone" in "".join(
        indexing._diff_lines(changed)
    )
    changed = changes(told, one)
    assert (changed.decided, changed.lost) == (1, 0)
    assert "decisions lost" not in "".join(indexing._diff_lines(changed))


def test_a_name_given_by_hand_outlives_other_settings(library: Indexed, tmp_path: Path) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    opened = open_library(root)
    stranger = next(one for one in read.read_characters(opened) if not one.named)
    assert run("name", stranger.label, "Dora", "--library", root).status == 0
    before = json.loads(run("people", "--json", "--library", root).out)
    other = ("--set", "detect.every_s=0.4", "--set", "link.max_gap_s=0.6")
    done = run("index", library.show.video, "--library", root, "--json", *other)
    assert done.status == 0, done.err
    [result] = json.loads(done.out)
    assert not result["unchanged"]
    assert result["diff"]["retention"] > 0.98
    after = json.loads(run("people", "--json", "--library", root).out)

    def seconds(rows: list[dict[str, object]]) -> float:
        return next(float(str(row["screen_time_s"])) for row in rows if row["label"] == "Dora")

    assert seconds(after) > 0.9 * seconds(before)
    assert run("verify", "--library", root).status == 0
    opened = open_library(root)
    pinned = decisions.read_constraints(opened).pinned
    uids = {one.track for e in read.episodes(opened) for one in read.read_identities(opened, e)}
    assert pinned.keys() <= uids
