from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import StoreError
from indexer.records import Bool, Float64, Hit, Repeat
from indexer.store import publish, read, schema
from indexer.store.decisions import Decision
from indexer.store.library import Library, locked, open_library
from indexer.store.query import BRIDGE_S, SceneQuery, people, repeated_s, scenes, similar
from tests import libraries
from tests.libraries import (
    ANN,
    BOB,
    CARL,
    CAST,
    Episode,
    Shown,
    character,
    episode,
    episodes,
    new,
    put,
    unsure,
)


def on_screen(made: Episode, who: int) -> Bool:
    """Return, frame by frame, whether somebody is on screen, short gaps in a shot bridged."""
    seen = np.zeros(len(made.frames), dtype=bool)
    for track, identity in zip(made.tracks, made.identities, strict=True):
        if identity.character == who:
            seen[track.start_frame : track.end_frame + 1] = True
    starts, ends = frame_times(made)
    for shot in made.shots:
        last = None
        for frame in range(shot.start_frame, shot.end_frame + 1):
            if seen[frame]:
                if last is not None and starts[frame] - ends[last] < BRIDGE_S - 1e-6:
                    seen[last:frame] = True
                last = frame
    return seen


def frame_times(made: Episode) -> tuple[Float64, Float64]:
    """Return when each frame appears and when it ends."""
    starts = np.array([one.time_s for one in made.frames])
    end = made.shots[-1].end_s
    return starts, np.append(starts[1:], end)


def runs(made: Episode, wanted: Bool) -> list[tuple[int, int, int]]:
    """Return (shot, first frame, last frame) of every longest run of wanted frames."""
    found: list[tuple[int, int, int]] = []
    for shot in made.shots:
        for frame in range(shot.start_frame, shot.end_frame + 1):
            if wanted[frame]:
                if frame > shot.start_frame and wanted[frame - 1]:
                    found[-1] = (shot.shot, found[-1][1], frame)
                else:
                    found.append((shot.shot, frame, frame))
    return found


def probability_in(made: Episode, who: int, frame: int) -> float:
    """Return the weighted probability of the tracks in the stretch that holds `frame`."""
    shot, first, last = next(
        run for run in runs(made, on_screen(made, who)) if run[1] <= frame <= run[2]
    )
    rows = [
        (track.end_s - track.start_s, identity.probability)
        for track, identity in zip(made.tracks, made.identities, strict=True)
        if identity.character == who
        and (track.shot, first <= track.start_frame <= last) == (shot, True)
    ]
    return sum(weight * p for weight, p in rows) / sum(weight for weight, _ in rows)


def slow_scenes(made: Episode, query: Sequence[Sequence[int]], least_s: float) -> set[object]:
    asked, barred = query
    wanted = np.ones(len(made.frames), dtype=bool)
    for who in asked:
        wanted &= on_screen(made, who)
    for who in barred:
        wanted &= ~on_screen(made, who)
    starts, ends = frame_times(made)
    found: set[object] = set()
    for shot, first, last in runs(made, wanted):
        if ends[last] - starts[first] > least_s - 1e-6:
            score = min(probability_in(made, who, first) for who in asked)
            found.add((shot, round(starts[first], 6), round(ends[last], 6), round(score, 6)))
    return found


def plain(hit: Hit) -> tuple[object, ...]:
    return tuple(round(one, 6) if isinstance(one, float) else one for one in astuple(hit))


def rounded(hits: Sequence[Hit]) -> set[object]:
    return {
        (hit.shot, round(hit.start_s, 6), round(hit.end_s, 6), round(hit.score, 6)) for hit in hits
    }


@settings(max_examples=40)
@given(
    made=episodes(),
    with_=st.lists(st.sampled_from([BOB, CARL]), max_size=1),
    without=st.lists(st.sampled_from([BOB, CARL]), max_size=2),
    least=st.sampled_from([0.0, 0.5, 1.05]),
)
def test_scenes_agree_with_a_look_at_every_frame(
    made: Episode,
    with_: list[int],
    without: list[int],
    least: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    library = put(new(tmp_path_factory.mktemp("scenes")), made, CAST)
    labels = {one.id: one.label for one in CAST}
    query = SceneQuery(
        "ann", tuple(labels[one] for one in with_), tuple(labels[one] for one in without), least
    )
    hits = scenes(library, query)
    assert rounded(hits) == slow_scenes(made, ([ANN, *with_], without), least)
    keys = [(-round(hit.score, 2), -round(hit.end_s - hit.start_s, 6)) for hit in hits]
    assert keys == sorted(keys)
    for hit in hits:
        track = next(one for one in made.tracks if one.uid == hit.track)
        shot = made.shots[hit.shot]
        assert track.shot == hit.shot
        share = (hit.end_s - hit.start_s) / (shot.end_s - shot.start_s)
        assert hit.screen_share == pytest.approx(share)
        assert 0 < hit.screen_share <= 1


@settings(max_examples=12)
@given(episodes())
def test_screen_time_is_the_time_of_the_frames_that_show_somebody(
    tmp_path_factory: pytest.TempPathFactory, made: Episode
) -> None:
    library = put(new(tmp_path_factory.mktemp("people")), made, CAST)
    starts, ends = frame_times(made)
    for row in people(library):
        frames = {
            frame
            for track, identity in zip(made.tracks, made.identities, strict=True)
            if identity.character == row.id
            for frame in range(track.start_frame, track.end_frame + 1)
        }
        assert row.screen_time_s == pytest.approx(sum(ends[one] - starts[one] for one in frames))
        assert row.tracks == sum(one.character == row.id for one in made.identities)
        assert row.episodes == (1 if row.tracks else 0)


@pytest.fixture
def two_episodes(tmp_path: Path) -> tuple[Path, Episode, Episode]:
    """Ann is in both; in the first, Bob joins her, and she is gone for 0.8 s."""
    pilot = episode(
        "Pilot.mp4",
        (100, 50),
        [Shown(0, 39, ANN, 0.9), Shown(60, 99, ANN, 0.7), Shown(20, 79, BOB, 0.95)],
    )
    finale = episode("The Finale.mkv", (60,), [Shown(10, 59, ANN, 0.8), Shown(0, 9, CARL)])
    put(put(new(tmp_path), pilot, CAST), finale, CAST)
    return tmp_path, pilot, finale


def test_scenes_by_hand(two_episodes: tuple[Path, Episode, Episode]) -> None:
    root, pilot, finale = two_episodes
    library = open_library(root)
    both = [
        (pilot.id, 0, pilot.tracks[0].uid, 0.0, 4.0, 0.8, 1.0, "Ann"),
        (finale.id, 0, finale.tracks[0].uid, 0.4, 2.4, 0.8, 0.833333, "Ann"),
    ]
    assert [plain(hit) for hit in scenes(library, SceneQuery("Ann"))] == both
    assert [plain(hit) for hit in scenes(library, SceneQuery("ANN", min_seconds=2.5))] == both[:1]
    only = scenes(library, SceneQuery("Ann", episode="The Finale"))
    assert [plain(hit) for hit in only] == both[1:]
    together = scenes(library, SceneQuery("Ann", with_=("Bob",)))
    assert [plain(hit) for hit in together] == [
        (pilot.id, 0, pilot.tracks[0].uid, 0.8, 3.2, 0.8, 0.6, "Ann")
    ]
    alone = scenes(library, SceneQuery("Ann", without=("Bob",), episode=pilot.id))
    assert [(hit.start_s, hit.end_s, hit.track) for hit in alone] == [
        (0.0, 0.8, pilot.tracks[0].uid),
        (3.2, 4.0, pilot.tracks[1].uid),
    ]
    assert scenes(library, SceneQuery("Ann", without=("ann",))) == []
    assert scenes(library, SceneQuery("Bob", with_=("Person 3",))) == []


def test_the_nearest_tracks_come_first(two_episodes: tuple[Path, Episode, Episode]) -> None:
    root, pilot, finale = two_episodes
    library = open_library(root)
    asked = finale.tracks[1]
    hits = similar(library, asked.embedding, 99)
    assert len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert plain(hits[0]) == (finale.id, 0, asked.uid, 0.0, 0.4, 1.0, 0.166667, "Person 3")
    cosines = {one.uid: one.embedding @ asked.embedding for one in pilot.tracks + finale.tracks}
    assert {hit.track: pytest.approx(hit.score, abs=1e-6) for hit in hits} == cosines
    assert similar(library, asked.embedding, 1) == hits[:1]


def test_an_episode_is_found_by_the_path_of_its_video_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (episode(str(tmp_path / show / "ep.mp4"), [5]) for show in ("one", "two"))
    library = put(put(new(tmp_path / "library"), one, CAST), two, CAST)
    monkeypatch.chdir(tmp_path)
    assert read.find_episode(library, "two/ep.mp4") == two.id
    assert read.find_episode(library, str(tmp_path / "one" / "ep.mp4")) == one.id
    with pytest.raises(StoreError, match=r"more than one episode is called 'ep\.mp4'"):
        read.find_episode(library, "ep.mp4")


def test_an_episode_goes_by_its_id_its_start_or_its_file(
    two_episodes: tuple[Path, Episode, Episode],
) -> None:
    root, pilot, finale = two_episodes
    library = open_library(root)
    for name in (finale.id, "the-f", "The Finale", "The Finale.mkv"):
        assert read.find_episode(library, name) == finale.id
    assert read.find_by_sha256(library, pilot.sha256) == pilot.id
    assert read.find_by_sha256(library, pilot.sha256[:8] + "0" * 56) == ""
    assert read.find_character(library, "person 3").id == CARL


def test_an_empty_library_answers_with_nothing(tmp_path: Path) -> None:
    fresh = new(tmp_path / "not yet")
    assert not any([people(fresh), read.read_characters(fresh), read.episodes(fresh)])
    assert similar(fresh, libraries.unit(np.random.default_rng(1), 1)[0], 5) == []
    library = put(new(tmp_path), episode("Nobody.mp4", (10,)), [])
    assert people(library) == []
    assert similar(library, libraries.unit(np.random.default_rng(1), 1)[0], 5) == []
    library = put(library, episode("Nobody.mp4", (10,)), CAST)
    assert scenes(library, SceneQuery("Ann")) == []
    assert [(row.label, row.screen_time_s) for row in people(library)] == [
        ("Ann", 0.0),
        ("Bob", 0.0),
    ]


def test_what_is_not_there_is_refused_with_what_is(
    two_episodes: tuple[Path, Episode, Episode],
) -> None:
    root, pilot, _ = two_episodes
    library = open_library(root)
    with pytest.raises(StoreError, match=r"no character 'Anne' \(did you mean: Ann"):
        scenes(library, SceneQuery("Anne"))
    with pytest.raises(StoreError, match=r"no character 'Zzz' \(there are: Ann, Bob, Person 3\)"):
        scenes(library, SceneQuery("Ann", without=("Zzz",)))
    with pytest.raises(StoreError, match=r"no episode 'Pilott' \(did you mean: Pilot"):
        scenes(library, SceneQuery("Ann", episode="Pilott"))
    with pytest.raises(StoreError, match=r"no episode ''"):
        read.find_episode(library, "")
    with pytest.raises(StoreError, match=r"no character 'Ann' \(the library holds none yet\)"):
        read.find_character(new(root.parent / "none"), "Ann")
    with pytest.raises(ValueError, match=r"expected \(8,\), got \(3,\)"):
        similar(library, np.zeros(3, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        similar(library, pilot.tracks[0].embedding, 0)
    put(library, pilot, [character(1, "ANN"), character(2, "ann"), character(3, "Bob")])
    library = open_library(root)
    assert read.find_character(library, "ann").id == 2
    with pytest.raises(StoreError, match=r"more than one character .* \(say which: ANN, ann\)"):
        read.find_character(library, "Ann")
    twin = replace(episode("x/Pilot.mp4", (5,)), sha256="0" * 64)
    put(library, twin, [character(1, "ANN"), character(2, "ann"), character(3, "Bob")])
    with pytest.raises(StoreError, match=r"more than one episode .*pilot-00000000"):
        read.find_episode(open_library(root), "Pilot")


def test_the_index_is_rebuilt_if_gone_and_refused_if_it_lies(
    two_episodes: tuple[Path, Episode, Episode],
) -> None:
    root, pilot, _ = two_episodes
    library = open_library(root)
    asked = pilot.tracks[0].embedding
    expected = similar(library, asked, 3)
    path = root / schema.INDEX
    whole = path.read_bytes()
    path.unlink()
    assert similar(library, asked, 3) == expected
    for damaged in (b"", whole[:30], whole[:-4], b"x" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"tracks\.faiss: .* \(delete it: it will be rebuilt"):
            similar(library, asked, 3)
    path.write_bytes(whole)
    (library.episode(pilot.id)).rename(root / "elsewhere")
    with pytest.raises(StoreError, match=r"does not match the tracks of the episodes"):
        similar(library, asked, 3)


def test_a_query_starts_quickly_and_without_the_heavy_libraries() -> None:
    code = (
        "import sys, indexer.store.query, indexer.store.export;"
        "print({'torch', 'av', 'decord', 'pandas', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def with_recap(root: Path) -> tuple[Library, Episode, Episode]:
    """A library of two episodes, the second of which begins with a repeat of the first."""
    first = episode("one.mp4", [50], [Shown(0, 24, ANN)])
    second = episode("two.mp4", [25, 50], [Shown(0, 19, ANN), Shown(25, 44, ANN), Shown(5, 24, 0)])
    library = put(new(root), first, CAST)
    return put(library, second, CAST, [Repeat(0, 0, 12, first.id, 5, 1.5)]), first, second


def test_expected_time_counts_tracks_without_a_name_by_their_chance(tmp_path: Path) -> None:
    pilot = episode("Pilot.mp4", (20, 5), [Shown(0, 9, ANN), Shown(2, 19, BOB), Shown(20, 24, 0)])
    library = put(new(tmp_path), unsure(pilot), CAST)
    rows = {row.label: row for row in people(library)}
    # Ann: 0.4 s by 0.9. Bob: 0.72 s by 0.9, and 0.2 s without a name that are his by 0.35.
    assert rows["Ann"].expected_s == pytest.approx(0.36)
    assert rows["Bob"].expected_s == pytest.approx(0.9 * 0.72 + 0.35 * 0.2)
    assert rows["Bob"].screen_time_s == pytest.approx(0.72)
    stranger = episode("Pilot.mp4", (20, 5), [Shown(2, 19, BOB), Shown(20, 24, CARL)])
    library = put(new(tmp_path / "other"), stranger, CAST)
    expected = {row.label: row.expected_s for row in people(library)}
    assert expected == {"Ann": 0.0, "Bob": pytest.approx(0.648), "Person 3": None}


def test_expected_time_counts_a_mirror_image_once_and_a_merged_name_as_the_other(
    tmp_path: Path,
) -> None:
    twice = unsure(episode("Pilot.mp4", (20,), [Shown(0, 9, ANN), Shown(0, 9, ANN)]))
    [ann, *_] = people(put(new(tmp_path), twice, CAST))
    assert ann.screen_time_s == pytest.approx(0.4)
    assert ann.expected_s == pytest.approx(0.36)
    pilot = episode("Pilot.mp4", (20, 5), [Shown(0, 9, ANN), Shown(2, 19, BOB), Shown(20, 24, 0)])
    library = put(new(tmp_path / "other"), unsure(pilot), CAST)
    before = {row.label: row.expected_s for row in people(library)}
    log = [Decision(1, "", "merge", "Bob is Ann", merged=((BOB, ANN),))]
    with locked(library) as now:
        publish.publish(
            now, episodes=[], characters=CAST, identities={}, next_character_id=9, decisions=log
        )
    after = {row.label: row.expected_s for row in people(open_library(library.root))}
    added = (after["Ann"] or 0) - (before["Ann"] or 0)
    assert added == pytest.approx(0.35 * 0.2)


def test_what_was_shown_before_counts_unless_it_is_left_out(tmp_path: Path) -> None:
    library, first, second = with_recap(tmp_path)
    [ann, *_] = people(library)
    assert (ann.screen_time_s, ann.tracks) == (2.6, 3)
    [ann, *_] = people(library, repeats=False)
    assert (ann.screen_time_s, ann.tracks, ann.episodes) == (1.8, 2, 2)
    assert repeated_s(library, first.id) == 0
    assert repeated_s(library, second.id) == 0.52
    hits = scenes(library, SceneQuery("Ann", episode="two"))
    assert [(hit.shot, hit.start_s) for hit in hits] == [(0, 0.0), (1, 1.0)]
    [hit] = scenes(library, SceneQuery("Ann", episode="two", repeats=False))
    assert (hit.shot, hit.start_s, hit.end_s) == (1, 1.0, 1.8)


def test_a_track_is_a_repeat_if_more_than_half_of_it_is(tmp_path: Path) -> None:
    library, _, second = with_recap(tmp_path)
    # Repeats are 13 of 20 frames, none, and 8 of 20.
    again, fresh, less = (track.uid for track in second.tracks)
    face = second.tracks[0].embedding
    found = [hit.track for hit in similar(library, face, 3)]
    assert again == found[0]
    left = [hit.track for hit in similar(library, face, 3, repeats=False)]
    assert set(left) == {one.uid for one in with_recap(tmp_path / "b")[1].tracks} | {fresh, less}
    assert [hit.track for hit in similar(library, face, 1, repeats=False)] == left[:1]


def test_people_without_repeats_in_an_empty_library(tmp_path: Path) -> None:
    assert people(new(tmp_path / "none"), repeats=False) == []
