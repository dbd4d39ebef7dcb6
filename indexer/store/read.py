"""The library's tables as records, checked when read; episodes and people found by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer import labels
from indexer.errors import StoreError
from indexer.records import (
    Audit,
    Character,
    Float32,
    Float64,
    Identity,
    Int64,
    Places,
    Repeat,
    Shot,
    Track,
)
from indexer.store import disk, schema, tables
from indexer.store.library import Library, check_version

_TOLERANCE_S = 1e-6
_REPAIR = "index the video again, or restore it from a copy"
_REPAIRS = {
    schema.CHARACTERS: "restore it from a copy, or index into another --library",
    schema.APPEARANCES: "delete it: it will be rebuilt from the tracks",
}


def read_table(
    library: Library,
    path: Path,
    columns: Sequence[str] | None = None,
    where: pa.compute.Expression | None = None,
) -> pa.Table:
    """Return a table of the library, or some of its columns and rows, in the file's order.

    Raises:
        StoreError: the file is missing, damaged, of another schema or another encoder.
    """
    repair = _REPAIRS.get(path.name, _REPAIR)
    wanted = schema.table_schema(path.name, library.dimension)
    names = list(columns or wanted.names)
    _check_there(path, repair)
    with disk.explained(path), path.open("rb") as file:
        try:
            # One thread: a process that exits while Arrow starts another is sometimes aborted.
            if where is None:  # takes a third of the time
                opened = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
                table = opened.read(names, use_threads=False)
                if set(opened.schema_arrow.names) < set(wanted.names):
                    table = _since(path, table, names)
            else:
                table = pq.read_table(
                    file,
                    columns=names,
                    filters=where,
                    page_checksum_verification=True,
                    pre_buffer=False,
                    use_threads=False,
                )
        except (pa.ArrowException, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's fault, not the file's
                raise
            raise StoreError(path, f"is damaged: {error}", repair) from error
    _check_stamp(library, path, table.schema.metadata or {})
    if not table.schema.equals(pa.schema([wanted.field(name) for name in names])):
        raise StoreError(path, "lacks required columns, or has them of another type", repair)
    return table


def _since(path: Path, table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return a table, with the columns of `schema.SINCE` filled in if it is older than they are."""
    for name, value in schema.SINCE.get(path.name, {}).items():
        if name in names and name not in table.column_names:
            field = pa.field(name, pa.float64(), nullable=False)
            column = pa.repeat(value, table.num_rows)
            table = table.add_column(names.index(name), field, column)
    return table


def read_thumbnail(path: Path) -> bytes:
    """Return a track's picture, a JPEG.

    Raises:
        StoreError: it is missing, or cannot be read.
    """
    _check_there(path, _REPAIR)
    with disk.explained(path):
        return path.read_bytes()


def _check_there(path: Path, repair: str) -> None:
    folder = path.parent
    with disk.explained(path):
        if path.exists():
            return
        if folder.parent.name == schema.EPISODES and not (folder / schema.MANIFEST).exists():
            remedy = "restore it from a copy, or move it away if it is not an episode"
            raise StoreError(folder, f"has no {schema.MANIFEST}", remedy)
        raise StoreError(path, "is missing", repair)


def _check_stamp(library: Library, path: Path, stamp: Mapping[bytes, bytes]) -> None:
    version = stamp.get(b"schema_version", b"").decode(errors="replace")
    encoder_id = stamp.get(b"encoder_id", b"").decode(errors="replace")
    if not version.isdecimal():
        raise StoreError(path, "does not say which schema version it has", _REPAIR)
    check_version(path, int(version))
    if encoder_id != library.encoder_id:
        made = encoder_id[:8] or "unknown"
        problem = f"was made with encoder {made}, not {library.encoder_id[:8]}"
        raise StoreError(path, problem, _REPAIR)


def read_characters(library: Library) -> list[Character]:
    """Return everybody the library knows, by id."""
    if library.revision == 0:
        return []
    return tables.characters_of(read_table(library, library.root / schema.CHARACTERS))


def read_strangers(library: Library) -> Float32:
    """Return embeddings of people who are not in the gallery, unit rows (M, D); M may be 0."""
    path = library.root / schema.STRANGERS
    if not path.exists():
        return np.zeros((0, library.dimension), np.float32)
    return tables.vectors_of(read_table(library, path)["embedding"])


def read_tracks(library: Library, episode: str) -> list[Track]:
    """Return the tracks of an episode, in the order they were written."""
    return tables.tracks_of(read_table(library, library.episode(episode) / schema.TRACKS))


def read_shots(library: Library, episode: str) -> list[Shot]:
    """Return the shots of an episode."""
    return shots_in(library, library.episode(episode))


def shots_in(library: Library, folder: Path) -> list[Shot]:
    """Return the shots of the episode in a folder."""
    return tables.shots_of(read_table(library, folder / schema.SHOTS))


def read_identities(library: Library, episode: str) -> list[Identity]:
    """Return who the tracks of an episode are."""
    return tables.identities_of(read_table(library, library.episode(episode) / schema.IDENTITIES))


def read_judgement(library: Library, episode: str) -> tuple[dict[str, Any], Audit]:
    """Return the settings with which an episode's identities were judged, and their audit."""
    path = library.episode(episode) / schema.IDENTITIES
    stamp = read_table(library, path, ["track"]).schema.metadata
    try:
        audit = json.loads(stamp[schema.AUDIT.encode()])
        return json.loads(stamp[b"settings"]), Audit(**audit)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(path, "does not say how it was judged", _REPAIR) from error


def read_repeats(library: Library, episode: str) -> list[Repeat]:
    """Return the stretches of an episode that earlier ones showed already, in order."""
    return tables.repeats_of(read_table(library, library.episode(episode) / schema.REPEATS))


def read_hashes(library: Library, folder: Path) -> Int64:
    """Return the hash of every frame of the episode in a folder, (F,)."""
    table = read_table(library, folder / schema.FRAMES, ["hash"])
    return tables.integers_of(table["hash"])


def frame_at(library: Library, episode: str, time_s: float) -> tuple[int, Float64]:
    """Return the index of the frame on screen at a time, and all frames' times in seconds, (F,).

    Raises:
        StoreError: the table is missing or damaged, or the time is outside the video.
    """
    times = times_in(library, library.episode(episode))
    end_s = read_manifest(library, episode)["video"]["duration_s"]
    frame = int(np.searchsorted(times, time_s + _TOLERANCE_S, side="right")) - 1
    if frame < 0 or time_s > end_s:
        problem = f"has no frame at {time_s:g} s"
        raise StoreError(episode, problem, f"it runs from 0 to {end_s:.3f} s")
    return frame, times


def times_in(library: Library, folder: Path) -> Float64:
    """Return the times of all frames of the episode in a folder, in seconds, (F,)."""
    table = read_table(library, folder / schema.FRAMES, ["time_s"])
    return np.array(table["time_s"].to_pylist(), np.float64)


def places_in(library: Library, folder: Path, first: int, last: int) -> Places:
    """Return where the episode in a folder shows faces, from frame `first` to `last` inclusive."""
    path, frame = folder / schema.FACES, pc.field("frame")
    where = (frame >= first) & (frame <= last)
    rows = read_table(library, path, ["track", "frame", "box"], where)
    video = manifest_in(folder)["video"]
    sides = np.array([video["width"], video["height"]] * 2, np.float32)
    return Places(
        tracks=tables.integers_of(rows["track"]),
        frames=tables.integers_of(rows["frame"]),
        boxes=(tables.vectors_of(rows["box"]) / np.maximum(sides, 1)).astype(np.float32),
    )


def check_tables(library: Library, episode: str) -> None:
    """Check that every byte of an episode's tables can be read, a column in memory at a time.

    Raises:
        StoreError: one of them is missing or damaged.
    """
    for name in schema.EPISODE_TABLES:
        for column in schema.table_schema(name, library.dimension).names:
            read_table(library, library.episode(episode) / name, [column])


def ask(sql: str, /, **named: pa.Table) -> pa.Table:
    """Return the answer of DuckDB to a query over the named tables."""
    import duckdb  # noqa: PLC0415 - a fifth of a second, and most commands ask nothing

    # One thread: sums of floats depend on their order, and answers must not.
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, table in named.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()


def episodes(library: Library) -> list[str]:
    """Return the ids of all episodes, sorted."""
    folder = library.root / schema.EPISODES
    with disk.explained(folder):
        found = folder.iterdir() if folder.exists() else ()
        return sorted(one.name for one in found if one.is_dir() and one.name[0] != ".")


def read_manifest(library: Library, episode: str) -> dict[str, Any]:
    """Return the manifest that was written when the episode was indexed.

    Raises:
        StoreError: it is missing or damaged, or there is no such episode.
    """
    return manifest_in(library.episode(episode))


def manifest_in(folder: Path) -> dict[str, Any]:
    """Return what `read_manifest` does, for the episode in a folder."""
    path = folder / schema.MANIFEST
    _check_there(path, _REPAIR)
    try:
        with disk.explained(path):
            manifest = json.loads(path.read_bytes())
        if not set(schema.VIDEO_KEYS) <= set(manifest["video"]):
            raise ValueError(f"video does not have {', '.join(schema.VIDEO_KEYS)}")
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(path, f"is damaged: {error}", _REPAIR) from error
    return manifest


def find_by_sha256(library: Library, sha256: str) -> str:
    """Return the id of the episode of the video with this digest, "" if there is none."""
    for episode in episodes(library):
        alike = schema.id_digits(episode) == sha256[: len(schema.id_digits(episode))]
        if alike and _is_of(library, episode, sha256):
            return episode
    return ""


def _is_of(library: Library, episode: str, sha256: str) -> bool:
    """Return whether an episode, with the digits of a digest in its id, is of that video."""
    try:
        return bool(read_manifest(library, episode)["video"]["sha256"] == sha256)
    except StoreError:
        if not (library.episode(episode) / schema.MANIFEST).exists():
            raise
        return True  # a damaged manifest cannot tell: the digits must do, so that it can be mended


def find_episode(library: Library, name: str) -> str:
    """Return the id of the episode called `name`.

    In this order: its id; its video's name, stem or path; the beginning of its id.

    Raises:
        StoreError: there is none, or more than one.
    """
    ids = episodes(library)
    if name in ids:
        return name
    videos = {one: Path(read_manifest(library, one)["video"]["path"]) for one in ids}
    path = Path(name).resolve()  # as the manifest has it
    called = [
        one for one, video in videos.items() if name in {video.name, video.stem} or path == video
    ]
    found = called or [one for one in ids if name and one.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        problem = f"more than one episode is called {name!r}"
        raise StoreError(library.root, problem, f"say which: {', '.join(found)}")
    raise _not_found(library, f"no episode {name!r}", name, [*ids, *_names(videos.values())])


def find_character(library: Library, name: str) -> Character:
    """Return the character with the label `name`, whatever the case.

    Unnamed people without prototypes do not count: they are what is left of a split that was
    undone.

    Raises:
        StoreError: there is none, or more than one and none spelt exactly so.
    """
    if library.revision == 0:
        raise _not_found(library, f"no character {name!r}", name, [])
    everybody = read_table(library, library.root / schema.CHARACTERS)
    stills = everybody["prototypes"].combine_chunks().value_lengths().to_pylist()
    named = everybody["named"].to_pylist()
    # Not with Arrow's column functions: they load pandas, which takes a second.
    rows = [row for row, count in enumerate(stills) if count or named[row]]
    spelt = everybody["label"].to_pylist()
    found = [rows[n] for n in labels.called(name, [spelt[row] for row in rows])]
    if len(found) == 1:
        return tables.characters_of(everybody.slice(found[0], 1))[0]
    names = [spelt[row] for row in sorted(found or rows, key=lambda row: not named[row])]
    if found:
        problem = f"more than one character is called {name!r}"
        raise StoreError(library.root, problem, f"say which: {', '.join(names)}")
    raise _not_found(library, f"no character {name!r}", name, names)


def _names(videos: Iterable[Path]) -> list[str]:
    return sorted({name for video in videos for name in (video.name, video.stem)})


def _not_found(library: Library, problem: str, name: str, names: Sequence[str]) -> StoreError:
    folded = {one.casefold(): one for one in names}
    near = [folded[one] for one in get_close_matches(name.casefold(), folded, n=5, cutoff=0.5)]
    some = near or names[:10]
    remedy = f"{'did you mean' if near else 'there are'}: {', '.join(some)}"
    return StoreError(library.root, problem, remedy if some else "the library holds none yet")
