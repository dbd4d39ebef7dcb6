"""Names do not change behind anybody's back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from indexer.alike import alike
from indexer.diff import Change, Diff, Seen
from indexer.judging import Accept, Judged, People, always, answered, never, settled
from indexer.records import UNKNOWN, Character, Float32, Identity
from indexer.store.appearances import Appearance
from indexer.store.library import locked, open_library
from tests import libraries
from tests.conftest import Indexed, run
from tests.libraries import ANN, BOB, CARL, CAST


def said(uid: int, who: int) -> Identity:
    return Identity(uid, who, 0.9, 0.9, 0.5, UNKNOWN, reason="" if who else "not sure enough")


def judged(tracks: Mapping[int, int]) -> Judged:
    return Judged(CAST, {"pilot": [said(*one) for one in sorted(tracks.items())]}, {}, 4)


def people(tracks: Mapping[int, int]) -> People:
    return People(CAST, {uid: Seen(who, 2.0, "pilot") for uid, who in tracks.items()})


def who(done: Judged) -> dict[int, int]:
    return {one.track: one.character for one in done.identities["pilot"]}


def yes(_: Diff) -> bool:
    return True


def no(_: Diff) -> bool:
    return False


def test_a_name_changes_if_that_is_accepted() -> None:
    def judge(held: Mapping[int, int]) -> Judged:
        return judged({1: BOB, 2: CARL} | dict(held))

    before = people({1: ANN, 2: CARL})
    done, changed = settled(judge, before, {}, yes)
    assert who(done) == {1: BOB, 2: CARL}
    assert changed.retention == 0
    done, changed = settled(judge, before, {}, no)
    assert who(done) == {1: ANN, 2: CARL}
    assert (changed.retention, changed.changes) == (1.0, [])
    [one] = changed.kept
    assert (one.track, one.was, one.now) == (1, "Ann", "Bob")
    assert one.why == "90.0%, by its own faces alone 0.0%"


def test_nobody_is_asked_about_those_without_a_name() -> None:
    def judge(held: Mapping[int, int]) -> Judged:
        return judged({1: ANN, 2: UNKNOWN})

    def asked(_: Diff) -> bool:
        raise AssertionError("nothing to ask")

    done, changed = settled(judge, people({1: CARL, 2: CARL}), {}, asked)
    assert who(done) == {1: ANN, 2: UNKNOWN}
    assert changed.kept == ()


def change(was: str) -> Diff:
    return Diff({}, {}, 0.0, [Change(1, "pilot", 2.0, was, "unknown")])


def test_the_library_is_free_while_a_user_thinks(tmp_path: Path) -> None:
    pilot, root = libraries.episode(shots=(5,)), tmp_path / "library"
    library = libraries.put(libraries.new(root), pilot, CAST)
    questions, seen, asked = {1: "Ann", 2: "Bob"}, list[int](), list[Diff]()

    def attempt(accept: Accept) -> bool:
        with locked(library) as now:
            seen.append(now.revision)
            return accept(change(questions.get(now.revision, "Bob")))

    def thought(changed: Diff) -> bool:
        asked.append(changed)
        with FileLock(root / ".lock", timeout=0):
            pass
        libraries.put(open_library(root), pilot, CAST)  # another run, meanwhile
        return changed == change("Bob")

    assert answered(thought, attempt)
    assert seen == [1, 2, 3]  # judged anew each time, on what the library is by then
    assert asked == [change("Ann"), change("Bob")]  # each once


def test_who_need_not_be_asked_costs_no_second_attempt() -> None:
    attempts: list[bool] = []

    def attempt(accept: Accept) -> bool:
        attempts.append(accept(change("Ann")))
        return attempts[-1]

    assert answered(always, attempt)
    assert not answered(never, attempt)
    assert attempts == [True, False]


CHARACTERS = st.sampled_from([UNKNOWN, ANN, BOB, CARL])


@given(st.lists(st.tuples(CHARACTERS, CHARACTERS, CHARACTERS), max_size=6))
def test_whatever_holding_one_does_to_the_others_all_names_stay(
    rows: list[tuple[int, int, int]],
) -> None:
    """Holding one name may change others; those are held next, until all are."""
    before = people({n: was for n, (was, _, _) in enumerate(rows)})

    def judge(held: Mapping[int, int]) -> Judged:
        free = {n: then if held else now for n, (_, now, then) in enumerate(rows)}
        return judged({**free, **held})

    done, changed = settled(judge, before, {}, no)
    assert changed.retention == 1
    for uid, was in before.named().items():
        assert who(done)[uid] == was


def person(id_: int, vector: Float32, *, named: bool = False) -> Character:
    label = f"N{id_}" if named else f"Person {id_}"
    return Character(id_, label, named, vector[None], 1.0, 1.0, 1.0, 0, 0, 48.0)


def at(who: int, start_s: float, episode: int = 1) -> Appearance:
    uid = episode << 20 | int(start_s * 10)
    return Appearance(uid, 0, start_s, start_s + 1, who, 0.9, 0.0, 100.0, repeat=False)


def test_whoever_looks_alike_and_is_never_seen_together_is_asked_about() -> None:
    east, north = np.eye(4, dtype=np.float32)[:2]
    near = ((east + 0.5 * north) / np.linalg.norm(east + 0.5 * north)).astype(np.float32)
    some = [person(1, east), person(2, near), person(3, near, named=True), person(4, north)]
    apart = [at(1, 0.0), at(2, 3.0), at(3, 6.0), at(4, 9.0)]
    assert alike(some, lambda _: apart) == {1: [3, 2], 2: [3, 1], 4: []}
    assert alike(some, lambda _: [*apart, at(3, 0.5)]) == {1: [2], 2: [3, 1], 4: []}
    assert alike(some, lambda _: [*apart, at(3, 0.5, episode=2)]) == {1: [3, 2], 2: [3, 1], 4: []}
    assert alike(some, lambda _: apart, [4]) == {4: []}
    assert alike([], lambda _: []) == {}


@pytest.fixture(scope="module")
def swapped(library: Indexed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery in which the stills of Ada and Ben are swapped."""
    folder = tmp_path_factory.mktemp("swapped") / "gallery"
    shutil.copytree(library.show.gallery, folder)
    (folder / "Ada").rename(folder / "x")
    (folder / "Ben").rename(folder / "Ada")
    (folder / "x").rename(folder / "Ben")
    return folder


def seconds(root: Path) -> dict[str, float]:
    rows = json.loads(run("people", "--json", "--library", root).out)
    return {row["label"]: row["screen_time_s"] for row in rows if row["named"]}


def test_other_stills_change_no_name_unless_accepted(
    library: Indexed, swapped: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    before = seconds(root)
    done = run("enroll", swapped, "--library", root)
    assert (done.status, done.err) == (0, "")
    assert "names kept: 100.0%" in done.out
    assert "--accept would change them" in done.out
    assert "Ada -> Ben" in done.out
    assert seconds(root) == before
    assert run("verify", "--library", root).status == 0
    done = run("enroll", swapped, "--library", root, "--accept")
    assert done.status == 0
    after = seconds(root)
    assert after["Ada"] == pytest.approx(before["Ben"], rel=0.1)
    assert after["Ben"] == pytest.approx(before["Ada"], rel=0.1)
