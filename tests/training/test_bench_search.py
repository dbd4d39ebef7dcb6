from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.store import vectors
from indexer.store.library import open_library
from indexer.store.query import SceneQuery, scenes
from indexer.store.verify import verify
from training.bench.crowd import Crowd
from training.bench.episodes import NAME, make_library
from training.bench.search import bench_search


def test_every_size_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "EXACT_UP_TO", 500)
    said: list[str] = []
    rows = bench_search([400, 4000], said.append)
    assert [row["index"] for row in rows] == ["exact", "64 cells"]
    assert [row["tracks"] for row in rows] == [400, 4000]
    assert rows[0]["recall_at_10"] == 1.0
    assert len(said) == 2
    assert bench_search([], said.append) == []


def test_a_crowd_is_as_alike_as_faces_are() -> None:
    crowd = Crowd(100)  # two people
    rows = crowd.some(0, 2000)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows, crowd.some(0, 2000))
    cosines = rows[:1000] @ rows[1000:].T
    assert cosines[cosines > 0.4].mean() == pytest.approx(0.686, abs=0.02)
    strangers = Crowd(100_000).some(0, 400)
    between = strangers[:200] @ strangers[200:].T
    assert between.mean() == pytest.approx(0.104, abs=0.02)
    assert between.std() == pytest.approx(0.09, abs=0.02)


def test_a_made_library_is_whole_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    make_library(tmp_path, 2)
    library = open_library(tmp_path)
    assert verify(library) == []
    assert scenes(library, SceneQuery(NAME))
