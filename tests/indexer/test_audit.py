"""How good people are, estimated without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import affinity, recognize
from indexer.audit import audit
from indexer.records import NO_AUDIT, Audit, Identity, Track
from tests.indexer.test_recognize import STICK, D, at_cosine, axis, track


def audited(tracks: list[Track], people: list[int]) -> Audit:
    together = affinity.cooccurring(tracks)
    related = affinity.relate(tracks, together, np.zeros((0, D), np.float32), STICK)
    rows = zip(tracks, people, strict=True)
    identities = [Identity(one.uid, who, 0.9, 0.9, 0.5, 0) for one, who in rows]
    return audit(tracks, identities, related, together)


def apart(uid: int, direction: int) -> Track:
    """A track of the person in a direction, alone on screen."""
    start, one = 100 * uid, track(uid, at_cosine(axis(direction), 0.99, uid))
    frames = replace(one, start_frame=start, end_frame=start + 9)
    return replace(frames, start_s=start / 25, end_s=(start + 10) / 25)


def test_right_people_are_purer_than_mixed_ones() -> None:
    tracks = [apart(uid, uid % 2) for uid in range(8)]
    right = audited(tracks, [1 + uid % 2 for uid in range(8)])
    mixed = audited(tracks, [1 + uid // 4 for uid in range(8)])
    torn = audited(tracks, [1 + uid for uid in range(8)])
    assert right.purity > 0.95 > mixed.completeness
    assert right.completeness > 0.95 > torn.completeness
    assert (right.violations, right.split_half, right.tracks) == (0, 1.0, 8)


def test_one_person_twice_in_a_frame_is_counted() -> None:
    pair = [track(1, axis(0)), track(2, axis(1))]
    assert audited(pair, [1, 1]).violations == 1
    assert audited(pair, [1, 2]).violations == 0


def test_nobody_is_nothing() -> None:
    assert audited([], []) == NO_AUDIT
    assert audited([track(1, axis(0))], [0]) == NO_AUDIT


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_shares_are_shares(people: list[int]) -> None:
    found = audited([apart(uid, uid % 3) for uid in range(len(people))], people)
    assert all(0 <= x <= 1 + 1e-9 for x in (found.purity, found.completeness, found.split_half))


def test_what_is_promised_is_counted_by_screen_time() -> None:
    """Half of the time is named, in two tracks, each name wrong with probability 0.1 at worst."""
    tracks = [apart(1, 0), apart(2, 1), apart(3, 2), apart(4, 3)]
    together = affinity.cooccurring(tracks)
    related = affinity.relate(tracks, together, np.zeros((0, D), np.float32), STICK)
    believed = 1 - recognize.AIM / 10
    identities = [Identity(n, n, believed, 0.9, 0.5, 0) for n in (1, 2, 3, 4)]
    found = audit(tracks, identities, related, together, {1, 2})
    assert found.named == pytest.approx(0.5)
    assert found.wrong == pytest.approx(0.1)
    assert found.wrong_at_most == pytest.approx(0.5)  # P(2 wrong) = .01, P(1 or 2) = .19
    assert found.kept == pytest.approx(1)  # all may be wrong where nothing is promised
    kept = audit(tracks, identities, related, together, {1, 2}, promise=0.1).kept
    assert kept == pytest.approx(0.81, abs=0.02)  # P(none wrong)
    unsure = [replace(one, probability=0.5) for one in identities]
    assert audit(tracks, unsure, related, together, {1, 2}).wrong == pytest.approx(1)
    sure = [replace(one, probability=1.0) for one in identities]
    assert audit(tracks, sure, related, together, {1, 2}).wrong_at_most == 0
    hardly = [replace(one, probability=1 - recognize.AIM / 100) for one in identities]
    rare = audit(tracks, hardly, related, together, {1, 2})
    assert rare.wrong_at_most == rare.wrong == pytest.approx(0.01)  # most draws have none wrong
    assert audit(tracks, sure, related, together).named == 0
