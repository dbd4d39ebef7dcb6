"""A video indexed within a budget: what is looked at first, what is kept, and the end result."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from indexer import instalments, pipeline
from indexer.config import DetectSettings, EmbedSettings, Settings, that_matter
from indexer.models import Models, load_models
from indexer.pipeline import Indexed
from indexer.store import schema, unfinished
from indexer.store.library import open_library
from indexer.store.verify import verify
from tests import libraries
from tests.conftest import Show, run
from tests.videos import Recipe, make

TABLES = (
    schema.FRAMES,
    schema.SHOTS,
    schema.TRACKS,
    schema.FACES,
    schema.REPEATS,
    schema.MANIFEST,
)
USUAL = Settings(
    detect=DetectSettings(min_face=0.08, every_s=0.5), embed=EmbedSettings(mirrored=False)
)
"""Fast settings: the tests compare one run with several, not quality."""
HARDLY_ANY = 1e-3
"""A budget in seconds that is over before anything is looked at: each run does its minimum."""


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(USUAL)


def put(
    video: Path,
    root: Path,
    models: Models,
    budget_s: float | None,
    settings: Settings = USUAL,
) -> Indexed:
    library = pipeline.open_or_create(root, models, settings)
    return pipeline.index(video, library, models, settings, budget_s=budget_s)


def files(root: Path) -> dict[str, bytes]:
    """Return the bytes of the only episode's tables."""
    [episode] = (root / schema.EPISODES).iterdir()
    return {name: (episode / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def whole(show: Show, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The show, indexed in one run."""
    root = tmp_path_factory.mktemp("whole") / "library"
    assert put(show.video, root, models, None).coverage == 1
    return root


def test_many_small_instalments_come_to_what_one_go_does(
    show: Show, models: Models, whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    shares, shots = [0.0], [0]
    while shares[-1] < 1:
        assert len(shares) < 60  # each run makes progress
        done = put(show.video, root, models, HARDLY_ANY)
        assert verify(open_library(root)) == []
        shares.append(done.coverage)
        shots.append(done.shots)
        assert (done.coverage < 1) == (root / "unfinished").exists()
    assert shares == sorted(shares)
    assert shots == sorted(shots)
    every_shot = shots.index(len(show.truth.shots))
    assert every_shot < len(shots) - 1  # all shots were looked at before gaps were filled
    assert files(root) == files(whole)
    assert put(show.video, root, models, HARDLY_ANY).unchanged


def test_gaps_are_filled_in_any_order(
    show: Show, models: Models, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instalments, "_CHUNK_S", 0.7)  # several gaps in a shot
    monkeypatch.setattr(instalments, "_TOGETHER", 1)  # and several transactions
    root = tmp_path / "library"
    done = put(show.video, root, models, HARDLY_ANY)
    while done.coverage < 1:
        done = put(show.video, root, models, 3.0)
    assert files(root) == files(whole)


@pytest.mark.parametrize("name", ["film.ts", "film.h264", "film.mkv", "film.avi", "film.mp4"])
def test_what_is_hard_to_enter_comes_to_what_one_go_does(
    name: str, models: Models, tmp_path: Path
) -> None:
    video = make(tmp_path / name, Recipe(count=60, rate=Fraction(10), gop=30))
    quick = replace(USUAL, shots=replace(USUAL.shots, min_change=2.0, adaptive_threshold=1.1))
    done = put(video, tmp_path / "parts", models, HARDLY_ANY, quick)
    for _ in range(60):
        done = put(video, tmp_path / "parts", models, HARDLY_ANY, quick)
        if done.coverage == 1:
            break
    assert put(video, tmp_path / "whole", models, None, quick).shots == done.shots
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_budget_that_suffices_gives_what_none_gives(
    show: Show, models: Models, whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    assert put(show.video, root, models, 1000.0).coverage == 1
    assert files(root) == files(whole)
    assert not (root / "unfinished").exists()


def test_who_gives_no_budget_gets_the_rest(
    show: Show, models: Models, whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    for _ in range(2):
        assert put(show.video, root, models, HARDLY_ANY).coverage < 1
    assert put(show.video, root, models, None).coverage == 1
    assert files(root) == files(whole)


def test_what_was_seen_with_other_settings_or_is_damaged_is_seen_anew(
    show: Show, models: Models, whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    put(show.video, root, models, HARDLY_ANY)
    seldom = replace(USUAL, detect=replace(USUAL.detect, every_s=0.9))
    put(show.video, root, models, HARDLY_ANY, seldom)
    [begun] = (root / "unfinished").iterdir()
    with sqlite3.connect(begun) as database:
        assert database.execute("SELECT max(shot) FROM frames").fetchone() == (0,)
    database.close()
    begun.write_bytes(b"SQLite format 3\0 and then nothing of the kind" * 100)
    assert put(show.video, root, models, None).coverage == 1
    assert files(root) == files(whole)


def test_settings_of_judging_do_not_matter_while_nobody_is_judged(tmp_path: Path) -> None:
    tables = that_matter(Settings())
    library = replace(libraries.new(tmp_path / "library"), settings=tables)
    judging = {"recognize": tables["recognize"] | {"max_wrong_names": 0.02}}
    looking = {"detect": tables["detect"] | {"every_s": 0.9}}
    made = libraries.episode(shots=(3,))
    with unfinished.resumed(library, made.sha256) as work:
        work.add(made.frames, [], [])
    assert unfinished.begun(library) == [made.sha256]
    [begun] = (library.root / "unfinished").iterdir()
    older = json.dumps([schema.SCHEMA_VERSION, library.encoder_id, tables], sort_keys=True)
    with sqlite3.connect(begun) as database:  # older versions kept all settings
        database.execute("UPDATE facts SET value = ? WHERE name = 'made with'", (older,))
    database.close()
    with unfinished.resumed(replace(library, settings=tables | judging), made.sha256) as work:
        assert [one.index for one in work.frames()] == [0, 1, 2]
    with unfinished.resumed(replace(library, settings=tables | looking), made.sha256) as work:
        assert work.last() is None
    assert unfinished.begun(library) == []


def test_a_sliver_does_not_take_the_place_of_the_whole(
    show: Show, models: Models, whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    shutil.copytree(whole, root)
    seldom = replace(USUAL, detect=replace(USUAL.detect, every_s=0.9))
    done = put(show.video, root, models, HARDLY_ANY, seldom)
    assert not done.published
    assert done.coverage < 1
    assert files(root) == files(whole)
    done = put(show.video, root, models, None, seldom)
    assert done.published
    assert done.coverage == 1
    assert files(root) != files(whole)


def test_what_a_run_that_was_killed_left_of_a_whole_episode_goes(
    show: Show, models: Models, whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    put(show.video, root, models, HARDLY_ANY)
    begun = tmp_path / "begun"
    shutil.copytree(root / "unfinished", begun)
    put(show.video, root, models, None)
    shutil.copytree(begun, root / "unfinished")
    assert put(show.video, root, models, None).unchanged
    assert not (root / "unfinished").exists()
    assert files(root) == files(whole)


def test_two_runs_are_not_at_one_video(show: Show, tmp_path: Path) -> None:
    root = tmp_path / "library"
    first = run("index", show.video, "--library", root, "--budget", "0.001s")
    assert (first.status, first.err) == (0, "")
    assert "run again to continue" in first.out
    [held] = json.loads(run("info", "--library", root, "--json").out)
    assert held["coverage"] < 1
    [begun] = (root / "unfinished").iterdir()
    before = files(root)
    models, settings = load_models(Settings()), Settings()
    library = pipeline.open_or_create(root, models, settings)
    with unfinished.resumed(library, begun.stem):
        second = run("index", show.video, "--library", root, "--budget", "1m")
    assert second.status == 2
    assert second.err.count("\n") == 1
    assert str(begun) in second.err
    assert files(root) == before


def test_the_command_line_says_how_much_was_seen(show: Show, tmp_path: Path) -> None:
    done = run("index", show.video, "--library", tmp_path / "l", "--budget", "1s", "--json")
    assert done.status == 0
    [one] = json.loads(done.out)
    assert 0 <= one["coverage"] <= 1


@pytest.mark.parametrize("time", ["soon", "0", "-5s", "", "nan", "10 parsecs"])
def test_a_budget_that_is_no_time_is_refused(show: Show, time: str, tmp_path: Path) -> None:
    done = run("index", show.video, "--library", tmp_path / "l", f"--budget={time}")
    assert done.status == 2
    assert "--budget" in done.err
    assert not (tmp_path / "l").exists()
