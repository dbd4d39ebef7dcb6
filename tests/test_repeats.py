"""A recap through the real command line: found, named as before, and left out on request."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from indexer.store import read
from indexer.store.library import open_library
from tests.conftest import Indexed, run
from tests.videos import retell


@dataclass(frozen=True)
class Recap:
    """A library that holds the show, and an episode that shows three of its shots again."""

    library: Path
    shots: list[tuple[int, int]]
    """The first and last frame, in the show, of each shot that is shown again."""


@pytest.fixture(scope="module")
def recap(library: Indexed, tmp_path_factory: pytest.TempPathFactory) -> Recap:
    folder = tmp_path_factory.mktemp("recap")
    root = folder / "library"
    shutil.copytree(library.library, root)
    shots = [(one.start_frame, one.end_frame) for one in library.show.truth.shots]
    some = [shots[4], shots[1], shots[2]]
    video = retell(folder / "episode two.mp4", library.show.video, some, "Previously")
    done = run("index", video, "--library", root)
    assert (done.status, done.err) == (0, "")
    assert run("verify", "--library", root).status == 0
    return Recap(root, some)


def asked(*arguments: object) -> Any:  # noqa: ANN401 - JSON
    done = run(*arguments, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_every_shot_is_found_where_it_was(recap: Recap) -> None:
    opened = open_library(recap.library)
    found = read.read_repeats(opened, read.find_episode(opened, "episode two"))
    assert len(found) == len(recap.shots)
    for one, (first, last) in zip(found, recap.shots, strict=True):
        assert one.episode == read.find_episode(opened, "episode one")
        assert first <= one.their_start_frame <= first + 5
        assert one.end_frame - one.start_frame >= 0.9 * (last - first)
        assert one.distance < 4


def test_its_tracks_are_who_they_were(recap: Recap) -> None:
    opened = open_library(recap.library)
    episode = read.find_episode(opened, "episode two")
    who = {i.track: i for one in read.episodes(opened) for i in read.read_identities(opened, one)}
    pairs = [
        pair
        for one in read.read_repeats(opened, episode)
        for pair in zip(one.tracks, one.their_tracks, strict=True)
    ]
    assert pairs
    tracks = read.read_tracks(opened, episode)
    seen_well = {one.uid for one in tracks if one.detections > 1 and one.score >= 0.8}
    assert seen_well <= {mine for mine, _ in pairs}
    for mine, theirs in pairs:
        assert who[mine].character == who[theirs].character


def test_a_show_without_its_recap_is_the_show(recap: Recap, library: Indexed) -> None:
    def seconds(root: Path, *more: str) -> dict[str, float]:
        rows = asked("people", "--library", root, *more)
        return {row["label"]: row["screen_time_s"] for row in rows}

    alone = seconds(library.library)
    assert seconds(recap.library, "--no-repeats") == alone
    assert sum(seconds(recap.library).values()) > sum(alone.values())
    one, two = asked("info", "--library", recap.library)
    assert one["repeated_s"] == 0
    assert two["repeated_s"] > 0.9 * two["duration_s"]
    everybody = run("export", "episode two", "--library", recap.library, "--format", "csv")
    nobody = run(
        "export", "episode two", "--library", recap.library, "--format", "csv", "--no-repeats"
    )
    assert len(everybody.out.splitlines()) > len(nobody.out.splitlines()) == 1
    name = next(iter(alone))
    hits = asked("query", "--character", name, "--no-repeats", "--library", recap.library)
    assert hits == asked("query", "--character", name, "--library", library.library)


def test_names_given_later_are_the_same_in_both(recap: Recap, library: Indexed) -> None:
    root = recap.library.parent / "later"
    shutil.copytree(recap.library, root)
    done = run("enroll", library.show.gallery, "--library", root)
    assert done.status == 0
    opened = open_library(root)
    who = {i.track: i for one in read.episodes(opened) for i in read.read_identities(opened, one)}
    for one in read.read_repeats(opened, read.find_episode(opened, "episode two")):
        for mine, theirs in zip(one.tracks, one.their_tracks, strict=True):
            assert who[mine].character == who[theirs].character


def test_the_order_of_indexing_again_does_not_turn_it_round(recap: Recap, library: Indexed) -> None:
    root = recap.library.parent / "again"
    shutil.copytree(recap.library, root)
    done = run("index", library.show.video, "--library", root, "--set", "detect.every_s=0.5")
    assert done.status == 0
    opened = open_library(root)
    assert read.read_repeats(opened, read.find_episode(opened, "episode one")) == []
    assert run("verify", "--library", root).status == 0
