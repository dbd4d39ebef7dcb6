"""Who is on screen when, in all episodes: one derived table, so that a query opens one file.

Its metadata name the revision and the episodes that it derives from. If the file is missing, or
does not match the library (an older version of this project has published, an episode was removed
by hand), the same rows are gathered from the episodes' own tables, four files for each episode.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer.errors import StoreError
from indexer.records import UNKNOWN
from indexer.store import schema, tables
from indexer.store.library import Library
from indexer.store.read import episodes, read_table

_SHORTEST_S = 1e-6
_OF = b"of"  # metadata key: the revision and episodes that the file derives from


@dataclass(frozen=True, slots=True)
class Appearance:
    """A track (a stretch of one shot) and whom it shows."""

    track: int
    shot: int
    start_s: float
    end_s: float
    character: int
    """An id, or UNKNOWN."""
    probability: float
    shot_start_s: float
    shot_end_s: float
    repeat: bool
    """Whether an earlier episode showed most of the track already."""
    likely: int = UNKNOWN
    """Where no name is given, the id of the most likely named character; else UNKNOWN."""
    chance: float = 0.0
    """The probability that it is `likely`; 0 where a name is given."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an episode's rows come from."""

    folder: Path
    """Holds the episode's tracks, shots and repeats."""
    identities: Path


def of_library(library: Library) -> pa.Table:
    """Return all tracks and whom they show: the columns of `Appearance`, by uid.

    Raises:
        StoreError: a table that is needed is missing or damaged.
    """
    path, ids = library.root / schema.APPEARANCES, episodes(library)
    if path.exists() and _is_of(path, library, ids):
        return read_table(library, path).replace_schema_metadata(None)
    return gathered(library, ids)


def gathered(library: Library, some: Iterable[str]) -> pa.Table:
    """Return what `of_library` does, for some episodes, from their own tables."""
    folders = [library.episode(one) for one in some]
    return joined(library, [Source(one, one / schema.IDENTITIES) for one in folders])


def joined(library: Library, sources: Sequence[Source]) -> pa.Table:
    """Return the appearances in the tables that the sources point to, by uid."""
    folders = [one.folder for one in sources]
    tracks = _tracks(library, folders)
    shots = _stacked(
        library, [one / schema.SHOTS for one in folders], schema.SHOTS, ["shot", "start_s", "end_s"]
    ).rename_columns(["shot", "shot_start_s", "shot_end_s", "source"])
    names = ["track", "character", "probability", "reason", "runner_up", "margin", "nobody"]
    who = _stacked(library, [one.identities for one in sources], schema.IDENTITIES, names)
    unnamed = pc.not_equal(who["reason"], "")
    chance = pc.subtract(who["nobody"], who["margin"])
    who = who.append_column("likely", pc.if_else(unnamed, who["runner_up"], UNKNOWN))
    who = who.append_column("chance", pc.if_else(unnamed, pc.max_element_wise(chance, 0.0), 0.0))
    columns = schema.table_schema(schema.APPEARANCES, library.dimension)
    return (
        who.drop_columns(["source", *names[3:]])
        .join(tracks, "track", "uid", join_type="inner")
        .join(shots, ["source", "shot"], join_type="inner")
        .select(columns.names)
        .sort_by("track")
        .cast(columns)
        .combine_chunks()
    )


def successor(
    library: Library, ids: Sequence[str], changed: Sequence[str], sources: Sequence[Source]
) -> pa.Table:
    """Return the appearances of the library after a change, derived from those before it.

    Args:
        library: before the change.
        ids: of all episodes after the change.
        changed: ids of the episodes that are new or have new identities.
        sources: of the changed episodes.
    """
    digits = [int(schema.id_digits(one), 16) for one in changed]
    try:
        old = of_library(library)
        kept = old.filter(pa.array(~np.isin(tables.integers_of(old["track"]) >> 20, digits)))
    except StoreError:  # a derived file: the tables decide
        kept = gathered(library, sorted(set(ids) - set(changed)))
    return pa.concat_tables([kept, joined(library, sources)]).sort_by("track").combine_chunks()


def write(path: Path, library: Library, ids: Sequence[str], table: pa.Table) -> None:
    """Write the appearances of a library that consists of the episodes `ids`."""
    facts = schema.stamp(library.encoder_id, library.settings)
    facts[_OF.decode()] = _of(library, ids)
    columns = schema.table_schema(schema.APPEARANCES, library.dimension).with_metadata(facts)
    batches = table.cast(columns).to_batches()
    with tables.TableWriter(path, columns) as writer:
        for batch in batches:
            writer.add(batch)
        writer.close()


def agrees(library: Library) -> bool:
    """Return whether the appearances match the episodes' tables."""
    return of_library(library).equals(gathered(library, episodes(library)))


def of_episode(library: Library, episode: str, *, repeats: bool = True) -> list[Appearance]:
    """Return the tracks of an episode and whom they show, by start and uid.

    Args:
        library: that holds the episode.
        episode: its id.
        repeats: whether to include tracks that an earlier episode showed already.
    """
    table = gathered(library, [episode])
    return records(table if repeats else without_repeats(table))


def records(table: pa.Table) -> list[Appearance]:
    """Return the rows of a table as records, by start and uid."""
    return [Appearance(**row) for row in by_start(table).to_pylist()]


def table_of(library: Library, some: Sequence[Appearance]) -> pa.Table:
    """Return records as the rows of a table."""
    columns = schema.table_schema(schema.APPEARANCES, library.dimension)
    return pa.Table.from_pylist([dataclasses.asdict(one) for one in some], columns)


def by_start(table: pa.Table) -> pa.Table:
    """Return the same rows by start and uid."""
    return table.sort_by([("start_s", "ascending"), ("track", "ascending")])


def where(table: pa.Table, column: str, values: Iterable[int]) -> pa.Table:
    """Return the rows whose column has one of the values."""
    wanted = tables.array_of(np.array(sorted(values), dtype=np.int64))
    return table.filter(pc.is_in(table[column], wanted))


def of_episodes(table: pa.Table, some: Iterable[str]) -> pa.Table:
    """Return the rows of the episodes with the given ids."""
    heads = [int(schema.id_digits(one), 16) for one in some]
    return table.filter(pa.array(np.isin(tables.integers_of(table["track"]) >> 20, heads)))


def seconds_of(table: pa.Table) -> dict[int, float]:
    """Return the summed seconds of each character's tracks, by id, without UNKNOWN."""
    who = tables.integers_of(table["character"])
    start, end = (np.asarray(table[name].to_pylist(), np.float64) for name in ("start_s", "end_s"))
    ids, places = np.unique(who, return_inverse=True)
    sums = np.bincount(places, end - start, minlength=len(ids))
    found = dict(zip(ids.tolist(), sums.tolist(), strict=True))
    found.pop(UNKNOWN, None)
    return found


def mean_probability(some: Sequence[Appearance]) -> float:
    """Return the duration-weighted mean probability of some tracks, at least one."""
    weights = [max(one.end_s - one.start_s, _SHORTEST_S) for one in some]
    weighted = (weight * one.probability for weight, one in zip(weights, some, strict=True))
    return sum(weighted) / sum(weights)


def without_repeats(table: pa.Table) -> pa.Table:
    """Return the appearances that no earlier episode showed already."""
    return table.filter(pc.invert(table["repeat"]))


def repeated(table: pa.Table) -> set[int]:
    """Return the uids of the tracks that an earlier episode showed already."""
    return set(table.filter(table["repeat"])["track"].to_pylist())


def _tracks(library: Library, folders: Sequence[Path]) -> pa.Table:
    """Return the tracks of some episodes, and which of them are repeats."""
    names = ["uid", "shot", "start_s", "end_s", "start_frame", "end_frame"]
    tracks = _stacked(library, [one / schema.TRACKS for one in folders], schema.TRACKS, names)
    source, first, last = (
        tables.integers_of(tracks[name]) for name in ("source", "start_frame", "end_frame")
    )
    shown = np.zeros(len(source), np.int64)  # frames of each track that were shown before
    for number, folder in enumerate(folders):
        stretches = read_table(library, folder / schema.REPEATS, ["start_frame", "end_frame"])
        starts, ends = (tables.integers_of(stretches[name]) for name in stretches.column_names)
        mine = np.flatnonzero(source == number)
        low = np.maximum(first[mine, None], starts)  # (tracks, stretches)
        high = np.minimum(last[mine, None], ends)
        shown[mine] = np.maximum(high + 1 - low, 0).sum(axis=1)
    repeat = 2 * shown > last + 1 - first
    return tracks.drop_columns(names[-2:]).append_column("repeat", pa.array(repeat, pa.bool_()))


def _stacked(
    library: Library, paths: Sequence[Path], name: str, columns: Sequence[str]
) -> pa.Table:
    """Return the rows of several tables of one kind, with the index of each row's table."""
    whole = schema.table_schema(name, library.dimension)
    none = pa.schema([whole.field(column) for column in columns]).empty_table()
    parts = [read_table(library, path, columns) for path in paths]
    source = np.repeat(np.arange(len(parts)), [len(one) for one in parts])
    return pa.concat_tables([none, *parts]).append_column("source", pa.array(source, pa.int64()))


def _of(library: Library, ids: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    return f"revision {library.revision}, episodes {digest}"


def _is_of(path: Path, library: Library, ids: Sequence[str]) -> bool:
    """Return whether a file derives from the library as it is now, with the current columns.

    True of a file that cannot be read, too: reading it then reports what is wrong.
    """
    try:
        said = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return True
    columns = schema.table_schema(schema.APPEARANCES, library.dimension)
    old = set(said.names) < set(columns.names)
    return not old and (said.metadata or {}).get(_OF) == _of(library, ids).encode()
