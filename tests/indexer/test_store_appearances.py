from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from indexer.errors import StoreError
from indexer.store import appearances, read, schema
from indexer.store.appearances import Appearance
from indexer.store.library import Library, open_library
from indexer.store.publish import publish
from indexer.store.verify import verify
from tests.libraries import (
    ANN,
    BOB,
    CARL,
    CAST,
    Episode,
    Shown,
    episode,
    episodes,
    new,
    put,
    unsure,
)

PILOT = episode("Pilot.mp4", (20, 5), [Shown(0, 9, ANN), Shown(2, 19, BOB), Shown(20, 24, 0)])
SECOND = episode("Second.mp4", (5,), [Shown(0, 4, CARL)])


def slow(library: Library) -> list[Appearance]:
    """Return everybody's appearances, table by table and row by row."""
    found = []
    for one in read.episodes(library):
        shots = {shot.shot: shot for shot in read.read_shots(library, one)}
        tracks = {track.uid: track for track in read.read_tracks(library, one)}
        stretches = read.read_repeats(library, one)
        shown = {f for again in stretches for f in range(again.start_frame, again.end_frame + 1)}
        for who in read.read_identities(library, one):
            track = tracks[who.track]
            shot = shots[track.shot]
            found.append(
                Appearance(
                    track=track.uid,
                    shot=track.shot,
                    start_s=track.start_s,
                    end_s=track.end_s,
                    character=who.character,
                    likely=who.runner_up if who.reason else 0,
                    chance=who.chance,
                    probability=who.probability,
                    shot_start_s=shot.start_s,
                    shot_end_s=shot.end_s,
                    repeat=2 * len(shown & set(range(track.start_frame, track.end_frame + 1)))
                    > track.end_frame + 1 - track.start_frame,
                )
            )
    return sorted(found, key=lambda one: (one.start_s, one.track))


def kept(library: Library, monkeypatch: pytest.MonkeyPatch) -> list[Appearance]:
    """Return the appearances in the file, without reading the episodes' tables."""
    with monkeypatch.context() as patch:
        patch.setattr(appearances, "gathered", None)
        return appearances.records(appearances.of_library(library))


@settings(max_examples=12)
@given(first=episodes(), second=episodes())
def test_the_file_says_what_the_tables_say(
    first: Episode, second: Episode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = put(new(tmp_path_factory.mktemp("seen")), SECOND, CAST)
    for made in (first, second):  # sometimes the same episode again
        library = put(library, made, CAST)
        with pytest.MonkeyPatch.context() as patch:
            assert kept(library, patch) == slow(library)


def test_by_hand(tmp_path: Path) -> None:
    library = put(new(tmp_path), PILOT, CAST)
    ann, bob, nobody = (one.uid for one in PILOT.tracks)
    assert appearances.of_episode(library, PILOT.id) == [
        Appearance(ann, 0, 0.0, 0.4, ANN, 0.9, 0.0, 0.8, repeat=False),
        Appearance(bob, 0, 0.08, 0.8, BOB, 0.9, 0.0, 0.8, repeat=False),
        Appearance(nobody, 1, 0.8, 1.0, 0, 0.9, 0.8, 1.0, repeat=False),
    ]


def test_a_file_from_before_there_was_a_chance_is_gathered_anew(tmp_path: Path) -> None:
    library = put(new(tmp_path), unsure(PILOT), CAST)
    path = tmp_path / schema.APPEARANCES
    now = pq.read_table(path)
    pq.write_table(now.drop_columns(["likely", "chance"]), path)
    assert appearances.records(appearances.of_library(library)) == slow(library)
    assert [one.likely for one in slow(library)] == [0, 0, BOB]
    assert verify(library) == []


def test_nothing_published_is_nothing_seen(tmp_path: Path) -> None:
    assert appearances.of_library(new(tmp_path / "none")).num_rows == 0
    assert appearances.of_library(put(new(tmp_path), episode("Empty.mp4"), [])).num_rows == 0


def test_a_file_of_another_state_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = put(new(tmp_path), PILOT, CAST)
    path = tmp_path / schema.APPEARANCES
    stale = path.read_bytes()
    library = put(library, SECOND, CAST)
    path.write_bytes(stale)
    expected = slow(library)
    assert len(expected) == 4
    for _ in ("stale", "gone"):
        assert appearances.records(appearances.of_library(library)) == expected
        assert verify(library) == []
        path.unlink(missing_ok=True)
    library = put(library, SECOND, CAST)
    assert kept(library, monkeypatch) == expected
    shutil.rmtree(library.episode(SECOND.id))
    left = [one for one in expected if one.track != SECOND.tracks[0].uid]
    assert appearances.records(appearances.of_library(library)) == left


def test_a_damaged_file_is_refused_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = put(new(tmp_path), PILOT, CAST)
    path = tmp_path / schema.APPEARANCES
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        StoreError, match=r"appearances\.parquet: .* \(delete it: it will be rebuilt"
    ):
        appearances.of_library(library)
    assert any("appearances.parquet: is damaged" in line for line in verify(library))
    library = publish(library, episodes=[], characters=CAST, identities={}, next_character_id=9)
    assert kept(library, monkeypatch) == slow(open_library(tmp_path))


def test_a_query_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    put(new(tmp_path), PILOT, CAST)
    code = """
import sys
from indexer.__main__ import main

main(["query", "--character", "Ann", "--library", sys.argv[1]])
print({"torch", "av", "cv2", "pandas", "duckdb", "faiss", "pydantic"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
