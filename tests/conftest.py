"""Fixtures that tests share: a synthetic episode, indexed once through the real command line."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
from filelock import FileLock

from training.demo import detector
from training.people import write_people
from training.synthesize import EpisodeSpec, Truth, synthesize

Made = TypeVar("Made")

# No deadlines: a busy machine is slow, not wrong, and speed is measured by the bench.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

CAST = ("Ada", "Ben", "Cleo")
STRANGERS = ("Dora", "Emil")


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Skip fsync in the test process: what tests publish need not survive a power cut.

    Commands that run as processes of their own still call it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data", default="", help="folder of the clips for measuring; may be left out"
    )


@dataclass(frozen=True)
class Ran:
    """A command's exit status and output."""

    status: int
    out: str
    err: str


def run(*arguments: object, module: str = "indexer", cwd: Path | None = None) -> Ran:
    """Run ``python -m indexer ...`` as a user would, on one thread."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, timeout=300
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Show:
    """A synthetic episode with its cast's gallery and its truth."""

    video: Path
    gallery: Path
    truth: Truth


def once(
    factory: pytest.TempPathFactory, worker: str, name: str, make: Callable[[Path], Made]
) -> Made:
    """Return what `make` makes in a folder; the first worker that asks makes it for all workers."""
    root = factory.getbasetemp() if worker == "master" else factory.getbasetemp().parent
    kept = root / f"{name}.pickle"
    with FileLock(root / f"{name}.lock"):
        if not kept.is_file():
            (root / name).mkdir()
            kept.write_bytes(pickle.dumps(make(root / name)))
        made: Made = pickle.loads(kept.read_bytes())
        return made


@pytest.fixture(scope="session")
def show(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Show:
    """An episode with a cast of three and two strangers; tests must not change it."""
    return once(tmp_path_factory, worker_id, "show", _show)


def _show(folder: Path) -> Show:
    write_people(folder / "gallery", stills=4, seed=1, names=CAST)
    write_people(folder / "people", stills=2, seed=2, names=(*CAST, *STRANGERS))
    spec = EpisodeSpec(seconds=24, seed=5)
    video = folder / "episode one.mp4"
    truth = synthesize(folder / "people", video, spec, detector(), STRANGERS)
    return Show(video, folder / "gallery", truth)


@dataclass(frozen=True)
class Indexed:
    """A library that holds the show, its cast enrolled."""

    library: Path
    show: Show
    enrolled: Ran
    indexed: Ran


@pytest.fixture(scope="session")
def library(show: Show, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Indexed:
    """The show, enrolled and indexed by the command line; tests must not change it."""

    def make(folder: Path) -> Indexed:
        root = folder / "outputs"
        enrolled = run("enroll", show.gallery, "--library", root)
        indexed = run("index", show.video, "--library", root)
        return Indexed(root, show, enrolled, indexed)

    return once(tmp_path_factory, worker_id, "library", make)
