"""Stratified splits: each split gets about its share of the pictures of every label.

Iterative stratification: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label
data", ECML PKDD 2011; rarest label first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from indexer.records import Bool


def deal(labels: Bool, shares: Mapping[str, float], rest: str, seed: int) -> list[str]:
    """Return the split of each picture, M names; the same for the same seed.

    Labels take precedence: a split may be a few pictures smaller or larger than its share.

    Args:
        labels: (M, K), which labels are in each picture.
        shares: of the pictures, by split; their sum is less than 1.
        rest: the split of all others.
        seed: of the random choices.

    Raises:
        ValueError: a share is less than 0, or nothing is left for the rest.
    """
    if min(shares.values(), default=0.0) < 0 or sum(shares.values()) >= 1:
        raise ValueError(f"expected shares of at least 0 and together below 1, got {shares}")
    nobody = ~labels.any(axis=1, keepdims=True)
    targets = np.concatenate([labels, nobody], axis=1).astype(np.int64)
    left, dealt = np.arange(len(labels)), np.full(len(labels), rest, object)
    for number, (split, share) in enumerate(shares.items()):
        count = min(round(share * len(labels)), len(left) - 1)
        if count < 1:
            continue
        shuffle = MultilabelStratifiedShuffleSplit(
            1,
            test_size=count,
            random_state=int(np.random.default_rng([seed, number]).integers(2**31)),
        )
        [(kept, given)] = shuffle.split(left, targets[left])
        dealt[left[given]] = split
        left = left[kept]
    return dealt.tolist()
