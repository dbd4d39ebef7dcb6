from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.config import RepeatSettings
from indexer.records import UNKNOWN, Constraints, Identity, Repeat
from indexer.reuse import carried, identities_of, in_order, known_from, repeated, repeated_by
from indexer.store import read, schema
from indexer.store.library import Library, locked, open_library
from indexer.store.publish import publish
from indexer.store.verify import verify
from indexer.store.write import EpisodeWriter
from tests.libraries import ANN, BOB, CAST, Episode, Shown, episode, new, put, write

SETTINGS = RepeatSettings()
HASHES = np.random.default_rng(7).integers(1, 1 << 63, 300).tolist()
FIRST = episode("one.mp4", [40, 60], [Shown(40, 99, ANN), Shown(0, 39, BOB)], hashes=HASHES[:100])


def recap(name: str, start: int, count: int, new_from: int) -> Episode:
    """An episode that begins with a part of `FIRST`, by its hashes, with the same face in it."""
    hashes = [*HASHES[start : start + count], *HASHES[new_from : new_from + 50]]
    made = episode(name, [count, 50], [Shown(0, count - 1, 0)], hashes=hashes)
    boxes = FIRST.traces[0].boxes[start - 40 : start - 40 + count]
    return replace(made, traces=[replace(made.traces[0], boxes=boxes)])


def found(library: Library, made: Episode) -> list[Repeat]:
    """The repeats in an episode that is about to be published."""
    with EpisodeWriter(library, made.id, made.sha256) as writer:
        return repeated(library, write(writer, made), SETTINGS)


def test_what_the_library_showed_is_found_and_the_track_known(tmp_path: Path) -> None:
    library = put(new(tmp_path), FIRST, CAST)
    made = recap("two.mp4", 50, 30, 100)
    [one] = found(library, made)
    [mine], [ann] = made.tracks, FIRST.tracks[:1]
    expected = Repeat(0, 0, 29, FIRST.id, 50, 0.0, (mine.uid,), (ann.uid,))
    assert one == expected
    said = known_from([one], identities_of(library, [one]))
    assert said == {mine.uid: replace(FIRST.identities[0], track=mine.uid)}
    library = put(library, made, CAST, [one])
    assert read.read_repeats(library, made.id) == [expected]


def test_a_third_time_is_a_repeat_of_the_first(tmp_path: Path) -> None:
    library = put(new(tmp_path), FIRST, CAST)
    for name, new_from in (("two.mp4", 100), ("a third.mp4", 150)):
        made = recap(name, 50, 30, new_from)
        again = found(library, made)
        assert [one.episode for one in again] == [FIRST.id]
        library = put(library, made, CAST, again)


def test_what_repeats_an_episode_is_not_earlier_when_it_is_indexed_again(tmp_path: Path) -> None:
    library = put(new(tmp_path), FIRST, CAST)
    made = recap("two.mp4", 50, 30, 100)
    library = put(library, made, CAST, found(library, made))
    assert found(library, FIRST) == []
    assert [one.episode for one in found(library, made)] == [FIRST.id]


def test_tracks_are_matched_anew_when_what_is_repeated_is_indexed_again(tmp_path: Path) -> None:
    library = put(new(tmp_path), FIRST, CAST)
    made = recap("two.mp4", 50, 30, 100)
    library = put(library, made, CAST, found(library, made))
    swapped = replace(
        episode("one.mp4", [40, 60], [Shown(0, 39, BOB), Shown(40, 99, ANN)], hashes=HASHES[:100]),
        traces=FIRST.traces[::-1],
    )
    with EpisodeWriter(library, swapped.id, swapped.sha256) as writer:
        staged = write(writer, swapped)
        staged = replace(staged, repeated_by=repeated_by(library, staged, SETTINGS))
        with locked(library) as current:
            who = {swapped.id: swapped.identities}
            publish(
                current, episodes=[staged], characters=CAST, identities=who, next_character_id=4
            )
    [again] = read.read_repeats(open_library(tmp_path), made.id)
    assert (again.tracks, again.their_tracks) == (
        (made.tracks[0].uid,),
        (swapped.tracks[1].uid,),
    )
    assert verify(open_library(tmp_path)) == []


def test_pictures_are_sought_anew_when_other_frames_are_decoded(tmp_path: Path) -> None:
    library = put(new(tmp_path), FIRST, CAST)
    made = recap("two.mp4", 50, 30, 100)
    library = put(library, made, CAST, found(library, made))

    def anew(source: Episode) -> list[Repeat]:
        with EpisodeWriter(library, source.id, source.sha256) as writer:
            return repeated_by(library, write(writer, source), SETTINGS)[made.id]

    times = [frame / 25 for frame in range(101)]
    shown = [Shown(20, 49, ANN), Shown(0, 19, BOB)]
    half = episode("one.mp4", [20, 30], shown, times[::2], HASHES[:100:2])
    assert anew(half) == []  # frame 50, where the repeat began, is after its end
    shown = [Shown(30, 89, ANN), Shown(0, 29, BOB)]
    late = episode("one.mp4", [30, 60], shown, times[10:], HASHES[10:100])
    traces = [replace(late.traces[0], boxes=FIRST.traces[0].boxes), late.traces[1]]
    [one] = anew(replace(late, traces=traces))
    mine, ann = made.tracks[0].uid, late.tracks[0].uid
    assert one == Repeat(0, 0, 29, FIRST.id, 40, 0.0, (mine,), (ann,))


def test_an_empty_library_and_a_damaged_episode_show_nothing(tmp_path: Path) -> None:
    assert found(new(tmp_path / "none"), FIRST) == []
    library = put(new(tmp_path / "some"), FIRST, CAST)
    made = recap("two.mp4", 50, 30, 100)
    (library.episode(FIRST.id) / schema.FACES).unlink()
    [one] = found(library, made)
    assert one.tracks == ()
    (library.episode(FIRST.id) / schema.FRAMES).unlink()
    assert found(library, made) == []


def test_what_repeats_others_comes_after_them() -> None:
    def of(name: str) -> Repeat:
        return Repeat(0, 0, 9, name, 0, 0.0)

    assert in_order({}) == []
    assert in_order({"b": [], "a": []}) == ["a", "b"]
    assert in_order({"a": [of("c")], "b": [of("gone")], "c": [of("d")], "d": []}) == [
        "b",
        "d",
        "c",
        "a",
    ]
    assert in_order({"a": [of("b")], "b": [of("a")]}) == ["a", "b"]  # only in hand-made data


def test_only_who_is_known_is_taken_over() -> None:
    one = Repeat(0, 0, 9, "a", 0, 0.0, (1, 2), (11, 12))
    known = Identity(12, 5, 0.9, 0.8, 0.7, UNKNOWN)
    assert known_from([one], {12: known}) == {2: replace(known, track=2)}
    assert known_from([], {12: known}) == {}


def test_a_repeat_of_what_is_not_in_the_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected .* to repeat others, got {'gone'}"):
        put(new(tmp_path), FIRST, CAST, [Repeat(0, 0, 9, "gone", 0, 0.0)])
    assert not (tmp_path / schema.LIBRARY).exists()


def test_what_users_decided_about_a_track_holds_for_its_repeats_unless_they_decided_there() -> None:
    one = Repeat(0, 0, 9, "a", 0, 0.0, (1, 2, 3), (11, 12, 13))
    decided = Constraints({11: 7, 12: 8, 2: 9}, frozenset({(12, 9), (13, 5), (13, 6), (3, 4)}))
    found = carried(decided, [one])
    assert found.pinned == {11: 7, 12: 8, 1: 7, 2: 9}
    assert found.barred == decided.barred | {(3, 5), (3, 6)}  # of 2 a user said that it is 9
    assert carried(decided, []) == decided
