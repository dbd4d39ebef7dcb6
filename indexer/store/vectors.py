"""An index of unit vectors by inner product: exact for many, in cells for very many.

Up to `EXACT_UP_TO` vectors are compared one by one in full precision. Beyond that, each vector is
in the cell of the nearest trained centre, as a byte for each component (IVF, SQ8: a quarter of the
size). A search looks into the likeliest cells and ranks its best candidates again by their full
vectors, which the caller keeps: scores are exact, but a near vector may be missed.

An index in cells depends on the vectors and their ids only, not on the order and the batches in
which they were added and removed: the centres are trained on the vectors with the smallest ids, on
one thread; vectors are assigned to cells in batches of one shape; ids ascend in every cell.
(Another machine's arithmetic may differ in the last bit, and with it the bytes.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import faiss
import numpy as np

from indexer.records import Float32, Int64

Exact = faiss.IndexIDMap2
Cells = faiss.IndexIVFScalarQuantizer

EXACT_UP_TO = 1 << 18
"""Vectors; with 128 dimensions they take 128 MiB, 0.1 s to read and 5 ms to search."""

_SAMPLE_PER_CELL = 64
_CELLS_PER_PROBE = 16
_AGAIN = 4  # candidates for each answer, since quantisation ranks some too low
_BATCH = 1024  # rows of every batch that is assigned to cells: sums depend on its shape
_SAME_COSINE = 0.99
_EVERYTHING = np.iinfo(np.int64).max


def cells_for(count: int) -> int:
    """Return the number of cells for so many vectors: near the square root; 0 if exact."""
    return 0 if count <= EXACT_UP_TO else 1 << round(math.log2(count) / 2)


def sample_end(uids: Int64) -> int:
    """Return the largest of the ids, (N,), whose vectors train the centres; unbounded if all do."""
    size = _SAMPLE_PER_CELL * cells_for(len(uids))
    return int(np.partition(uids, size - 1)[size - 1]) if size < len(uids) else _EVERYTHING


def exact(dimension: int) -> Exact:
    """Return an empty index that compares full vectors."""
    return Exact(faiss.IndexFlatIP(dimension))


def trained(sample: Float32, cells: int) -> Cells:
    """Return an empty index with so many cells, trained on a sample, (S, D), by ascending id."""
    dimension = sample.shape[1]
    kind, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    centres = faiss.IndexFlatIP(dimension)
    index = Cells(centres, dimension, cells, kind, metric)
    index.nprobe = max(1, cells // _CELLS_PER_PROBE)
    index.cp.min_points_per_centroid = 1
    with one_thread():
        index.train(np.ascontiguousarray(sample))
    return index


def add(index: Exact | Cells, uids: Int64, vectors: Float32) -> None:
    """Add vectors, (N, D); an index in cells needs to be `settled` afterwards."""
    vectors, uids = np.ascontiguousarray(vectors), np.ascontiguousarray(uids)
    if isinstance(index, Exact):
        index.add_with_ids(vectors, uids)
        return
    with one_thread():
        homes = _homes(index, vectors)
        pointers = [faiss.swig_ptr(one) for one in (vectors, uids, homes)]
        index.add_core(len(vectors), *pointers)


def remove(index: Cells, uids: Int64) -> None:
    """Remove the vectors with some ids; the index needs to be `settled` afterwards."""
    index.remove_ids(faiss.IDSelectorBatch(uids))


def settled(index: Cells) -> Cells:
    """Return the index with its ids ascending in every cell, as they are kept."""
    for ids, codes in _lists(index):
        if np.any(np.diff(ids) < 0):
            order = np.argsort(ids)
            ids[:], codes[:] = ids[order], codes[order]
    return index


def uids_of(index: Exact | Cells) -> Int64:
    """Return the ids of an index, ascending."""
    if isinstance(index, Exact):
        return np.sort(faiss.vector_to_array(index.id_map))
    return np.sort(np.concatenate([np.zeros(0, np.int64), *(ids for ids, _ in _lists(index))]))


def keeps(index: Cells, uids: Int64, vectors: Float32) -> bool:
    """Return whether an index in cells holds vectors, (N, D), by their ids, up to quantisation."""
    index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
    found = index.reconstruct_batch(np.ascontiguousarray(uids))
    best = index.sa_decode(index.sa_encode(np.ascontiguousarray(vectors)))
    alike = np.sum(found * best, axis=1)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(best, axis=1)
    return bool(np.all(alike >= _SAME_COSINE * lengths))


def search(
    index: Exact | Cells, vector: Float32, count: int, whole: Callable[[Int64], Float32]
) -> list[tuple[int, float]]:
    """Return the id and the inner product of the `count` nearest vectors, nearest first.

    Args:
        index: exact or in cells.
        vector: (D,).
        count: at least 1.
        whole: returns the full vectors with some ids, (N, D); not called for an exact index.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if index.ntotal == 0:
        return []
    wanted = count * _AGAIN if isinstance(index, Cells) else count
    rows, ids = index.search(vector[None], min(wanted, index.ntotal))
    scores, found = rows[0], ids[0]
    if isinstance(index, Cells):
        found = np.sort(found[found >= 0])
        scores = whole(found) @ vector
        order = np.argsort(-scores, kind="stable")[:count]
        scores, found = scores[order], found[order]
    return [(int(uid), float(score)) for uid, score in zip(found, scores, strict=True)]


def _homes(index: Cells, vectors: Float32) -> Int64:
    """Return the cell of each vector, (N,), which does not depend on the other vectors."""
    homes = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BATCH):
        some = vectors[start : start + _BATCH]
        batch = np.zeros((_BATCH, index.d), dtype=np.float32)
        batch[: len(some)] = some
        homes[start : start + _BATCH] = index.quantizer.search(batch, 1)[1][: len(some), 0]
    return homes


def _lists(index: Cells) -> Iterator[Sequence[np.ndarray]]:
    """Yield the ids, (N,), and the codes, (N, bytes), of every cell with any, in place."""
    lists = index.invlists
    assert lists is not None, "trained"
    for cell in range(index.nlist):
        if count := lists.list_size(cell):
            ids = faiss.rev_swig_ptr(lists.get_ids(cell), count)
            codes = faiss.rev_swig_ptr(lists.get_codes(cell), count * index.code_size)
            yield ids, codes.reshape(count, index.code_size)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let faiss use one thread within the block: sums depend on how many there are."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
