"""Records as rows of Arrow tables and back, and Parquet files written batch by batch.

For `pa.array`, `pa.scalar` and `to_numpy` Arrow loads pandas, which takes a fifth of a second: the
code behind queries does without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from indexer.records import Character, Float32, Identity, Int64, Repeat, Shot, Track
from indexer.store import disk

ROWS_PER_GROUP = 65_536
_NESTED = (
    *("quality", "exemplar_frames", "embeddings", "embedding", "clothes", "ends", "views"),
    "prototypes",
)


class TableWriter:
    """A new Parquet file in row groups of one size, whatever batches the rows arrive in.

    A context manager: the file is complete and synced when `close` has returned. Its content does
    not depend on when, or in which batches, it was written.
    """

    def __init__(
        self, path: Path, columns: pa.Schema, rows_per_group: int = ROWS_PER_GROUP
    ) -> None:
        self._columns = columns
        self._rows_per_group = rows_per_group
        self._waiting: list[pa.RecordBatch] = []
        self._rows_waiting = 0
        self._file = path.open("xb")
        self._writer = pq.ParquetWriter(
            self._file, columns, compression="zstd", write_page_checksum=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file.closed:
            return
        try:  # the block failed: the file is useless, and closing it may fail as well
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
        finally:
            self._writer.is_open = False
            with suppress(OSError):
                self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the rows of `batch`."""
        self._waiting.append(batch)
        self._rows_waiting += batch.num_rows
        while self._rows_waiting >= self._rows_per_group:
            self._write_group()

    def close(self) -> None:
        """Write the remaining rows, and wait until the disk has them."""
        if self._rows_waiting:
            self._write_group()
        self._writer.close()
        disk.sync_file(self._file)
        self._file.close()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._columns)
        group = table.slice(0, self._rows_per_group).combine_chunks()
        self._writer.write_table(group, row_group_size=self._rows_per_group)
        self._waiting = table.slice(self._rows_per_group).to_batches()
        self._rows_waiting = table.num_rows - group.num_rows


def write_table(path: Path, batch: pa.RecordBatch) -> None:
    """Write a new Parquet file with the rows of `batch`."""
    with TableWriter(path, batch.schema) as writer:
        writer.add(batch)
        writer.close()


def batch_of(columns: pa.Schema, values: Mapping[str, Any]) -> pa.RecordBatch:
    """Return rows of the given columns; vectors are (N, size) arrays, lists are lists of arrays."""
    return pa.record_batch([_array(values[field.name], field.type) for field in columns], columns)


def batch_of_records(
    columns: pa.Schema, records: Sequence[Track | Shot | Identity | Character | Repeat]
) -> pa.RecordBatch:
    """Return a row for each record; columns and fields have the same names."""
    names = columns.names
    return batch_of(columns, {name: [getattr(one, name) for one in records] for name in names})


def tracks_of(table: pa.Table) -> list[Track]:
    """Return the tracks of a table's rows."""
    return [Track(**row) for row in _rows(table)]


def characters_of(table: pa.Table) -> list[Character]:
    """Return the characters of a table's rows."""
    return [Character(**row) for row in _rows(table)]


def identities_of(table: pa.Table) -> list[Identity]:
    """Return the identities of a table's rows."""
    return [Identity(**row) for row in _rows(table)]


def shots_of(table: pa.Table) -> list[Shot]:
    """Return the shots of a table's rows."""
    return [Shot(**row) for row in _rows(table)]


def repeats_of(table: pa.Table) -> list[Repeat]:
    """Return the repeats of a table's rows."""
    lists = ("tracks", "their_tracks")
    return [
        Repeat(**(row | {name: tuple(row[name]) for name in lists})) for row in table.to_pylist()
    ]


def vectors_of(column: pa.ChunkedArray) -> Float32:
    """Return the vectors of a column, (N, D)."""
    flat = column.combine_chunks()
    rows: Float32 = np.from_dlpack(flat.flatten())  # type: ignore[assignment]
    return rows.reshape(len(flat), column.type.list_size)


def integers_of(column: pa.ChunkedArray) -> Int64:
    """Return the numbers of a column, (N,)."""
    return np.from_dlpack(column.combine_chunks())  # type: ignore[return-value]


def array_of(integers: Int64) -> pa.Array:
    """Return integers, (N,), as an Arrow array."""
    return pa.Array.from_buffers(pa.int64(), len(integers), [None, pa.py_buffer(integers)])


def _array(values: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401 - whatever numpy takes
    if pa.types.is_fixed_size_list(kind):
        flat = np.asarray(values, dtype=np.float32).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)
    if pa.types.is_list(kind):
        offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
        inner = kind.value_type
        size = inner.list_size if pa.types.is_fixed_size_list(inner) else 1
        joined = [np.asarray(one).reshape(-1, size) for one in values] or [np.zeros((0, size))]
        rows = np.concatenate(joined)
        return pa.ListArray.from_arrays(
            pa.array(offsets), _array(rows if size > 1 else rows[:, 0], inner), type=kind
        )
    return pa.array(values, type=kind)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    columns = {
        name: _arrays(column) if name in _NESTED else column.to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _arrays(column: pa.ChunkedArray) -> Sequence[np.ndarray]:
    """Return an array for each row: (size,) of a vector, (K,) or (K, size) of a list."""
    if pa.types.is_fixed_size_list(column.type):
        return list(vectors_of(column))
    whole = column.combine_chunks()
    inner = whole.flatten()
    if pa.types.is_fixed_size_list(inner.type):
        values = np.from_dlpack(inner.flatten()).reshape(len(inner), inner.type.list_size)
    else:
        values = np.from_dlpack(inner)
    ends = np.cumsum([0, *(len(one) for one in whole)])
    return [values[start:end] for start, end in pairwise(ends)]
