from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from indexer import affinity, evidence, recognize, thresholds
from indexer.clothes import COLOURS
from indexer.config import RecognizeSettings
from indexer.records import (
    UNKNOWN,
    Bool,
    Calibration,
    Character,
    Float32,
    Float64,
    Identity,
    Line,
    Track,
    Yardstick,
)

D = 16
_LINES = (Line(0.92, 40.0), Line(0.9, 100.0))
CALIBRATION = Calibration((20.0, 80.0), _LINES, _LINES, 0.95, 0.8)
STICK = Yardstick.of(CALIBRATION, D)
PLAIN = RecognizeSettings(evidence="apart", max_wrong_names=0.999, min_probability=0.8)


def unit(rows: Float32 | Float64) -> Float32:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def at_cosine(to: Float32, cosine: float, seed: int = 0) -> Float32:
    """A unit vector with this cosine to `to`."""
    other = np.random.default_rng(seed).normal(size=to.shape)
    other -= (other @ to) * to
    return unit(cosine * to + np.sqrt(1 - cosine**2) * unit(other))


def axis(i: int) -> Float32:
    return np.eye(D, dtype=np.float32)[i]


def character(id_: int, stills: Float32) -> Character:
    return Character(id_, f"C{id_}", bool(id_), np.atleast_2d(stills), 1.0, 1.0, 1.0, 0, 0, 48.0)


def track(uid: int, vector: Float32, width: float = 80.0) -> Track:
    return Track(
        uid=uid,
        shot=0,
        start_frame=0,
        end_frame=9,
        start_s=0.0,
        end_s=0.4,
        detections=10,
        score=0.99,
        width_px=width,
        quality=np.full(2, width / 96, np.float32),
        exemplar_frames=np.array([0, 9]),
        embeddings=np.stack([vector, vector]),
        embedding=vector,
        clothes=np.zeros(COLOURS, np.float32),
    )


def judged(
    tracks: list[Track],
    cast: list[Character],
    together: Bool | None = None,
    options: RecognizeSettings = PLAIN,
) -> list[Identity]:
    together = np.zeros((len(tracks),) * 2, bool) if together is None else together
    if not tracks:
        return []
    seen = shown(tracks, cast, together, options)
    cast = thresholds.calibrate(cast, seen, together, STICK, options)
    none = np.zeros((len(tracks), len(cast)), bool)
    apart = recognize.Apart(together, none, np.full(len(tracks), recognize.OPEN))
    return recognize.recognize(tracks, seen, cast, apart, STICK, options)


def shown(
    tracks: list[Track], cast: list[Character], together: Bool, options: RecognizeSettings = PLAIN
) -> evidence.Evidence:
    middles = evidence.centres(cast, np.zeros(D, np.float32))
    related = affinity.relate(tracks, together, middles, STICK)
    return evidence.gather(tracks, related, together, options)


@given(st.lists(st.floats(0.5, 0.999), min_size=2, max_size=12, unique=True))
def test_more_alike_is_more_probable_and_probabilities_are_some(cosines: list[float]) -> None:
    cast = [character(1, axis(0)), character(2, axis(1))]
    tracks = [track(i, at_cosine(axis(0), c, 3)) for i, c in enumerate(sorted(cosines))]
    known = [i.probability if i.character == 1 else 1 - i.probability for i in judged(tracks, cast)]
    assert np.all(np.diff(known) >= -1e-6)
    assert all(0 <= i.probability <= 1 and -1 <= i.margin <= 1 for i in judged(tracks, cast))


def test_the_probability_of_a_case_done_by_hand() -> None:
    cast = [character(1, axis(0))]
    identity = judged([track(7, at_cosine(axis(0), 0.93))], cast)[0]
    # midpoint 0.9, slope 100, prior odds 1: e^3 / (1 + e^3)
    assert identity.probability == pytest.approx(np.exp(3) / (1 + np.exp(3)), abs=1e-3)
    assert (identity.track, identity.character, identity.runner_up) == (7, 1, UNKNOWN)
    assert identity.similarity == pytest.approx(0.93, abs=1e-5)


def test_a_stranger_is_unknown_and_so_is_one_who_could_be_two() -> None:
    cast = [character(1, axis(0)), character(2, axis(1))]
    stranger, between = track(0, axis(5)), track(1, unit(axis(0) + axis(1)))
    close = [character(1, at_cosine(axis(0), 0.98, 1)), character(2, at_cosine(axis(0), 0.98, 2))]
    assert judged([stranger], cast)[0].character == UNKNOWN
    assert judged([stranger], cast)[0].probability > 0.99
    assert judged([between], cast)[0].character == UNKNOWN
    torn = judged([track(2, axis(0))], close)[0]
    assert torn.character == UNKNOWN
    assert {torn.runner_up} <= {1, 2}
    assert torn.margin < 0.2


def test_narrow_faces_need_more() -> None:
    cast = [character(1, axis(0))]
    vector = at_cosine(axis(0), 0.93)
    assert judged([track(0, vector)], cast)[0].character == 1
    assert judged([track(0, vector, width=20.0)], cast)[0].character == UNKNOWN


def test_one_name_is_given_once_in_a_frame_to_the_surer() -> None:
    cast = [character(1, axis(0)), character(2, axis(1))]
    tracks = [track(0, at_cosine(axis(0), 0.95)), track(1, at_cosine(axis(0), 0.98))]
    together = ~np.eye(2, dtype=bool)
    assert [i.character for i in judged(tracks, cast, together)] == [UNKNOWN, 1]
    assert [i.character for i in judged(tracks, cast)] == [1, 1]


def test_lookalikes_in_the_gallery_raise_the_threshold_and_hard_stills_lower_it() -> None:
    def threshold(cast: list[Character]) -> float:
        none = np.zeros((0, 0), bool)
        return thresholds.calibrate(cast, None, none, STICK, PLAIN)[0].threshold

    stills = np.stack([at_cosine(axis(0), 0.99, seed) for seed in range(6)])
    far = character(2, np.stack([at_cosine(axis(0), 0.8, seed) for seed in range(6)]))
    near = character(2, np.stack([at_cosine(axis(0), 0.93, seed) for seed in range(6)]))
    hard = np.stack([at_cosine(axis(0), 0.9, seed) for seed in range(6)])
    assert threshold([character(1, stills), near]) > threshold([character(1, stills), far])
    assert threshold([character(1, hard), far]) < threshold([character(1, stills), far])


def test_faces_seen_together_are_impostors() -> None:
    cast = [character(1, axis(0))]
    tracks = [track(0, at_cosine(axis(0), 0.97)), track(1, at_cosine(axis(0), 0.94, 1))]
    together = ~np.eye(2, dtype=bool)
    seen = shown(tracks, cast, ~together & False)
    alone = thresholds.calibrate(cast, seen, ~together & False, STICK, PLAIN)[0]
    warned = thresholds.calibrate(cast, seen, together, STICK, PLAIN)[0]
    assert (alone.impostors, warned.impostors) == (0, 1)
    assert warned.threshold > alone.threshold


def test_the_threshold_is_where_the_name_begins() -> None:
    one = [character(1, axis(0))]
    options = replace(PLAIN, min_probability=0.96)  # more than the promise asks for
    cast = thresholds.calibrate(one, None, np.zeros((0, 0), bool), STICK, options)
    for step, expected in ((0.001, 1), (-0.001, UNKNOWN)):
        tracks = [track(0, at_cosine(axis(0), cast[0].threshold + step))]
        assert judged(tracks, one, None, options)[0].character == expected


def test_nobody_known_and_nobody_seen() -> None:
    assert judged([], [character(1, axis(0))]) == []
    alone = judged([track(0, axis(0))], [])[0]
    assert (alone.character, alone.probability, alone.runner_up) == (UNKNOWN, 1.0, UNKNOWN)


def test_a_character_needs_a_real_id() -> None:
    with pytest.raises(ValueError, match="id: expected at least 1"):
        replace(character(1, axis(0)), id=UNKNOWN)


def test_a_promise_bounds_what_is_expected_to_be_wrong() -> None:
    options = replace(PLAIN, max_wrong_names=0.24, min_probability=0.01)
    probability, seconds = np.array([0.999, 0.5, 0.99]), np.ones(3)
    assert recognize.named(probability, seconds, options).tolist() == [True, False, True]
    assert recognize.named(probability[:0], seconds[:0], options).tolist() == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 99)), max_size=20), st.floats(0.001, 0.9))
def test_no_promise_is_broken_by_expectation(rows: list[tuple[float, float]], most: float) -> None:
    probability, seconds = np.array(rows).reshape(-1, 2).T
    options = replace(PLAIN, max_wrong_names=most, min_probability=1e-6)
    given_names = recognize.named(probability, seconds, options)
    time = np.maximum(seconds, 1e-6)
    wrong = float(np.sum((time * (1 - probability))[given_names]))
    assert wrong <= most / 2 * float(time[given_names].sum()) + 1e-9
    assert np.all(1 - probability[given_names] <= most + 1e-9)


def test_a_doubtful_name_is_not_made_good_by_sure_ones() -> None:
    probability, seconds = np.array([1.0, 0.989, 0.991]), np.array([1e6, 1.0, 1.0])
    options = replace(PLAIN, max_wrong_names=0.01, min_probability=0.5)
    assert recognize.named(probability, seconds, options).tolist() == [True, False, True]


def test_clothes_lend_a_clear_face_to_a_small_one_nearby() -> None:
    """A small face in the clothes of a clear one, three shots away and then forty."""
    worn = np.eye(COLOURS, dtype=np.float32)[0]
    clear = replace(track(0, at_cosine(axis(0), 0.99)), clothes=worn, shot=0)
    dim = replace(track(1, at_cosine(axis(0), 0.87, 5), width=16), clothes=worn, shot=3)
    far = replace(dim, uid=2, shot=40, start_frame=500, end_frame=509, start_s=20.0, end_s=20.4)
    cast = [character(1, axis(0)), character(2, axis(1))]
    options = replace(PLAIN, evidence="joint")
    helped, alone = judged([clear, dim], cast, None, options)[1], judged([dim], cast)[0]
    assert (alone.character, helped.character, helped.link) == (UNKNOWN, 1, 0)
    assert helped.probability > helped.by_face
    assert judged([clear, far], cast, None, options)[1].character == UNKNOWN


def test_why_no_name_is_given_is_said() -> None:
    cast = [character(1, axis(0)), character(2, axis(1))]
    assert judged([track(0, axis(5))], cast)[0].reason == "like nobody enrolled"
    assert judged([track(0, axis(0))], cast)[0].reason == ""


def test_two_looks_of_one_person_are_both_that_person() -> None:
    """Three stills with glasses and three without, hardly alike: no face is near their mean."""
    bare = np.stack([at_cosine(axis(0), 0.97, seed) for seed in range(3)])
    glasses = np.stack([at_cosine(axis(1), 0.97, seed) for seed in range(3, 6)])
    both = character(1, np.concatenate([bare, glasses]))
    means, whose = evidence.looks([both, character(2, axis(5))], np.zeros(D, np.float32))
    assert whose.tolist() == [0, 0, 1]
    assert np.max(means[:2] @ axis(0)) > 0.9
    assert np.max(means[:2] @ axis(1)) > 0.9
    found = judged([track(0, axis(0)), track(1, axis(1))], [both])
    assert [one.character for one in found] == [1, 1]
    one_look = character(1, np.concatenate([bare, glasses[:1]]))  # a single still is no look
    assert evidence.looks([one_look], np.zeros(D, np.float32))[1].tolist() == [0]
    none = evidence.looks([], np.zeros(D, np.float32))
    assert [len(part) for part in none] == [0, 0]


SHARES = st.lists(
    st.floats(0, 1).filter(lambda share: share == 0 or share > 1e-9), min_size=2, max_size=6
).filter(lambda shares: sum(shares) > 0)


@given(SHARES, st.floats(0.3, 2), st.floats(-2, 2), st.floats(0.3, 2), st.floats(-2, 2))
def test_what_is_believed_are_probabilities_and_the_likeliest_name_decides(
    shares: list[float], slope: float, offset: float, other: float, more: float
) -> None:
    given_ = np.array([shares]) / sum(shares)
    stick = replace(STICK, belief=(slope, offset), nobody=(other, more))
    found = recognize.believed(given_, stick)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-9)
    best = int(given_[0, 1:].argmax()) + 1
    second = np.delete(given_[0], [0, best]).max(initial=0)
    of_two = given_[0, best] / max(given_[0, best] + second, 1e-12)
    assert found[0, best] == pytest.approx(
        min(recognize.trusted(given_[:, best], stick)[0], of_two), abs=1e-12
    )
    assert recognize.believed(given_, STICK)[0] == pytest.approx(given_[0], abs=2e-6)


def test_of_two_who_are_as_likely_it_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where belief raises the likeliest name's probability above its share."""
    sharper = replace(STICK, belief=(1.5, 1.0))
    monkeypatch.setattr(sys.modules[__name__], "STICK", sharper)
    twins = [character(1, axis(0)), character(2, axis(0))]
    [found] = judged([track(0, axis(0))], twins, options=RecognizeSettings())
    assert (found.character, found.reason) == (UNKNOWN, recognize.LIKE_TWO)
    assert {found.runner_up, found.second} == {1, 2}
    [alone] = judged([track(0, axis(0))], [twins[0], character(2, axis(5))])
    assert (alone.character, alone.reason) == (1, "")


def test_whom_somebody_said_to_be_one_are_one_although_they_are_together() -> None:
    """A person, their mirror image and a photo: three tracks of one name in one frame."""
    words = np.full((3, 3), -np.inf)
    apart = recognize.Apart(~np.eye(3, dtype=bool), np.zeros((3, 2), bool), np.zeros(3, np.int64))
    shares = recognize.in_turn(np.full((3, 2), -5.0), words, apart)
    assert shares[:, 1] == pytest.approx(1)
    two = replace(apart, fixed=np.array([0, 0, recognize.OPEN]))
    shares = recognize.in_turn(np.array([[0.0, -20], [0, -20], [12.0, -20]]), words, two)
    assert shares[2, 1] < 0.01  # a third beside two of that name needs more evidence


@given(st.floats(0.001, 0.5), st.floats(0.01, 0.9999), st.integers(1, 40))
def test_the_threshold_is_where_a_name_is_given(wrong: float, least: float, count: int) -> None:
    settings = RecognizeSettings(max_wrong_names=wrong, min_probability=least)
    stick = replace(STICK, belief=(0.8, 0.4))
    odds = thresholds.least_log_odds(count, stick, settings)
    share = expit(odds + thresholds.prior_log_odds(count, settings))
    believed = float(recognize.trusted(np.array(share), stick))
    assert believed == pytest.approx(thresholds.least_probability(settings), abs=1e-5)
    assert thresholds.least_probability(settings) >= max(least, 1 - wrong)
