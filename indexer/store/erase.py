"""Tracks removed from an episode, with their faces and pictures; the rest stays as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from indexer.records import Repeat
from indexer.store import disk, read, schema, tables
from indexer.store.library import Library
from indexer.store.write import TRACKS_PER_GROUP, StagedEpisode


def without_tracks(library: Library, episode: str, gone: Set[int], into: Path) -> StagedEpisode:
    """Return a staged copy of an episode without some tracks and what its repeats say of them.

    Args:
        library: that holds the episode.
        episode: its id.
        gone: uids of the tracks, also of other episodes' tracks.
        into: a folder that `staging` yields.

    Raises:
        StoreError: a table is missing or damaged, or the disk fails.
    """
    old, new = library.episode(episode), into / episode
    manifest = read.read_manifest(library, episode)
    with disk.explained(library.root):
        (new / schema.THUMBNAILS).mkdir(parents=True)
        for name in (schema.SHOTS, schema.FRAMES):
            disk.write_file(new / name, (old / name).read_bytes())
        tracks = _filtered(library, old, new, schema.TRACKS, "uid", gone)
        faces = _filtered(library, old, new, schema.FACES, "track", gone)
        kept = set(tables.integers_of(tracks["uid"]).tolist())
        for uid in sorted(kept):
            name = f"{schema.THUMBNAILS}/{uid}.jpg"
            if (old / name).exists():
                disk.write_file(new / name, (old / name).read_bytes())
        manifest["counts"] |= {"tracks": tracks.num_rows, "faces": faces.num_rows}
        text = json.dumps(manifest, indent=1, allow_nan=False)
        disk.write_file(new / schema.MANIFEST, text.encode())
    repeats = tuple(_apart(one, gone) for one in read.read_repeats(library, episode))
    return StagedEpisode(episode, new, repeats)


def names_any(stretches: Sequence[Repeat], gone: Set[int]) -> bool:
    """Return whether any of the repeats refers to any of the tracks, by uid."""
    return any(gone & {*one.tracks, *one.their_tracks} for one in stretches)


def _apart(one: Repeat, gone: Set[int]) -> Repeat:
    pairs = zip(one.tracks, one.their_tracks, strict=True)
    kept = [(mine, theirs) for mine, theirs in pairs if not gone & {mine, theirs}]
    return replace(one, tracks=tuple(a for a, _ in kept), their_tracks=tuple(b for _, b in kept))


def _filtered(
    library: Library, old: Path, new: Path, name: str, column: str, gone: Set[int]
) -> pa.Table:
    """Write the rows of a table that belong to no removed track, and return them."""
    table = read.read_table(library, old / name)
    keep = [uid not in gone for uid in tables.integers_of(table[column]).tolist()]
    table = table.filter(pa.array(keep, pa.bool_()))
    rows = TRACKS_PER_GROUP if name == schema.TRACKS else tables.ROWS_PER_GROUP
    with tables.TableWriter(new / name, table.schema, rows) as writer:
        for batch in table.to_batches():
            writer.add(batch)
        writer.close()
    return table
