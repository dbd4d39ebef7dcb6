from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import affinity, cluster, evidence
from indexer.affinity import Affinity
from indexer.clothes import COLOURS
from indexer.config import ClusterSettings
from indexer.records import Calibration, Character, Float32, Identity, Line, Track, Yardstick

YES, NO = (3.0, *[0.0] * 7), (-3.0, *[0.0] * 7)
_LINES = (Line(0.92, 40.0), Line(0.9, 100.0))
CALIBRATION = Calibration((20.0, 80.0), _LINES, _LINES, 0.95, 0.8)
STICK = Yardstick.of(CALIBRATION, 2)


def direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def track(uid: int, angle: float, start: int, end: int, *, width: float = 80.0) -> Track:
    vector = direction(angle)
    return Track(
        uid=uid,
        shot=0,
        start_frame=start,
        end_frame=end,
        start_s=start / 25,
        end_s=(end + 1) / 25,
        detections=end - start + 1,
        score=0.99,
        width_px=width,
        quality=np.full(2, width / 96, np.float32),
        exemplar_frames=np.array([start, end]),
        embeddings=np.stack([vector, vector]),
        embedding=vector,
        clothes=np.zeros(COLOURS, np.float32),
    )


def grouped(tracks: list[Track]) -> list[int]:
    apart = affinity.cooccurring(tracks)
    return cluster.group(related(tracks).odds, apart, ClusterSettings()).tolist()


def related(tracks: list[Track]) -> Affinity:
    none = np.zeros((0, 2), np.float32)
    return affinity.relate(tracks, affinity.cooccurring(tracks), none, STICK)


spans = st.tuples(st.integers(0, 300), st.integers(0, 50), st.floats(0, 1.5))


@given(
    st.lists(spans, max_size=14),
    st.sampled_from(["hac", "c1c", "finch"]),
)
def test_two_on_screen_together_are_never_one_person(
    people: list[tuple[int, int, float]], method: Literal["hac", "c1c", "finch"]
) -> None:
    """At 25 fps: together for 8 frames or more, or for half of those in which either is seen."""
    tracks = [track(i, angle, start, start + long) for i, (start, long, angle) in enumerate(people)]
    apart = affinity.cooccurring(tracks)
    groups = cluster.group(related(tracks).odds, apart, ClusterSettings(method=method))
    assert groups.shape == (len(tracks),)
    frames = [set(range(one.start_frame, one.end_frame + 1)) for one in tracks]
    for i in range(len(tracks)):
        for j in range(i):
            shared, either = len(frames[i] & frames[j]), len(frames[i] | frames[j])
            assert apart[i, j] == apart[j, i] == (shared >= 8 or 2 * shared > either)
            assert not (apart[i, j] and groups[i] == groups[j])


def test_alike_tracks_are_one_person_and_unlike_ones_are_not() -> None:
    tracks = [track(0, 0.0, 0, 9), track(1, 1.0, 20, 29), track(2, 0.1, 40, 49)]
    assert grouped(tracks) == [0, 1, 0]


def test_alike_tracks_in_one_frame_stay_two_even_if_a_third_would_join_them() -> None:
    tracks = [track(0, 0.0, 0, 9), track(1, 0.02, 1, 10), track(2, 0.01, 40, 49)]
    groups = grouped(tracks)
    assert groups[0] != groups[1]
    assert groups[2] in groups[:2]


def test_narrow_faces_that_look_alike_are_not_enough() -> None:
    angle = float(np.arccos(0.935))
    assert grouped([track(0, 0, 0, 9), track(1, angle, 20, 29)]) == [0, 0]
    narrow = [track(0, 0, 0, 9, width=20), track(1, angle, 20, 29, width=20)]
    assert grouped(narrow) == [0, 1]


def test_nobody_is_no_group() -> None:
    assert grouped([]) == []
    assert grouped([track(0, 0, 0, 9)]) == [0]


def people(  # noqa: PLR0913 - the last by name
    tracks: list[Track],
    known: list[Character],
    next_id: int,
    *,
    barred: bool = False,
    stick: Yardstick = STICK,
    groups: list[int] | None = None,
    least: float = 0.0,
) -> cluster.People:
    return cluster.people(
        tracks,
        np.array(grouped(tracks) if groups is None else groups),
        cluster.Known(known, np.full((len(tracks), len(known)), barred), next_id),
        related(tracks),
        stick,
        ClusterSettings(min_group_log_odds=least),
    )


def test_people_are_numbered_by_screen_time_and_met_again() -> None:
    tracks = [track(0, 0.0, 0, 9), track(1, 1.0, 20, 99)]
    first = people(tracks, [], 1)
    assert [(c.id, c.label, c.named) for c in first.new] == [
        (1, "Person 1", False),
        (2, "Person 2", False),
    ]
    assert [i.character for i in first.identities] == [2, 1]
    later = people([track(9, 0.05, 0, 9), track(10, 2.0, 20, 29)], list(first.new), 3)
    assert [i.character for i in later.identities] == [2, 3]
    assert [c.label for c in later.new] == ["Person 3"]
    assert all(0 <= i.probability <= 1 for i in [*first.identities, *later.identities])


def test_a_person_who_is_in_the_frame_already_is_not_met_again() -> None:
    first = people([track(0, 0.0, 0, 9)], [], 1)
    again = people([track(9, 0.0, 0, 9)], list(first.new), 2, barred=True)
    assert [(c.id, c.label) for c in again.new] == [(2, "Person 2")]


def cosine(value: float) -> float:
    return float(np.arccos(value))


def test_narrow_faces_of_another_show_are_nobody_met_before() -> None:
    """By hand: for narrow faces 40 * (0.915 - 0.92) < 0, for clear ones 100 * (0.915 - 0.9) > 0."""
    for width, met in ((20.0, [2]), (80.0, [1])):
        first = people([track(0, 0.0, 0, 9, width=width / 2)], [], 1)
        other = [track(9, cosine(0.915), 0, 9, width=width / 2)]
        later = people(other, list(first.new), 2)
        assert [i.character for i in later.identities] == met


def test_the_more_are_known_the_more_it_takes_to_be_one_of_them() -> None:
    """By hand: 40 * (0.93 - 0.92) = 0.4; minus log 2 = 0.7 it is less likely than not."""
    one = people([track(0, 0.0, 0, 9, width=5)], [], 1).new
    two = people([track(0, 0.0, 0, 9, width=5), track(1, 2.0, 20, 24)], [], 1)
    other = [track(9, cosine(0.93), 0, 9, width=5)]
    assert [i.character for i in people(other, list(one), 9).identities] == [1]
    assert [i.character for i in people(other, list(two.new), 9).identities] == [9]


@pytest.mark.parametrize(
    ("pairs", "helped", "met"),
    [(NO, YES, True), (YES, NO, False), (YES, (), True), (NO, (), False)],
)
def test_who_was_met_is_told_by_what_pooled_tracks_say(
    pairs: tuple[float, ...], helped: tuple[float, ...], *, met: bool
) -> None:
    """The coefficients make the log-odds 3 or -3, whatever is seen."""
    first = people([track(0, 0.0, 0, 9)], [], 1)
    stick = replace(STICK, pairs=pairs, helped=helped)
    later = people([track(9, 0.3, 0, 9)], list(first.new), 2, stick=stick)
    assert [one.character for one in later.identities] == [1 if met else 2]


def who(found: cluster.People) -> list[int]:
    return [one.character for one in found.identities]


def test_groups_that_are_likely_one_as_a_whole_are_one_person() -> None:
    """The coefficients make the log-odds 3, whatever is seen, except for two in one frame."""
    tracks = [track(0, 0.0, 0, 9), track(1, 0.1, 20, 29), track(2, 0.2, 0, 29)]
    stick = replace(STICK, pairs=NO, helped=YES)
    found = people(tracks, [], 1, groups=[0, 1, 2], least=2.9, stick=stick)
    assert who(found) == [2, 2, 1]
    assert [one.label for one in found.new] == ["Person 1", "Person 2"]
    assert found.new[1].clear_px == pytest.approx(evidence.known_by(tracks[:2])[1])
    assert who(people(tracks, [], 1, groups=[0, 1, 2], least=3.1, stick=stick)) == [2, 3, 1]


def test_groups_that_share_a_frame_are_two_however_alike() -> None:
    tracks = [track(0, 0.0, 0, 9), track(1, 0.0, 1, 10)]
    assert who(people(tracks, [], 1, groups=[0, 1])) == [1, 2]


def test_several_groups_may_be_one_who_was_met_but_for_those_who_share_a_frame() -> None:
    met = people([track(0, 0.0, 0, 9)], [], 1).new
    apart = [track(8, 0.02, 0, 9), track(9, -0.02, 20, 29)]
    assert who(people(apart, list(met), 5, groups=[0, 1])) == [1, 1]
    beside = [track(8, 0.02, 0, 9), track(9, -0.03, 1, 10)]
    assert who(people(beside, list(met), 5, groups=[0, 1])) == [1, 5]


def test_those_who_were_met_stay_two_whoever_is_between_them() -> None:
    two = people([track(0, 0.0, 0, 9), track(1, 0.3, 1, 10)], [], 1, groups=[0, 1]).new
    assert [one.id for one in two] == [1, 2]
    between = [track(8, 0.13, 0, 9), track(9, 0.16, 20, 29)]
    assert who(people(between, list(two), 5, groups=[0, 1])) == [1, 1]  # each other's nearest
    assert who(people(between[1:], list(two), 5)) == [2]


@given(
    st.lists(
        st.tuples(st.floats(0, 6), st.floats(1, 90), st.integers(0, 3), st.integers(0, 2)),
        max_size=12,
    )
)
def test_people_are_known_by_all_tracks_of_all_episodes(
    some: list[tuple[float, float, int, int]],
) -> None:
    """As `evidence.known_by` has it, over all episodes; 3 has a name and 0 is nobody."""
    episodes: list[tuple[list[Track], list[Identity]]] = [([], []), ([], []), ([], [])]
    shown: dict[int, list[Track]] = {}
    for uid, (angle, width, person, episode) in enumerate(some):
        one = track(uid, angle, 20 * uid, 20 * uid + 9, width=width)
        episodes[episode][0].append(one)
        episodes[episode][1].insert(0, Identity(uid, person, 1.0, 1.0, 0.0, 0))
        shown.setdefault(person, []).append(one)
    before = [
        Character(n, f"P{n}", n == 3, direction(7.0)[None], 1.0, 1.0, 1.0, 0, 0, 5.0)
        for n in (2, 1, 3, 9)
    ]
    after = evidence.known_anew(before, iter(episodes))
    assert [one.id for one in after] == [2, 1, 3, 9]
    for old, new in zip(before, after, strict=True):
        if old.id in {1, 2} and old.id in shown:
            mean, clear = evidence.known_by(shown[old.id])
            np.testing.assert_allclose(new.prototypes, mean, atol=1e-4)
            assert new.clear_px == pytest.approx(clear, rel=1e-5)
        else:
            assert new is old
    assert evidence.known_anew([], iter(episodes)) == []


@given(st.lists(st.tuples(st.floats(0, 1.5), st.floats(1, 90)), min_size=1, max_size=6))
def test_somebody_new_is_known_as_by_decisions(some: list[tuple[float, float]]) -> None:
    """A person clustered from tracks is known as if a user had said that they are one person."""
    shown = [
        track(n, angle, 20 * n, 20 * n + 9, width=width) for n, (angle, width) in enumerate(some)
    ]
    together = cluster.people(
        shown,
        np.zeros(len(shown), np.int64),
        cluster.Known([], np.zeros((len(shown), 0), bool), 1),
        related(shown),
        STICK,
        ClusterSettings(),
    ).new[0]
    mean, clear = evidence.known_by(shown[::-1])
    np.testing.assert_allclose(together.prototypes, mean, atol=1e-5)
    assert together.clear_px == pytest.approx(clear, rel=1e-5)
    assert 0 < clear <= affinity.CLEAR_PX * len(shown) * (1 + 1e-6)


def test_a_clarity_is_not_less_than_none() -> None:
    with pytest.raises(ValueError, match="clear_px: expected at least 0"):
        Character(1, "Ann", True, direction(0)[None], 1.0, 1.0, 1.0, 0, 0, -1.0)  # noqa: FBT003


def test_two_who_look_alike_in_one_frame_are_surely_two() -> None:
    twins = people([track(0, 0.0, 0, 9), track(1, 0.01, 0, 9)], [], 1)
    assert [i.character for i in twins.identities] == [1, 2]
    assert all(i.probability > 0.99 for i in twins.identities)


def test_a_number_is_not_given_again_when_nobody_has_it_any_more() -> None:
    tracks, none = [track(0, 0.0, 0, 9)], np.zeros((1, 0), bool)
    known = cluster.Known([], none, 7, next_person=4)  # Person 3 has a name by now
    one = np.zeros(1, np.int64)
    found = cluster.people(tracks, one, known, related(tracks), STICK, ClusterSettings())
    assert [(c.id, c.label) for c in found.new] == [(7, "Person 4")]


def test_nobody_is_no_people() -> None:
    assert people([], [], 1) == cluster.People([], [])


def test_a_calibration_needs_ascending_widths() -> None:
    with pytest.raises(ValueError, match="ascending"):
        Calibration((80.0, 20.0), _LINES, _LINES, 0.9, 0.8)
    with pytest.raises(ValueError, match="a line for each width"):
        Calibration((), (), (), 0.9, 0.8)


@given(st.floats(0.5, 1.0), st.floats(10, 200), st.floats(10, 200))
def test_log_odds_rise_with_the_cosine_and_do_not_mind_the_order(
    cosine: float, first: float, second: float
) -> None:
    one, other = np.array([[first], [second]], np.float32)
    odds = CALIBRATION.log_odds(np.array([cosine, cosine + 0.01], np.float32), one, other)
    assert odds[1] > odds[0]
    swapped = CALIBRATION.log_odds(np.array([cosine], np.float32), other, one)
    np.testing.assert_allclose(odds[:1], swapped, atol=1e-3)


def odds_of(pairs: dict[tuple[int, int], float], count: int, other: float = -5.0) -> Float32:
    odds = np.full((count, count), other, np.float32)
    for (first, second), value in pairs.items():
        odds[first, second] = odds[second, first] = value
    return odds


@pytest.mark.parametrize("method", ["hac", "finch", "c1c"])
def test_each_method_by_hand(method: Literal["hac", "finch", "c1c"]) -> None:
    """A pair, a third track near both, and one alone."""
    odds = odds_of({(0, 2): 6.0, (0, 3): 4.0, (2, 3): 3.0}, 4)
    how = ClusterSettings(method=method)
    nobody = np.zeros((4, 4), bool)
    assert cluster.group(odds, nobody, how).tolist() == [0, 1, 0, 0]
    apart = nobody.copy()
    apart[2, 3] = apart[3, 2] = True
    barred = np.where(apart, np.float32(affinity.NEVER), odds)
    joined = cluster.group(barred, apart, how).tolist()
    assert joined[:3] == [0, 1, 0]
    assert joined[3] != 0
    assert cluster.group(odds[:0, :0], nobody[:0, :0], how).tolist() == []


@given(st.integers(0, 10_000), st.sampled_from(["hac", "c1c", "finch"]))
def test_nobody_is_two_people_at_one_time(
    seed: int, method: Literal["hac", "c1c", "finch"]
) -> None:
    rng = np.random.default_rng(seed)
    odds = rng.normal(2, 4, (8, 8)).astype(np.float32)
    apart = np.triu(rng.random((8, 8)) < 0.2, 1)
    apart |= apart.T
    odds = np.where(apart, np.float32(affinity.NEVER), odds + odds.T)
    groups = cluster.group(odds, apart, ClusterSettings(method=method))
    assert not (apart & (groups[:, None] == groups)).any()
