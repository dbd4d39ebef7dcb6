"""What a character's name rests on: trials whose right answer is known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer import naming, standing
from indexer.config import RecognizeSettings
from indexer.errors import StoreError
from indexer.request import Merge, Name
from indexer.standing import Share
from indexer.store import read
from indexer.store.library import Library, open_library
from tests import libraries
from tests.conftest import Indexed, run
from tests.faces import hopper
from tests.libraries import ANN, BOB, CARL, CAST, Shown
from tests.test_forget import STICK

PILOT = libraries.episode(
    shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL), Shown(60, 90, BOB)]
)


@pytest.fixture
def pilot(tmp_path: Path) -> Library:
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)


def of(library: Library, name: str) -> standing.Standing:
    return standing.standing(open_library(library.root), name, STICK, RecognizeSettings())


def test_bounds_by_hand() -> None:
    none_of_ten = Share.counted(np.zeros(10, bool))
    assert (none_of_ten.count, none_of_ten.of, none_of_ten.low) == (0, 10, 0.0)
    assert none_of_ten.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert Share.counted(np.zeros(0, bool)) == Share(0, 0, 0.0, 1.0)


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_a_share_lies_within_its_bounds(found: list[bool]) -> None:
    share = Share.counted(np.array(found))
    assert 0 <= share.low <= share.count / share.of <= share.high <= 1


def test_others_stills_and_faces_beside_are_impostors(pilot: Library) -> None:
    ann = next(one for one in CAST if one.id == ANN)
    bob = next(one for one in CAST if one.id == BOB)
    found = of(pilot, "Ann")
    assert found.impostors.of == len(bob.prototypes) + 1  # Carl is on screen with her
    assert found.genuine.of == (len(ann.prototypes) if len(ann.prototypes) > 1 else 0)
    assert sum(one.right.of for one in found.reliability) == found.impostors.of + found.genuine.of
    assert found.given_from == pytest.approx(0.9)


def test_one_who_looks_like_another_is_caught(pilot: Library) -> None:
    stills = libraries.unit(np.random.default_rng(0), 1) + 0.1 * libraries.unit(
        np.random.default_rng(1), 3
    )
    stills = (stills / np.linalg.norm(stills, axis=1, keepdims=True)).astype(np.float32)
    ann = [replace(one, prototypes=stills) if one.id == ANN else one for one in CAST]
    apart = of(libraries.put(open_library(pilot.root), PILOT, ann), "Ann")
    assert (apart.genuine.count, apart.genuine.of) == (3, 3)
    twins = [replace(one, prototypes=stills) if one.id == BOB else one for one in ann]
    alike = of(libraries.put(open_library(pilot.root), PILOT, twins), "Ann")
    assert alike.genuine.count < 3
    assert alike.reliability[-1].most < apart.reliability[-1].most


def test_who_was_merged_lends_the_stills_that_tracks_are_judged_by(pilot: Library) -> None:
    stills = sum(len(one.prototypes) for one in CAST if one.named)
    naming.decide(open_library(pilot.root), [Merge(person="Bob", into="Ann")])
    found = of(pilot, "Ann")
    assert found.stills == stills
    assert found.genuine.of == stills + 1  # the track of Bob's shows her, by the user's word
    assert found.impostors.of == 1  # Carl is on screen with her; nobody else has stills
    assert of(pilot, "Bob") == found


def test_who_has_no_name_has_no_threshold(pilot: Library) -> None:
    with pytest.raises(StoreError, match="Person 3: has no name"):
        of(pilot, "Person 3")


def test_who_was_merged_into_somebody_without_a_name_has_none(pilot: Library) -> None:
    library = open_library(pilot.root)
    naming.decide(library, [Name("Person 3", "Carl"), Merge(person="Bob", into="Carl")])
    naming.undo(open_library(pilot.root), 1)
    with pytest.raises(StoreError, match="Bob: was merged into Person 3, who has no name"):
        of(pilot, "Bob")


def test_tracks_that_teach_do_not_testify(pilot: Library) -> None:
    naming.decide(open_library(pilot.root), [Name("Person 3", "Carl")])
    stills = len(read.find_character(open_library(pilot.root), "Carl").prototypes)
    assert of(pilot, "Carl").genuine.of == stills


def test_by_command_and_strangers_make_names_dearer(library: Indexed, tmp_path: Path) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    said = run("info", "--character", "Ada", "--library", root)
    assert (said.status, said.err) == (0, "")
    assert "a track may have the name from" in said.out
    assert "exact bounds, 95%" in said.out
    before = json.loads(run("info", "--character", "Ada", "--json", "--library", root).out)
    assert before["genuine"]["of"] == before["stills"]
    others = tmp_path / "others" / "of many"
    others.mkdir(parents=True)
    Image.fromarray(hopper()).save(others / "hopper.png")
    (others / "broken.png").write_bytes(b"no picture")
    done = run("enroll", library.show.gallery, "--strangers", others.parent, "--library", root)
    assert done.status == 0
    assert "broken.png" in done.err
    assert read.read_strangers(open_library(root)).shape == (1, open_library(root).dimension)
    assert run("verify", "--library", root).status == 0
    refused = run("enroll", library.show.gallery, "--strangers", tmp_path / "no", "--library", root)
    assert (refused.status, "no such folder" in refused.err) == (2, True)
