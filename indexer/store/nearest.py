"""The index of the tracks' embeddings: derived from the tables, and rebuilt from them at will."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np

from indexer.errors import StoreError
from indexer.records import Float32
from indexer.store import disk, schema, tables
from indexer.store.library import Library
from indexer.store.read import episodes, read_table

_COLUMNS = ["uid", "embedding"]


def build(library: Library, tracks: Iterable[Path]) -> faiss.IndexIDMap2:
    """Return an index of the embeddings in some track tables; its ids are uids."""
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(library.dimension))
    for path in tracks:
        table = read_table(library, path, _COLUMNS)
        vectors = tables.vectors_of(table["embedding"])
        index.add_with_ids(np.ascontiguousarray(vectors), tables.integers_of(table["uid"]))
    return index


def write(path: Path, index: faiss.Index) -> None:
    """Write an index to a new file and wait until the disk has it."""
    with path.open("xb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]
        disk.sync_file(file)


def read(library: Library) -> faiss.IndexIDMap2:
    """Return the library's index, built anew from the tables if its file is not there.

    Raises:
        StoreError: it cannot be read, or does not hold the tracks that the tables hold.
    """
    path = library.root / schema.INDEX
    if not path.exists():
        return _rebuilt(library)
    try:
        with disk.explained(path), path.open("rb") as file:
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read))  # type: ignore[attr-defined]
    except (RuntimeError, MemoryError) as error:
        raise _damaged(path, "cannot be read") from error
    if not isinstance(index, faiss.IndexIDMap2) or index.d != library.dimension:
        raise _damaged(path, f"is not an index of {library.dimension} dimensions")
    tracks = (library.episode(one) / schema.TRACKS for one in episodes(library))
    uids = [tables.integers_of(read_table(library, one, ["uid"])["uid"]) for one in tracks]
    expected = np.concatenate([np.zeros(0, dtype=np.int64), *uids])
    if not np.array_equal(faiss.vector_to_array(index.id_map), expected):
        raise _damaged(path, "does not hold the tracks of the episodes")
    return index


def agrees(library: Library) -> bool:
    """Return whether the library's index, byte for byte, is what its tables give."""
    path = library.root / schema.INDEX
    with disk.explained(path):
        return path.read_bytes() == faiss.serialize_index(_rebuilt(library)).tobytes()


def _rebuilt(library: Library) -> faiss.IndexIDMap2:
    return build(library, [library.episode(one) / schema.TRACKS for one in episodes(library)])


def search(index: faiss.Index, embedding: Float32, count: int) -> list[tuple[int, float]]:
    """Return the uid and the cosine of the `count` nearest tracks, nearest first."""
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if index.ntotal == 0:
        return []
    scores, uids = index.search(embedding[None], min(count, index.ntotal))
    return [(int(uid), float(score)) for uid, score in zip(uids[0], scores[0], strict=True)]


def _damaged(path: Path, problem: str) -> StoreError:
    return StoreError(path, problem, "delete it: it is made anew from the tracks")
