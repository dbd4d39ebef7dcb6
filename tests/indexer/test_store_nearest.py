from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.records import Float32, Int64
from indexer.store import nearest, read, schema, vectors
from indexer.store.library import Library
from indexer.store.query import similar
from indexer.store.vectors import Cells, Exact
from indexer.store.verify import verify
from tests.libraries import CAST, DIMENSION, Episode, Shown, episode, new, put

COUNT = 600


@pytest.fixture(autouse=True)
def _few_is_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(vectors, "EXACT_UP_TO", 20)
    monkeypatch.setattr(vectors, "_SAMPLE_PER_CELL", 4)


def crowd(count: int = COUNT, size: int = 32) -> Float32:
    """Return unit rows around one of ten people each, (count, size)."""
    generator = np.random.default_rng(3)
    people = generator.normal(size=(10, size))
    rows = people[np.arange(count) % 10] + 0.3 * generator.normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def index_of(rows: Float32, portions: list[int]) -> Cells:
    """Return an index in cells; ids are the rows' numbers, 7 apart."""
    uids = np.arange(len(rows)) * 7
    train = rows[uids <= vectors.sample_end(uids)]
    index = vectors.trained(train, vectors.cells_for(len(rows)))
    for start, end in pairwise(sorted({0, *portions, len(rows)})):
        vectors.add(index, uids[start:end], rows[start:end])
    return vectors.settled(index)


def content(index: Cells) -> bytes:
    return faiss.serialize_index(index).tobytes()


def test_the_kind_follows_from_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [vectors.cells_for(count) for count in (0, 20, 21, 600)] == [0, 0, 4, 32]
    assert isinstance(index_of(crowd(), []), Cells)
    monkeypatch.undo()
    counts = [10**4, 10**5, 2**18, 2**18 + 1, 10**6, 10**7]
    assert [vectors.cells_for(count) for count in counts] == [0, 0, 0, 512, 1024, 4096]


def test_cells_find_nearly_what_exact_search_finds_and_score_it_exactly() -> None:
    rows = crowd()
    index, right = index_of(rows, []), 0
    index.nprobe = 8
    for row in rows[::20]:
        cosines = rows @ row
        found = vectors.search(index, row, 10, lambda uids: rows[uids // 7])
        assert len(found) == 10
        assert found[0][1] == pytest.approx(1.0, abs=1e-6)
        assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
        assert all(score == pytest.approx(cosines[uid // 7], abs=1e-6) for uid, score in found)
        right += len({uid // 7 for uid, _ in found} & set(np.argsort(-cosines)[:10].tolist()))
    assert right / 300 >= 0.95


@settings(max_examples=10)
@given(
    portions=st.lists(st.integers(1, COUNT), max_size=4),
    gone=st.lists(st.integers(300, COUNT - 1), max_size=50, unique=True),
    threads=st.integers(1, 2),
)
def test_an_index_does_not_tell_how_it_came_about(
    portions: list[int], gone: list[int], threads: int
) -> None:
    rows, before = crowd(), faiss.omp_get_max_threads()
    expected = content(index_of(rows, []))
    faiss.omp_set_num_threads(threads)
    index = index_of(rows, portions)
    faiss.omp_set_num_threads(before)
    assert content(index) == expected
    vectors.remove(index, np.array(gone, dtype=np.int64) * 7)
    assert len(vectors.uids_of(vectors.settled(index))) == COUNT - len(gone)
    vectors.add(index, np.array(gone, dtype=np.int64) * 7, rows[gone])
    assert content(vectors.settled(index)) == expected


def shown(name: str, tracks: int) -> Episode:
    return episode(name, (tracks,), [Shown(frame, frame, 1) for frame in range(tracks)])


def uids_in(library: Library) -> list[int]:
    return [one.uid for name in read.episodes(library) for one in read.read_tracks(library, name)]


def by_digits(names: int, tracks: int) -> list[Episode]:
    made = [shown(f"{number}.mp4", tracks) for number in range(names)]
    return sorted(made, key=lambda one: schema.id_digits(one.id))


def test_a_library_that_grows_has_the_index_of_one_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = by_digits(8, 12)
    library = new(tmp_path / "grown")
    anew: list[int] = []
    build = nearest.build

    def counted(home: Library, tracks: Sequence[Path], uids: Int64) -> Exact | Cells:
        anew.append(len(uids))
        return build(home, tracks, uids)

    with monkeypatch.context() as patch:
        patch.setattr(nearest, "build", counted)
        for one in made[:7]:
            library = put(library, one, CAST)
        assert len(anew) < 7
        anew.clear()
        library = put(library, shown(made[6].video.name, 11), CAST)
        library = put(library, made[7], CAST)
        assert not anew
        library = put(library, made[0], CAST)
        assert anew
    other = new(tmp_path / "other")
    for one in (*made[:6], shown(made[6].video.name, 11), made[7]):
        other = put(other, one, CAST)
        (other.root / schema.INDEX).unlink()
    other = put(other, made[7], CAST)
    uids = np.array(uids_in(other))
    grown = nearest.read(library, uids)
    assert isinstance(grown, Cells)
    assert content(grown) == (library.root / schema.INDEX).read_bytes()
    assert (library.root / schema.INDEX).read_bytes() == (other.root / schema.INDEX).read_bytes()
    assert verify(library) == []


def test_similar_tracks_of_a_large_library_have_exact_scores(tmp_path: Path) -> None:
    library = new(tmp_path)
    for one in by_digits(3, 30):
        library = put(library, one, CAST)
    everybody = [one for name in read.episodes(library) for one in read.read_tracks(library, name)]
    asked = everybody[17]
    hits = similar(library, asked.embedding, 5)
    assert hits[0].track == asked.uid
    cosines = {one.uid: float(one.embedding @ asked.embedding) for one in everybody}
    assert all(hit.score == pytest.approx(cosines[hit.track], abs=1e-6) for hit in hits)
    (tmp_path / schema.INDEX).unlink()
    assert similar(library, asked.embedding, 5) == hits


@pytest.mark.parametrize(
    "harm",
    [
        lambda index: vectors.remove(index, vectors.uids_of(index)[:1]),
        lambda index: vectors.add(index, np.array([1]), np.eye(DIMENSION, dtype=np.float32)[:1]),
        lambda index: faiss.rev_swig_ptr(index.invlists.get_codes(0), 8).fill(0),
    ],
)
def test_an_index_in_cells_that_lies_is_found(
    tmp_path: Path, harm: Callable[[Cells], object]
) -> None:
    library = put(new(tmp_path), shown("Pilot.mp4", 40), CAST)
    path = tmp_path / schema.INDEX
    index = faiss.read_index(str(path))
    assert isinstance(index, Cells)
    harm(index)
    path.unlink()
    nearest.write(path, index)
    assert any("tracks.faiss" in line for line in verify(library))


def test_an_index_of_nothing_finds_nothing() -> None:
    nobody = np.zeros(DIMENSION, dtype=np.float32)
    assert vectors.search(vectors.exact(DIMENSION), nobody, 3, lambda _: nobody[None]) == []
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        vectors.search(vectors.exact(DIMENSION), nobody, 0, lambda _: nobody[None])
