from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import StoreError
from indexer.records import Repeat
from indexer.store import appearances, read, schema, tables
from indexer.store.library import Library
from indexer.store.read import read_table
from indexer.store.tables import TableWriter
from tests.libraries import ANN, CAST, DIMENSION, Episode, Shown, episode, episodes, new, put

TABLES = schema.EPISODE_TABLES
FRAMES = schema.table_schema(schema.FRAMES, DIMENSION)


def frames(start: int, end: int) -> Any:  # noqa: ANN401 - Arrow has no types
    numbers = np.arange(start, end)
    values = {
        "frame": numbers,
        "pts": numbers * 512,
        "time_s": numbers / 25,
        "shot": numbers // 9,
        "hash": numbers * 77,
    }
    return tables.batch_of(FRAMES, values)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 50), max_size=8), total=st.integers(0, 50))
def test_a_file_does_not_tell_in_which_portions_it_was_written(
    cuts: list[int], total: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    digests = set()
    for ends in ([total], sorted(min(cut, total) for cut in [*cuts, total])):
        path = tmp_path_factory.mktemp("portions") / "frames.parquet"
        with TableWriter(path, FRAMES, rows_per_group=16) as writer:
            for start, end in zip([0, *ends], [*ends, total], strict=True):
                writer.add(frames(start, end))
            writer.close()
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    facts = pq.ParquetFile(path).metadata
    rows = [facts.row_group(group).num_rows for group in range(facts.num_row_groups)]
    assert rows == [16] * (total // 16) + [total % 16] * (total % 16 > 0)
    assert pq.read_table(path)["frame"].to_pylist() == list(range(total))


@settings(max_examples=15)
@given(made=episodes())
def test_what_is_written_is_read_back(
    made: Episode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = put(new(tmp_path_factory.mktemp("back")), made, CAST)
    assert read.read_shots(library, made.id) == made.shots
    assert read.read_identities(library, made.id) == made.identities
    assert read.read_manifest(library, made.id)["video"] == made.manifest()["video"]
    pairs: list[tuple[Any, Any]] = [
        *zip(made.tracks, read.read_tracks(library, made.id), strict=True),
        *zip(CAST, read.read_characters(library), strict=True),
    ]
    for written, got in pairs:
        for name in written.__slots__:
            np.testing.assert_array_equal(getattr(got, name), getattr(written, name), strict=True)
    faces = read_table(library, library.episode(made.id) / schema.FACES)
    traces = zip(made.tracks, made.traces, strict=True)
    uids = [track.uid for track, trace in traces for _ in trace.frames]
    assert faces["track"].to_pylist() == uids
    boxes = np.concatenate([np.zeros((0, 4)), *(trace.boxes for trace in made.traces)])
    np.testing.assert_array_equal(tables.vectors_of(faces["box"]), boxes)


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    made = episode("Pilot.mp4", (20, 30), [Shown(0, 9, ANN), Shown(20, 49, 0)])
    trees = []
    for name in ("one", "two"):
        put(new(tmp_path / name), made, CAST)
        files = (tmp_path / name).rglob("*")
        trees.append({one.name: one.read_bytes() for one in files if one.is_file()})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 14


@pytest.fixture
def library(tmp_path: Path) -> tuple[Library, Episode]:
    made = episode("Pilot.mp4", (20,), [Shown(0, 9, ANN), Shown(2, 19, 0)])
    home = put(new(tmp_path / "it's a [small] *library*, 100%?#\"ü"), episode("Before.mp4"), CAST)
    known = episode("Before.mp4").id
    again = Repeat(0, 0, 9, known, 5, 1.5, (made.tracks[0].uid,), (made.tracks[1].uid,))
    return put(home, made, CAST, [again]), made


def test_any_reader_opens_the_tables_and_finds_them_explained(
    library: tuple[Library, Episode],
) -> None:
    home, made = library
    paths = [home.root / schema.CHARACTERS, *(home.episode(made.id) / name for name in TABLES)]
    for path in paths:
        with path.open("rb") as file:
            written = pq.ParquetFile(file)
            facts = written.schema_arrow.metadata
            assert written.metadata.row_group(0).column(0).compression == "ZSTD"
            assert all(field.metadata[b"description"] for field in written.schema_arrow)
        assert facts[b"schema_version"] == b"2"
        assert facts[b"encoder_id"] == home.encoder_id.encode()
        assert json.loads(facts[b"settings"]) == home.settings
    with duckdb.connect() as connection:
        tracks = str(home.episode(made.id) / schema.TRACKS).replace("[", "[[]").replace("*", "[*]")
        query = "SELECT uid, len(embedding), len(embeddings[1]) FROM read_parquet(?)"
        rows = connection.execute(query, [tracks.replace("?", "[?]")]).fetchall()
    assert rows == [(one.uid, DIMENSION, DIMENSION) for one in made.tracks]


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    made = episode("Nobody.mp4", (3,))
    home = put(new(tmp_path), made, [])
    assert not any([read.read_characters(home), read.read_tracks(home, made.id)])
    assert len(read_table(home, home.episode(made.id) / schema.FACES)) == 0
    assert appearances.of_episode(home, made.id) == []


def of_before(home: Library, name: str = "") -> None:
    """Make the table of characters that of an older library: a column is missing, or renamed."""
    path = home.root / schema.CHARACTERS
    table = pq.read_table(path)
    columns = [name if one == "clear_px" else one for one in table.column_names]
    old = table.rename_columns(columns) if name else table.drop_columns("clear_px")
    pq.write_table(old.replace_schema_metadata(table.schema.metadata), path)


def test_a_library_of_before_keeps_everybody(library: tuple[Library, Episode]) -> None:
    home, _ = library
    of_before(home)
    for one, was in zip(read.read_characters(home), CAST, strict=True):
        assert one.clear_px == 24.0
        for name in set(was.__slots__) - {"clear_px"}:
            np.testing.assert_array_equal(getattr(one, name), getattr(was, name), strict=True)
    assert read.find_character(home, "ann").id == ANN
    path = home.root / schema.CHARACTERS
    assert read_table(home, path, ["label", "clear_px"]).column_names == ["label", "clear_px"]
    assert read_table(home, path, ["label"]).column_names == ["label"]


def test_a_library_of_before_may_know_nobody(tmp_path: Path) -> None:
    home = put(new(tmp_path), episode("Nobody.mp4", (3,)), [])
    of_before(home)
    assert read.read_characters(home) == []


def test_a_damaged_name_of_a_column_is_no_library_of_before(
    library: tuple[Library, Episode],
) -> None:
    home, _ = library
    of_before(home, "clear_py")
    with pytest.raises(StoreError, match=r"characters\.parquet: lacks required columns"):
        read.read_characters(home)


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_file_is_refused_or_read_rightly(
    name: str, library: tuple[Library, Episode]
) -> None:
    """Whichever byte is wrong, wherever the file ends: the same rows, or a `StoreError`."""
    home, made = library
    path = home.episode(made.id) / name
    whole = path.read_bytes()
    expected = read_table(home, path)
    generator = np.random.default_rng(7)
    refused = 0
    for _ in range(30):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << generator.integers(8)
        for content in (damaged, whole[: generator.integers(len(whole))]):
            path.write_bytes(content)
            try:
                found = read_table(home, path)
            except StoreError:
                refused += 1
            else:
                assert found.equals(expected)
    assert refused >= 30


def test_a_table_of_another_kind_is_refused(library: tuple[Library, Episode]) -> None:
    home, made = library
    path = home.episode(made.id) / schema.SHOTS
    table = pq.read_table(path)
    good = table.schema.metadata
    for change, message in (
        ({b"schema_version": b"99"}, r"made by a newer version .*\(update this project\)"),
        ({b"schema_version": b"0"}, "made by an older version"),
        ({b"schema_version": b"x"}, "does not say which schema version"),
        ({b"encoder_id": b"b"}, "made with encoder b, not encoder- "),
    ):
        pq.write_table(table.replace_schema_metadata(good | change), path)
        with pytest.raises(StoreError, match=message):
            read_table(home, path)
    pq.write_table(table.drop_columns("end_s"), path)
    with pytest.raises(StoreError, match=r"shots\.parquet: lacks required columns"):
        read_table(home, path)
    path.unlink()
    with pytest.raises(StoreError, match=r"shots\.parquet: is missing"):
        read_table(home, path)
