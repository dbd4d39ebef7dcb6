from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from indexer.errors import ImageError, StoreError
from indexer.records import Repeat
from indexer.store.library import Library
from tests.libraries import ANN, BOB, CAST, Shown, episode, new, put
from training.bench.repeats import search_made
from training.evaluate.repeats import evaluate_repeats
from training.synthesize.truth import Repeat as TrueRepeat
from training.synthesize.truth import TrueShot, Truth
from training.synthesize.truth_file import write_truth

FIRST = episode("ep01.mp4", [20, 30], [Shown(0, 19, ANN), Shown(20, 49, BOB)])


def write(season: Path, name: str, shots: tuple[TrueShot, ...]) -> None:
    truth = Truth(64, 36, Fraction(25), (), (), shots, (), (), episode=name)
    write_truth(season / f"{name}.truth.json", truth)


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """Two episodes; the second one begins with a recap of 10 frames and a title of 20."""
    write(tmp_path, "ep01", (TrueShot(0, 0, 19, "title", 0), TrueShot(1, 20, 49, "faces", 0)))
    recap = TrueRepeat("ep01", 1, 25)
    title = TrueRepeat("ep01", 0, 0)
    write(
        tmp_path,
        "ep02",
        (
            TrueShot(0, 0, 9, "faces", 0, repeats=(recap,)),
            TrueShot(1, 10, 29, "title", 0, repeats=(title,)),
            TrueShot(2, 30, 59, "faces", 1),
        ),
    )
    return tmp_path


def library(root: Path, *repeats: Repeat) -> Library:
    shown = [Shown(0, 9, 0), Shown(12, 25, 0), Shown(30, 59, 0)]
    second = episode("ep02.mp4", [10, 20, 30], shown)
    mine, theirs = (second.tracks[0].uid,), (FIRST.tracks[1].uid,)
    known = [
        replace(one, tracks=mine, their_tracks=theirs) if one.shot == 0 else one for one in repeats
    ]
    return put(put(new(root), FIRST, CAST), second, CAST, known)


def test_by_hand(season: Path) -> None:
    found = evaluate_repeats(
        season,
        library(
            season / "library",
            Repeat(0, 0, 9, FIRST.id, 25, 0.0),  # right
            Repeat(1, 14, 29, FIRST.id, 30, 0.0),  # 16 of 20 frames, but from the wrong shot
            Repeat(2, 30, 33, FIRST.id, 0, 0.0),  # wrong: this shot is new
        ),
    )
    recaps, titles, everything = found.kinds
    assert (recaps.shots, recaps.shots_found, recaps.recall, recaps.sources_right) == (1, 1, 1, 10)
    assert (titles.shots, titles.shots_found, titles.recall, titles.sources_right) == (1, 1, 0.8, 0)
    assert (everything.frames, everything.frames_found) == (30, 26)
    assert found.frames_said == 30
    assert found.precision == pytest.approx(26 / 30)
    assert (found.tracks, found.tracks_matched) == (2, 1)


def test_nothing_found_is_precise(season: Path) -> None:
    found = evaluate_repeats(season, library(season / "library"))
    assert (found.precision, found.kinds[-1].recall, found.frames_said) == (1, 0, 0)


def test_what_cannot_be_compared_is_refused(season: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no synthetic episode"):
        evaluate_repeats(tmp_path / "none", new(tmp_path / "library"))
    with pytest.raises(StoreError, match=r"no episode 'ep01\.mp4'"):
        evaluate_repeats(season, put(new(tmp_path / "other"), episode("other.mp4"), []))


def test_a_made_recap_is_found_among_a_few_episodes() -> None:
    done = search_made(3)
    assert (done.episodes, done.frames) == (3, 3 * 33000)
    assert (done.recall, done.precision) == (1, 1)
