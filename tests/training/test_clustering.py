from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from training.evaluate.clustering import clustering

ITEMS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=20
)


@given(ITEMS)
def test_as_one_would_count_with_every_item_as_often_as_it_weighs(
    items: list[tuple[int, int, int]],
) -> None:
    people, clusters, weights = np.array(items).T
    found = clustering(people, clusters, weights.astype(np.float64))
    one, other = np.repeat(people, weights), np.repeat(clusters, weights)
    together, alike = other[:, None] == other, one[:, None] == one
    both = together & alike
    assert found.precision == pytest.approx(np.mean(both.sum(axis=1) / together.sum(axis=1)))
    assert found.recall == pytest.approx(np.mean(both.sum(axis=1) / alike.sum(axis=1)))
    most = sum(np.bincount(one[other == cluster]).max() for cluster in set(other.tolist()))
    assert found.wcp == pytest.approx(most / len(one))
    assert found.nmi == pytest.approx(normalized_mutual_info_score(one, other), abs=1e-6)
    if len(set(one)) > 1 and len(set(other)) > 1:
        geometric = normalized_mutual_info_score(one, other, average_method="geometric")
        assert found.nmi_geometric == pytest.approx(geometric, abs=1e-6)


def test_by_hand() -> None:
    people, clusters = np.array([0, 0, 0, 1, 1]), np.array([7, 7, 8, 8, 8])
    found = clustering(people, clusters)
    assert found.wcp == pytest.approx(4 / 5)
    assert found.precision == pytest.approx((2 * 1 + 1 / 3 + 2 * 2 / 3) / 5)
    assert found.recall == pytest.approx((2 * 2 / 3 + 1 / 3 + 2 * 1) / 5)
    assert (found.predicted, found.true) == (2, 2)


def test_the_same_partition_is_perfect_whatever_its_numbers() -> None:
    found = clustering(np.array([3, 3, 5]), np.array([1, 1, 0]))
    assert found.wcp == found.f1 == pytest.approx(1)
    assert found.nmi == found.nmi_geometric == pytest.approx(1)
    assert clustering(np.array([1]), np.array([1])).nmi == 1


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(ValueError, match="one or more"):
        clustering(np.zeros(0, np.int64), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="as many"):
        clustering(np.zeros(2, np.int64), np.zeros(3, np.int64))
