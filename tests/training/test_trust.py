from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.config import RecognizeSettings, Settings
from indexer.errors import ConfigError
from indexer.records import Float32, Yardstick
from tests.indexer.test_recognize import STICK, D, character, track, unit
from tests.training.test_stills import typed
from training.bench import trust
from training.bench.tracks import NOBODY
from training.bench.trust import Known

CAST, STRANGERS, TRACKS = 3, 3, 8
RANDOM = np.random.default_rng(7)
OTHERS = unit(RANDOM.normal(size=(60, D)))
PLAIN = Yardstick(STICK.calibration, OTHERS)


def near(person: Float32, noise: float) -> Float32:
    return unit(person + noise * RANDOM.normal(size=D) / np.sqrt(D))


def episode(season: int) -> Known:
    """Eight tracks of each of three cast and three strangers, no two on screen together."""
    people = unit(RANDOM.normal(size=(CAST + STRANGERS, D)))
    shown = np.repeat(np.arange(CAST + STRANGERS), TRACKS)
    widths = RANDOM.uniform(12, 90, len(shown))
    tracks = [
        replace(
            track(n, near(people[who], 1.2 if width < 30 else 0.6), width),
            start_frame=20 * n,
            end_frame=20 * n + 9,
            start_s=0.8 * n,
            end_s=0.8 * n + 0.4,
            shot=n,
        )
        for n, (who, width) in enumerate(zip(shown.tolist(), widths.tolist(), strict=True))
    ]
    gallery = [
        character(1 + who, np.stack([near(people[who], 0.5) for _ in range(4)]))
        for who in range(CAST)
    ]
    return Known(season, tracks, shown, gallery, np.arange(CAST))


EPISODES = [episode(season) for season in range(3)]


@pytest.fixture(scope="module")
def stick() -> Yardstick:
    return trust.measure(EPISODES, PLAIN, Settings())


def test_what_is_measured_has_the_signs_it_should(stick: Yardstick) -> None:
    assert (len(stick.pairs), len(stick.helped), len(stick.names)) == (8, 8, 8)
    assert stick.pairs[1] > 0  # the more similar, the likelier one person
    assert stick.helped[1] > 0
    assert stick.belief[0] > 0
    assert np.array_equal(stick.cohort, OTHERS)


def test_the_same_is_measured_twice(stick: Yardstick) -> None:
    again = trust.measure(EPISODES, PLAIN, Settings())
    for name in ("pairs", "helped", "names", "belief", "nobody"):
        assert getattr(again, name) == getattr(stick, name)


def test_a_season_left_out_is_named_by_what_the_others_taught() -> None:
    lenient = Settings(recognize=RecognizeSettings(max_wrong_names=0.5))
    found = trust.left_out(EPISODES, PLAIN, lenient)
    assert [one.season for one in found] == ["season 1", "season 2", "season 3"]
    assert all(0 <= one.wrong <= 1 for one in found)
    assert all(0 <= one.recalled <= one.likeliest <= 1 for one in found)
    assert np.mean([one.recalled for one in found]) > 0.3
    assert np.mean([one.wrong for one in found]) < 0.1


def test_one_season_cannot_be_left_out() -> None:
    with pytest.raises(ConfigError, match="give two or more"):
        trust.measure(EPISODES[:1], PLAIN, Settings())


@pytest.mark.parametrize(("more", "least"), [((), 2), (("--check",), 3)])
def test_too_few_seasons_are_refused_before_anything_is_indexed(
    more: tuple[str, ...], least: int, tmp_path: Path
) -> None:
    seasons = [tmp_path / f"s{n}" for n in range(least - 1)]
    out = ("--work", tmp_path / "work", "--out", tmp_path / "stick", *more)
    done = typed("trust", tmp_path, *seasons, seasons[0], *out)
    said = f"SEASON: {least - 1} given, of {least} that are needed (give more)\n"
    assert (done.status, done.err) == (2, said)
    assert not list(tmp_path.iterdir())


def test_meetings_are_counted_by_how_long_they_are() -> None:
    """By hand: pairs share 0.2 s, of one person, 0.25 s and 0.5 s, of two; one is nobody's."""
    times, who = [(0.0, 1.0), (0.8, 2.0), (1.75, 4.0), (3.5, 5.0), (0.0, 9.0)], [0, 0, 1, 2, NOBODY]
    tracks = [
        replace(track(n, unit(RANDOM.normal(size=D))), start_s=start, end_s=end)
        for n, (start, end) in enumerate(times)
    ]
    known = Known(0, tracks, np.array(who), [], np.zeros(0, np.int64))
    every, moment, longer, longest = trust.meetings([known])
    assert every.pairs == 6
    assert every.same == pytest.approx(1 / 6)
    assert (moment.pairs, moment.same) == (2, 0.5)
    assert (longer.pairs, longer.same) == (1, 0.0)
    assert longest.pairs == 0
    assert np.isnan(longest.same)
