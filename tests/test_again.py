"""A video indexed again with other settings: decisions about its tracks carry over."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from indexer import again
from indexer.records import UNKNOWN, Constraints, Identity
from indexer.store import decisions, read, schema
from indexer.store.decisions import Decision
from indexer.store.library import Library, open_library
from indexer.store.write import EpisodeWriter
from tests import libraries
from tests.conftest import Indexed, run
from tests.libraries import ANN, BOB, CARL, CAST, Shown

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
