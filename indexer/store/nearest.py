"""The index of the embeddings: derived from the tables, and rebuilt from them at will.

Exact, or in cells once the library is large (`vectors`). An exact index is rebuilt from all tables
at every publication. One in cells is updated with the new episodes, byte for byte as if rebuilt:
that reads and writes the index, not the tables of a million tracks. It is trained anew when the
library has grown to the next number of cells, and when the tracks that train it change. Those have
the smallest uids, and uids begin with digits of a digest: the probability that a new episode is
among them is their share of the library (7 % of a million tracks, 3 % of ten million).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from indexer.errors import StoreError
from indexer.records import Float32, Int64
from indexer.store import disk, schema, tables, vectors
from indexer.store.library import Library
from indexer.store.read import episodes, read_table
from indexer.store.vectors import Cells, Exact

_COLUMNS = ["uid", "embedding"]


def build(library: Library, tracks: Sequence[Path], uids: Int64) -> Exact | Cells:
    """Return an index of the embeddings in some track tables; its ids are uids.

    Args:
        library: gives encoder and dimension.
        tracks: the tables, each in its episode's folder.
        uids: of all their tracks.
    """
    index: Exact | Cells = vectors.exact(library.dimension)
    if cells := vectors.cells_for(len(uids)):
        index = vectors.trained(_sample(library, tracks, uids), cells)
    for path in tracks:
        vectors.add(index, *_rows(library, path))
    return vectors.settled(index) if isinstance(index, Cells) else index


def successor(
    library: Library, tracks: Sequence[Path], uids: Int64, changed: Sequence[str]
) -> Exact | Cells:
    """Return what `build` does, by updating the library's index if that is possible.

    Args:
        library: before the change: its index has no or older tracks of the changed episodes.
        tracks: all tables after the change, each in its episode's folder.
        uids: of all their tracks.
        changed: the episodes that are new or have new tracks.
    """
    starts = [int(schema.id_digits(one), 16) << 20 for one in changed]
    index = _reusable(library, vectors.cells_for(len(uids)), min(starts, default=0))
    if index is not None:
        old = vectors.uids_of(index)
        vectors.remove(index, old[np.isin(old >> 20 << 20, starts)])
        for path in tracks:
            if path.parent.name in changed:
                vectors.add(index, *_rows(library, path))
        if np.array_equal(vectors.uids_of(index), np.sort(uids)):
            return vectors.settled(index)
    return build(library, tracks, uids)


def write(path: Path, index: Exact | Cells) -> None:
    """Write an index to a new file and wait until the disk has it."""
    with path.open("xb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]
        disk.sync_file(file)


def read(library: Library, uids: Int64) -> Exact | Cells:
    """Return the library's index, rebuilt from the tables if its file is missing.

    Args:
        library: whose index it is.
        uids: of all its tracks.

    Raises:
        StoreError: it cannot be read, or does not hold the tracks that the tables hold.
    """
    path = library.root / schema.INDEX
    if not path.exists():
        return build(library, _tracks(library), uids)
    index = _load(library)
    if not np.array_equal(vectors.uids_of(index), np.sort(uids)):
        raise _damaged(path, "does not match the tracks of the episodes")
    return index


def agrees(library: Library, uids: Int64) -> bool:
    """Return whether the library's index matches its tables.

    An exact one must match byte for byte; one in cells must hold every vector up to quantisation,
    since its centres may have been trained on another machine.
    """
    path = library.root / schema.INDEX
    if not vectors.cells_for(len(uids)):
        with disk.explained(path):
            expected = build(library, _tracks(library), uids)
            return path.read_bytes() == faiss.serialize_index(expected).tobytes()
    index = read(library, uids)
    if not isinstance(index, Cells) or index.nlist != vectors.cells_for(len(uids)):
        return False
    return all(vectors.keeps(index, *_rows(library, one)) for one in _tracks(library))


def search(
    library: Library, index: Exact | Cells, embedding: Float32, count: int
) -> list[tuple[int, float]]:
    """Return the uid and the cosine of the `count` nearest tracks, nearest first."""

    def whole(uids: Int64) -> Float32:
        digits = {schema.uid_digits(int(uid)) for uid in uids}
        some = [one for one in episodes(library) if schema.id_digits(one) in digits]
        return _embeddings(library, [library.episode(one) / schema.TRACKS for one in some], uids)

    return vectors.search(index, embedding, count, whole)


def _tracks(library: Library) -> list[Path]:
    return [library.episode(one) / schema.TRACKS for one in episodes(library)]


def _rows(library: Library, path: Path) -> tuple[Int64, Float32]:
    table = read_table(library, path, _COLUMNS)
    return tables.integers_of(table["uid"]), tables.vectors_of(table["embedding"])


def _sample(library: Library, tracks: Sequence[Path], uids: Int64) -> Float32:
    """Return the embeddings that train the centres, (S, D), by uid."""
    end = vectors.sample_end(uids)
    some = [one for one in tracks if int(schema.id_digits(one.parent.name), 16) << 20 <= end]
    return _embeddings(library, some, np.sort(uids[uids <= end]))


def _embeddings(library: Library, tracks: Sequence[Path], uids: Int64) -> Float32:
    """Return the embeddings of some tracks, (N, D), out of the tables that hold them."""
    found = np.empty((len(uids), library.dimension), dtype=np.float32)
    order = np.argsort(uids)
    for path in tracks:
        here, embeddings = _rows(library, path)
        rows = np.searchsorted(uids, here, sorter=order).clip(max=len(uids) - 1)
        wanted = uids[order[rows]] == here
        found[order[rows[wanted]]] = embeddings[wanted]
    return found


def _reusable(library: Library, cells: int, start: int) -> Cells | None:
    """Return the library's index if it has `cells` cells, trained on uids below `start`."""
    if not cells or not (library.root / schema.INDEX).exists():
        return None
    try:
        index = _load(library)
    except StoreError:  # a derived file: the tables decide
        return None
    if not isinstance(index, Cells) or index.nlist != cells:
        return None
    grown = vectors.cells_for(index.ntotal) != cells
    return index if not grown and vectors.sample_end(vectors.uids_of(index)) < start else None


def _load(library: Library) -> Exact | Cells:
    path = library.root / schema.INDEX
    try:
        with disk.explained(path), path.open("rb") as file:
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read))  # type: ignore[attr-defined]
    except (RuntimeError, MemoryError) as error:
        raise _damaged(path, "cannot be read") from error
    if not isinstance(index, Exact | Cells) or index.d != library.dimension:
        raise _damaged(path, f"is not an index of {library.dimension} dimensions")
    return index


def _damaged(path: Path, problem: str) -> StoreError:
    return StoreError(path, problem, "delete it: it will be rebuilt from the tracks")
