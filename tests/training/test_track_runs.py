"""Heads learnt from the tracks of a hand-made library, as files that the indexer applies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from indexer.clothes import COLOURS
from indexer.errors import ConfigError
from indexer.nets import encoder as nets
from indexer.nets import head as heads
from indexer.nets.weights import DEFAULT_ENCODER, read_facts
from indexer.records import Calibration, Line
from indexer.store.library import Library, open_or_create
from tests.libraries import ANN, BOB, CARL, CAST, SETTINGS, Shown, episode, put
from training import track_runs
from training.fit import Schedule
from training.methods.tracks import Linear, Mlp, TrackSettings, features
from training.recipe import Recipe
from training.runs import WEIGHTS
from training.track_runs import HEAD, exported

FACTS = read_facts(DEFAULT_ENCODER)
WIDE = FACTS.dimension
T = TypeVar("T")


class StoppedError(Exception):
    """Interrupts a run."""


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def stocked(root: Path, shots: int) -> Library:
    """Three people share each shot, always in the same clothes, their faces a little different."""
    shown = [Shown(6 * n, 6 * n + 5, who) for n in range(shots) for who in (ANN, BOB, CARL)]
    made = episode("pilot.mp4", [6] * shots, shown)
    rng = np.random.default_rng(0)
    who = rng.normal(size=(3, WIDE))
    tracks = []
    for number, track in enumerate(made.tracks):
        rows = unit(who[number % 3] + 1.5 * rng.normal(size=(3, WIDE)))
        tracks.append(
            replace(
                track,
                exemplar_frames=track.start_frame + np.arange(3),
                quality=np.array([0.9, 0.8, 0.7], np.float32),
                embeddings=rows,
                embedding=rows[0],
                clothes=np.eye(COLOURS, dtype=np.float32)[number % 3],
            )
        )
    cast = [replace(one, prototypes=unit(rng.normal(size=(2, WIDE)))) for one in CAST]
    library = open_or_create(root, FACTS.encoder_id, WIDE, SETTINGS)
    return put(library, replace(made, tracks=tracks), cast)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return stocked(tmp_path_factory.mktemp("show") / "library", shots=16)


def small(mining: str, head: str = "mlp") -> Recipe:
    return Recipe(
        method="tracks",
        fit=Schedule(epochs=2, learning_rate=1e-3, keep="last"),
        tracks=TrackSettings(mining=mining, head=head, steps=3, count=8),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("mining", "head"),
    [
        ("ssiam", "mlp"),
        ("tsiam", "mlp"),
        ("pseudo-rf", "mlp"),
        ("tsiam", "linear"),
        ("tsiam", "tied"),
    ],
)
def test_a_run_leaves_a_head_that_the_indexer_puts_on(
    mining: str, head: str, library: Library, tmp_path: Path
) -> None:
    done = track_runs.run(small(mining, head), library.root, tmp_path / "run")
    saved = heads.load(tmp_path / "run" / HEAD, FACTS)
    assert saved.facts == done.learnt.head.facts
    encoder = nets.load("", "cpu", head=str(tmp_path / "run" / HEAD))
    assert encoder.facts.dimension == (512 if head == "mlp" else WIDE)
    bare = FACTS.calibration.length  # of the head's input, so the encoder's
    assert bare is not None
    assert encoder.facts.calibration == replace(saved.facts.calibration, length=bare)
    found = nets.encode(encoder, np.zeros((2, 112, 112, 3), np.uint8))
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert (data["tracks"], data["faces"], data["people"]) == (48, 144, 3)
    assert data["sharing_a_frame"] == 48
    tables = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(tables["before"]) == {"area_left_out", "apart", "halves", "stable"}
    assert set(tables["after"]) == set(tables["before"])
    assert tables["helps"] is done.learnt.helps
    assert [row["epoch"] for row in tables["epochs"]] == [0, 1, 2]
    assert (tmp_path / "run" / "curves.png").is_file()
    assert not (tmp_path / "run" / WEIGHTS).exists()


@pytest.mark.parametrize("kind", [Mlp, Linear])
def test_the_head_is_the_module_in_unit_rows(kind: type[Mlp | Linear], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = kind(WIDE)
    rows = unit(np.random.default_rng(1).normal(size=(5, WIDE)))
    line = (Line(0.5, 9.0),)
    known = Calibration((96.0,), line, line, 0.7, 0.1)
    path = tmp_path / HEAD
    heads.save(path, exported(module, FACTS.encoder_id, known))
    found = heads.load(path, FACTS)(rows)
    assert np.allclose(found, unit(features(module, rows)), rtol=0, atol=1e-6)
    assert heads.load(path, FACTS)(rows[:0]).shape == (0, found.shape[1])


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_an_interrupted_run_ends_with_the_head_of_one_that_was_not(
    stop_after: int, library: Library, tmp_path: Path
) -> None:
    """The run is stopped in an epoch of either of its two heads."""
    how = small("tsiam")
    usual = track_runs.run(how, library.root, tmp_path / "whole")
    stopping = _Stops(stop_after)
    with pytest.raises(StoppedError):
        track_runs.run(how, library.root, tmp_path / "halves", stopping)
    assert not (tmp_path / "halves" / HEAD).exists()
    resumed = track_runs.run(how, library.root, tmp_path / "halves")
    assert resumed.fitted.history == usual.fitted.history
    assert resumed.learnt.head.facts == usual.learnt.head.facts
    ours, theirs = (load_file(tmp_path / name / HEAD) for name in ("halves", "whole"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_a_folder_is_of_one_run(library: Library, tmp_path: Path) -> None:
    track_runs.run(small("ssiam"), library.root, tmp_path / "run")
    before = (tmp_path / "run" / HEAD).read_bytes()
    with pytest.raises(ConfigError, match="another run"):
        track_runs.run(small("tsiam"), library.root, tmp_path / "run")
    other = stocked(tmp_path / "other", shots=15)
    with pytest.raises(ConfigError, match="another run"):
        track_runs.run(small("ssiam"), other.root, tmp_path / "run")
    assert (tmp_path / "run" / HEAD).read_bytes() == before


@pytest.mark.parametrize(
    ("shots", "said"), [(0, "three faces or more, got 0"), (5, "has 30 pairs .* and 15 on screen")]
)
def test_too_little_is_refused(shots: int, said: str, tmp_path: Path) -> None:
    library = stocked(tmp_path / "library", shots)
    with pytest.raises(ConfigError, match=said):
        track_runs.run(small("ssiam"), library.root, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class _Stops:
    """Lets some epochs of training pass, and stops in the middle of the next."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def __call__(self, items: Iterable[T], /, *, total: int, what: str) -> Iterable[T]:
        if what != "fit":
            return items
        self.epochs -= 1
        return items if self.epochs >= 0 else self._some(items)

    def _some(self, items: Iterable[T]) -> Iterator[T]:
        yield from islice(items, 1)
        raise StoppedError
