from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import faiss
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from indexer.errors import StoreError
from indexer.store import schema
from indexer.store.library import Library, open_library
from indexer.store.query import SceneQuery, people, scenes
from indexer.store.verify import verify
from tests.libraries import ANN, BOB, CAST, Episode, Shown, episode, episodes, new, put

MADE = episode("Pilot.mp4", (20, 5), [Shown(0, 9, ANN), Shown(2, 19, BOB), Shown(20, 24, 0)])


@settings(max_examples=8)
@given(made=episodes())
def test_whatever_was_published_is_whole(
    made: Episode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = put(put(new(tmp_path_factory.mktemp("whole")), MADE, CAST), made, CAST)
    assert verify(library) == []


def test_an_empty_library_is_whole(tmp_path: Path) -> None:
    assert verify(new(tmp_path / "none")) == []
    assert verify(put(new(tmp_path), episode("Empty.mp4"), [])) == []


def _rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table).cast(table.schema), path)


def _other_frames(table: pa.Table) -> pa.Table:
    return table.set_column(0, "frame", pc.add(table["frame"], 1))


def _other_numbers(table: pa.Table) -> pa.Table:
    return table.set_column(0, "shot", pc.multiply(table["shot"], 2))


def _other_times(table: pa.Table) -> pa.Table:
    return table.set_column(2, "time_s", pc.negate(table["time_s"]))


def _no_manifest_video(path: Path) -> None:
    path.write_text(json.dumps({"episode": MADE.id}))


def _repeats(*rows: tuple[int, int, int]) -> Callable[[pa.Table], pa.Table]:
    """Put repeats of a missing episode into a table: (shot, first frame, last frame) of each."""
    none: list[int] = []
    names = ("shot", "start_frame", "end_frame")
    rest = {"episode": "gone", "their_start_frame": 0, "distance": 0.0}
    lists = {"tracks": none, "their_tracks": none}
    full = [dict(zip(names, row, strict=True)) | rest | lists for row in rows]
    return lambda table: pa.Table.from_pylist(full, table.schema)


def _empty_index(path: Path) -> None:
    faiss.write_index(faiss.IndexIDMap2(faiss.IndexFlatIP(8)), str(path))


FOLDER = f"episodes/{MADE.id}"


@pytest.mark.parametrize(
    ("name", "harm", "problem"),
    [
        ("tracks.faiss", Path.unlink, "tracks.faiss: there is no such file"),
        ("tracks.faiss", _empty_index, "tracks.faiss does not match the tracks"),
        ("characters.parquet", Path.unlink, "characters.parquet: is missing"),
        (
            "characters.parquet",
            lambda path: _rewrite(path, lambda table: table.slice(1)),
            "identities.parquet: the library has no characters [1]",
        ),
        (
            "characters.parquet",
            lambda path: _rewrite(path, lambda table: pa.concat_tables([table, table])),
            "characters.parquet: ids are not unique, or not below the next one",
        ),
        (
            f"{FOLDER}/shots.parquet",
            lambda path: _rewrite(path, _other_numbers),
            "shots.parquet: shots are not numbered in their order",
        ),
        (
            f"{FOLDER}/frames.parquet",
            lambda path: _rewrite(path, _other_times),
            "frames.parquet: time runs backwards",
        ),
        (f"{FOLDER}/manifest.json", Path.unlink, f"{FOLDER}: has no manifest.json"),
        (f"{FOLDER}/manifest.json", _no_manifest_video, "manifest.json: is damaged"),
        (
            f"{FOLDER}/frames.parquet",
            lambda path: _rewrite(path, _other_frames),
            "frames.parquet: frames are not numbered from 0 to 24",
        ),
        (
            f"{FOLDER}/frames.parquet",
            lambda path: _rewrite(path, lambda table: table.slice(0, 9)),
            "frames.parquet: frames are not numbered from 0 to 24",
        ),
        (
            f"{FOLDER}/shots.parquet",
            lambda path: _rewrite(path, lambda table: table.slice(1)),
            "shots.parquet: shots do not follow one another",
        ),
        (
            f"{FOLDER}/faces.parquet",
            lambda path: _rewrite(path, lambda table: table.slice(1)),
            "faces.parquet: 1 tracks do not have a face in each of their frames",
        ),
        (
            f"{FOLDER}/tracks.parquet",
            lambda path: _rewrite(path, lambda table: table.slice(0, 2)),
            "faces.parquet: 1 tracks do not have a face in each of their frames",
        ),
        (
            f"{FOLDER}/tracks.parquet",
            lambda path: _rewrite(path, lambda table: pa.concat_tables([table, table.slice(2)])),
            "tracks.parquet: a uid occurs twice",
        ),
        (
            f"{FOLDER}/identities.parquet",
            lambda path: _rewrite(path, lambda table: table.slice(1)),
            "identities.parquet: not every track has one identity",
        ),
        (f"{FOLDER}/repeats.parquet", Path.unlink, "repeats.parquet: is missing"),
        (
            f"{FOLDER}/repeats.parquet",
            lambda path: _rewrite(path, _repeats((0, 3, 5))),
            "repeats.parquet: the library has no gone",
        ),
        (
            f"{FOLDER}/repeats.parquet",
            lambda path: _rewrite(path, _repeats((0, 3, 20))),
            "repeats.parquet: a stretch from frame 3 is not in its shot",
        ),
        (
            f"{FOLDER}/repeats.parquet",
            lambda path: _rewrite(path, _repeats((0, 3, 9), (0, 9, 12))),
            "repeats.parquet: a stretch from frame 9 overlaps another",
        ),
        (
            f"{FOLDER}/thumbnails/{MADE.tracks[1].uid}.jpg",
            Path.unlink,
            f"thumbnails: 1 are missing, the first is {MADE.tracks[1].uid}.jpg",
        ),
    ],
)
def test_every_harm_is_found(
    name: str, harm: Callable[[Path], None], problem: str, tmp_path: Path
) -> None:
    put(new(tmp_path), MADE, CAST)
    harm(tmp_path / name)
    found = verify(open_library(tmp_path))
    assert any(problem in line for line in found), found
    assert all(str(tmp_path) in line for line in found)
    assert len(set(found)) == len(found)


def test_a_folder_that_is_no_episode_is_said_to_be_none(tmp_path: Path) -> None:
    library = put(new(tmp_path), MADE, CAST)
    junk = library.episode("junk")
    junk.mkdir()
    remedy = "restore it from a copy, or move it away if it is not an episode"
    assert verify(library)[0] == f"{junk}: has no manifest.json ({remedy})"
    for ask in (people, lambda library: scenes(library, SceneQuery("Ann"))):
        with pytest.raises(StoreError, match=r"junk: has no manifest\.json \(restore it"):
            ask(library)


def test_an_episode_under_another_id_is_found(tmp_path: Path) -> None:
    library: Library = put(new(tmp_path), MADE, CAST)
    library.episode(MADE.id).rename(library.episode(f"other-{schema.id_digits(MADE.id)}"))
    found = verify(library)
    assert any("manifest.json is of another episode" in line for line in found)
    shutil.copytree(library.episode(f"other-{schema.id_digits(MADE.id)}"), library.episode(MADE.id))
    shutil.copytree(library.episode(MADE.id), library.episode("alien-00000000"))
    found = verify(library)
    digits = schema.id_digits(MADE.id)
    assert any(f"2 episodes whose ids end with {digits} have" in line for line in found)
    assert any("tracks.parquet: a uid is not this episode's" in line for line in found)
