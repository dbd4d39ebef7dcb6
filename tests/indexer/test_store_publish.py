from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from indexer.errors import StoreError
from indexer.records import Identity
from indexer.store import journal, read
from indexer.store.library import Library, locked, open_library
from indexer.store.publish import publish
from indexer.store.verify import verify
from indexer.store.write import EpisodeWriter
from tests.libraries import (
    ANN,
    BOB,
    CARL,
    CAST,
    Episode,
    Shown,
    character,
    episode,
    new,
    put,
    state,
    write,
)

PILOT = episode("Pilot.mp4", (10,), [Shown(0, 5, ANN), Shown(2, 9, BOB)])
PILOT_AGAIN = episode("Pilot.mp4", (4, 6), [Shown(0, 3, BOB)])
SECOND = episode("Second.mp4", (5,), [Shown(0, 4, ANN)])
THIRD = episode("Third.mp4", (5,), [Shown(1, 4, CARL)])
STEPS: Sequence[tuple[Any, str]] = [
    *((os, name) for name in ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "open")),
    (io, "open"),
    (pq.ParquetWriter, "write_table"),
    (pq.ParquetWriter, "close"),
    (faiss, "write_index"),
]


class Killed(BaseException):
    """The process is dead: none of its further steps happens."""


@contextmanager
def failing(at: int, error: BaseException, *, dead: bool) -> Iterator[list[int]]:
    """Let the `at`-th step on the disk fail, and all later ones if the process is `dead`."""
    steps = [0]

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - stands for anything
            steps[0] += 1
            if steps[0] == at or (dead and steps[0] > at):
                raise error
            return None if real is sync else real(*args, **named)

        return step

    sync = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, guarded(getattr(owner, name)))
        yield steps


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """Return a library of two episodes."""
    root = tmp_path / "before"
    put(put(new(root), PILOT, CAST[:2]), SECOND, CAST[:2])
    return root


def renamed(made: Episode, who: int) -> list[Identity]:
    return [Identity(one.uid, who, 0.99, 0.9, 0.8, 0) for one in made.tracks]


def change(root: Path, during: Callable[[Callable[[], Library]], object]) -> None:
    """Index the pilot again and rename the second episode's people; `during` publishes."""
    library = new(root)
    with (
        EpisodeWriter(library, PILOT_AGAIN.id, PILOT_AGAIN.sha256) as writer,
        locked(library) as current,
    ):
        staged = [write(writer, PILOT_AGAIN)]
        identities = {PILOT.id: PILOT_AGAIN.identities, SECOND.id: renamed(SECOND, BOB)}
        during(
            lambda: publish(
                current,
                episodes=staged,
                characters=CAST,
                identities=identities,
                next_character_id=7,
            )
        )


def crash(root: Path, at: int, error: BaseException, *, dead: bool) -> type | None:
    """Publish with one step failing, and return what was raised."""

    def act(publishing: Callable[[], Library]) -> None:
        with failing(at, error, dead=dead):
            publishing()

    try:
        change(root, act)
    except (Killed, StoreError) as raised:
        return type(raised)
    return None


def steps_of(act: Callable[[], object]) -> int:
    """Return how many steps an act takes on the disk."""
    with failing(sys.maxsize, Killed(), dead=True) as steps:
        act()
    return steps[0]


def copy_of(before: Path, name: str) -> Path:
    root = before.with_name(name)
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(before, root)
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Return every file of a library, except those under ``.publish``, which nobody reads."""
    return {
        str(one.relative_to(root)): one.read_bytes()
        for one in root.rglob("*")
        if one.is_file() and ".publish" not in one.parts
    }


def test_a_crash_at_any_step_leaves_the_old_or_the_new(before: Path) -> None:
    old = tree(before)
    assert verify(open_library(before)) == []
    root = copy_of(before, "whole")
    counts: list[int] = []
    change(root, lambda act: counts.append(steps_of(act)))
    fresh = tree(root)
    assert verify(open_library(root)) == []
    outcomes = set()
    for at in range(1, counts[0] + 1):
        for error, dead in ((Killed(), True), (OSError(errno.EIO, "no"), False)):
            root = copy_of(before, "crashed")
            raised = crash(root, at, error, dead=dead)
            open_library(root)
            is_new = tree(root) == fresh
            assert is_new or tree(root) == old, f"step {at}, dead: {dead}"
            outcomes.add((raised, is_new))
    assert {(Killed, False), (Killed, True), (StoreError, False)} <= outcomes
    assert (None, False) not in outcomes


def test_a_recovery_may_itself_crash_at_any_step(before: Path) -> None:
    root = copy_of(before, "whole")
    change(root, lambda act: act())
    fresh = tree(root)
    committed = copy_of(before, "committed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "roll_forward", _die)
        with pytest.raises(Killed):
            change(committed, lambda act: act())
    assert tree(copy_of(committed, "crashed")) != fresh
    root = copy_of(committed, "crashed")
    steps = steps_of(lambda: open_library(root))
    for at in range(1, steps + 1):
        root = copy_of(committed, "crashed")
        with failing(at, Killed(), dead=True), suppress(Killed):
            open_library(root)
        open_library(root)
        assert tree(root) == fresh, f"step {at}"


def _die(_: Path) -> None:
    raise Killed


def test_a_killed_process_leaves_a_library_that_goes_on(before: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from indexer.store import journal
import tests.indexer.test_store_publish as here

def die(*_):
    os._exit(9)

setattr(journal, sys.argv[2], die)
here.change(Path(sys.argv[1]), lambda act: act())
"""
    old, root = tree(before), copy_of(before, "whole")
    change(root, lambda act: act())
    fresh = tree(root)
    for name, then in (("commit", old), ("roll_forward", fresh)):
        root = copy_of(before, name)
        command = [sys.executable, "-c", code, str(root), name]
        done = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == 9
        assert any(root.glob(".staging-*"))
        library = open_library(root)
        with EpisodeWriter(library, PILOT.id, PILOT.sha256):
            assert len(list(root.glob(".staging-*"))) == 1
        with locked(library):
            assert not (root / ".publish").exists()
        assert tree(root) == then


def test_runs_that_publish_at_once_take_turns(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.libraries import CAST, Shown, episode, new, put

put(new(Path(sys.argv[1])), episode(sys.argv[2], (5,), [Shown(0, 4, 1)]), CAST)
"""
    names = [f"{number}.mp4" for number in range(2)]
    root = tmp_path / "library"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(root), name], cwd=Path(__file__).parents[2]
        )
        for name in names
    ]
    assert [run.wait() for run in runs] == [0, 0]
    library = open_library(root)
    assert (library.revision, len(read.episodes(library))) == (2, 2)
    assert verify(library) == []


def test_an_enrolment_changes_only_who_is_who(before: Path) -> None:
    then = tree(before)
    library = publish(
        open_library(before),
        episodes=[],
        characters=[character(ANN, "Annie"), character(BOB, "Bob")],
        identities={PILOT.id: renamed(PILOT, ANN), SECOND.id: renamed(SECOND, 0)},
        next_character_id=3,
    )
    now = tree(before)
    assert {name for name in now if now[name] != then.get(name)} == {
        "library.json",
        "appearances.parquet",
        "characters.parquet",
        f"episodes/{PILOT.id}/identities.parquet",
        f"episodes/{SECOND.id}/identities.parquet",
    }
    assert library == open_library(before)
    assert read.read_identities(library, PILOT.id) == renamed(PILOT, ANN)
    assert read.find_character(library, "annie").id == ANN


def test_the_next_id_goes_up_and_never_back(before: Path) -> None:
    library = open_library(before)
    assert (library.revision, library.next_character_id) == (2, 3)
    with pytest.raises(ValueError, match="next_character_id: expected one never used, got 2"):
        publish(library, episodes=[], characters=CAST[:1], identities={}, next_character_id=2)


def test_nothing_to_publish_is_published_too(tmp_path: Path) -> None:
    library = publish(
        new(tmp_path / "deep" / "library"),
        episodes=[],
        characters=[],
        identities={},
        next_character_id=1,
    )
    assert library == open_library(tmp_path / "deep" / "library")
    assert state(library) == {"revision": 1, "next": 1, "characters": [], "index": []}
    assert verify(library) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"characters": [CAST[0]]}, r"characters: expected also \[2\], whom pilot-"),
        ({"characters": [*CAST, CAST[0]]}, "expected no id or label twice"),
        ({"characters": [*CAST, character(5, "Bob")]}, "expected no id or label twice"),
        ({"characters": [*CAST, character(5, " ")]}, "expected a name for character 5"),
        (
            {"characters": [*CAST[:2], replace(CAST[2], prototypes=np.ones((4, 3), np.float32))]},
            r"prototypes: expected \(4, 8\), got \(4, 3\)",
        ),
        ({"identities": {PILOT.id: PILOT.identities[1:]}}, "expected one for each track of pilot"),
        ({"identities": {PILOT.id: renamed(PILOT, 9)}}, r"expected also \[9\]"),
        ({"identities": {"gone-00000000": []}}, "gone-00000000"),
        ({"next_character_id": 3}, "expected one never used, got 3"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    before: Path, wrong: dict[str, Any], message: str
) -> None:
    then = tree(before)
    given: dict[str, Any] = {
        "episodes": [],
        "characters": CAST,
        "identities": {},
        "next_character_id": 10,
    }
    with pytest.raises(ValueError, match=message):
        publish(open_library(before), **(given | wrong))
    assert tree(before) == then


def test_what_another_run_has_changed_is_refused(before: Path) -> None:
    library = open_library(before)
    put(library, THIRD, CAST)
    with pytest.raises(StoreError, match=r"another run has changed the library .* \(run again\)"):
        publish(library, episodes=[], characters=[], identities={}, next_character_id=9)


def test_a_video_under_a_second_name_is_refused(before: Path) -> None:
    copied = replace(episode("Copied.mp4", (5,)), sha256=PILOT.sha256)
    then = tree(before)
    with pytest.raises(StoreError, match=r"pilot-\w+: has the same track uids as copied-"):
        put(open_library(before), copied, CAST)
    assert tree(before) == then


def test_an_episode_is_published_in_its_writers_block_or_not_at_all(before: Path) -> None:
    library = open_library(before)
    with EpisodeWriter(library, THIRD.id, THIRD.sha256) as writer:
        staged = write(writer, THIRD)
    wanted: dict[str, Any] = {"characters": CAST, "next_character_id": 4}
    with EpisodeWriter(library, THIRD.id, THIRD.sha256) as writer:
        twice = [write(writer, THIRD)] * 2
        with pytest.raises(ValueError, match="expected none twice"):
            publish(library, episodes=twice, identities={THIRD.id: THIRD.identities}, **wanted)
    with pytest.raises(ValueError, match="in its writer's open block"):
        publish(library, episodes=[staged], identities={THIRD.id: THIRD.identities}, **wanted)
