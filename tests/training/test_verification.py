"""Metrics of face verification against their definitions, written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import ImageError
from indexer.records import Bool, Float32
from training.evaluate.verification import Pair, best_threshold, read_pairs, tpr_at, verify

SCORED = st.lists(
    st.tuples(st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 0.9]), st.booleans()),
    min_size=1,
    max_size=30,
)
PAIRS = """2\t1
Ann\t1\t2
Ann\t3\tBob\t1
Bob\t2\t10
Cy\t1\tAnn\t4
"""


def table(scored: list[tuple[float, bool]]) -> tuple[Float32, Bool]:
    return (
        np.array([score for score, _ in scored], np.float32),
        np.array([same for _, same in scored]),
    )


def mistakes(similarities: Float32, same: Bool, threshold: float) -> int:
    pairs = zip(similarities.tolist(), same.tolist(), strict=True)
    return sum((score >= threshold) != of_one for score, of_one in pairs)


@given(SCORED)
def test_no_threshold_makes_fewer_mistakes(scored: list[tuple[float, bool]]) -> None:
    similarities, same = table(scored)
    every = [*similarities.tolist(), 2.0]
    found = best_threshold(similarities, same)
    fewest = min(mistakes(similarities, same, one) for one in every)
    assert mistakes(similarities, same, found) == fewest


def test_equal_similarities_are_accepted_together_or_not_at_all() -> None:
    similarities, same = table([(0.9, True), (0.5, True), (0.5, False), (0.5, False)])
    assert best_threshold(similarities, same) == pytest.approx(0.9)
    assert mistakes(similarities, same, best_threshold(similarities, same)) == 1


def test_where_all_are_impostors_nothing_is_accepted() -> None:
    similarities, same = table([(0.9, False), (0.5, False)])
    assert not (similarities >= best_threshold(similarities, same)).any()


def test_no_pair_has_no_threshold() -> None:
    with pytest.raises(ValueError, match="got none"):
        best_threshold(np.zeros(0, np.float32), np.zeros(0, bool))


@given(SCORED, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_the_rate_is_that_of_the_lowest_threshold_with_few_enough_impostors(
    scored: list[tuple[float, bool]], fpr: float
) -> None:
    similarities, same = table([*scored, (0.5, True), (0.5, False)])
    genuine, impostors = similarities[same], similarities[~same]
    allowed = [
        threshold
        for threshold in (*similarities.tolist(), 2.0)
        if sum(impostors >= threshold) <= fpr * len(impostors)
    ]
    assert tpr_at(similarities, same, fpr) == pytest.approx(np.mean(genuine >= min(allowed)))


def test_of_few_impostors_one_percent_is_none() -> None:
    impostors = [(0.02 * number, False) for number in range(20)]
    similarities, same = table([(0.378, True), (0.9, True), *impostors])
    assert tpr_at(similarities, same, 0.01) == 0.5
    assert tpr_at(similarities, same, 0.05) == 1.0  # one impostor is accepted, at 0.38


@given(st.integers(0, 1000))
def test_each_fold_is_judged_at_the_best_threshold_of_the_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    same = np.tile([True, True, False, False], 5)
    similarities = (rng.normal(size=20) + same).round(1).astype(np.float32)
    right = []
    for fold in range(5):
        inside = [i for i in range(20) if i // 4 == fold]
        others = [i for i in range(20) if i // 4 != fold]
        threshold = best_threshold(similarities[others], same[others])
        right.append(np.mean([(similarities[i] >= threshold) == same[i] for i in inside]))
    found = verify(similarities, same, folds=5)
    assert found.accuracy == pytest.approx(np.mean(right))
    assert found.accuracy_std == pytest.approx(np.std(right))
    genuine, impostors = similarities[same], similarities[~same]
    above = np.mean([(one > two) + 0.5 * (one == two) for one in genuine for two in impostors])
    assert found.auc == pytest.approx(above)


def test_pairs_are_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(PAIRS)
    assert read_pairs(path) == [
        Pair("Ann_0001", "Ann_0002", same=True),
        Pair("Ann_0003", "Bob_0001", same=False),
        Pair("Bob_0002", "Bob_0010", same=True),
        Pair("Cy_0001", "Ann_0004", same=False),
    ]


@pytest.mark.parametrize("text", ["", "2\t1\nAnn\t1\t2\n", "no numbers\n", "1\t1\nAnn\n"])
def test_what_is_no_list_of_pairs_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(ImageError, match=r"pairs\.txt"):
        read_pairs(path)
