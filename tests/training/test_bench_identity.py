"""The metrics of names are as defined: each one on a case that can be counted by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.records import Identity
from tests.conftest import CAST, Show, run
from tests.libraries import ANN, BOB, CARL, Shown, episode, new, put
from tests.libraries import CAST as PEOPLE
from training.bench import identity, identity_report, real_clip, seasons, verdicts
from training.bench.identity import Goal, Number
from training.evaluate import naive
from training.evaluate import naming_scores as scores
from training.evaluate.intervals import Interval, binomial
from training.evaluate.naming import (
    NOBODY,
    UNNAMED,
    FoundFaces,
    Names,
    TrueFaces,
    Verdicts,
    Watched,
    join,
    majority,
    watch,
)
from training.evaluate.naming_scores import Share
from training.synthesize.truth_file import write_truth

SIDE = 40.0
GALLERY = ("Ann", "Bob")


def words(*names: str) -> Names:
    return np.array(names, np.str_)


def rows_of(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def at(*left: float) -> np.ndarray:
    """Boxes with sides of `SIDE` pixels, by their left edges."""
    corner = np.array(left, np.float32)
    zero = np.zeros_like(corner)
    return np.stack([corner, zero, corner + SIDE, zero + SIDE], axis=1)


def true(
    rows: Sequence[tuple[int, str, float]],
    visible: Sequence[float] | None = None,
    widths: Sequence[float] | None = None,
) -> TrueFaces:
    """True faces, given as frame, name and left edge."""
    count = len(rows)
    names = np.array([name for _, name, _ in rows], np.str_)
    return TrueFaces(
        frames=np.array([frame for frame, _, _ in rows], np.int64),
        tracks=np.arange(count),
        names=names,
        boxes=at(*(left for _, _, left in rows)).reshape(-1, 4),
        visible=np.array(visible or [1.0] * count, np.float32),
        enrolled=np.isin(names, GALLERY),
        widths=np.array(widths or [SIDE] * count),
    )


def found(rows: Sequence[tuple[int, int, float]]) -> FoundFaces:
    """Found faces, given as frame, track and left edge."""
    return FoundFaces(
        np.array([frame for frame, _, _ in rows], np.int64),
        np.array([track for _, track, _ in rows], np.int64),
        at(*(left for _, _, left in rows)).reshape(-1, 4),
    )


def said(
    *rows: tuple[str, int, float], likely: Sequence[str] = (), chances: Sequence[float] = ()
) -> Verdicts:
    return Verdicts(
        np.array([name for name, _, _ in rows], np.str_),
        np.array([person for _, person, _ in rows], np.int64),
        np.array([probability for _, _, probability in rows], np.float64),
        np.array(likely or [UNNAMED] * len(rows), np.str_),
        np.array(chances or [0.0] * len(rows), np.float64),
    )


NOTHING = watch(true([]), found([]), 0)
SCENE = watch(
    true([(0, "Ann", 0), (0, "Zoe", 100), (1, "Ann", 0), (1, "Bob", 200), (2, "Ann", 0)]),
    found([(0, 0, 5), (0, 1, 100), (1, 0, 0), (1, 2, 500), (2, 3, 0)]),
    4,
)
"""Ann is tracked for two frames, then in a new track; Zoe is a stranger; Bob is missed; and a wall
is taken for a face."""


def test_each_face_covers_the_one_that_it_overlaps_and_none_twice() -> None:
    assert SCENE.pairs.tolist() == [0, 1, 2, NOBODY, 4]
    assert SCENE.shown.tolist() == ["Ann", "Zoe", "Ann", UNNAMED, "Ann"]
    assert SCENE.people.tolist() == ["Ann", "Zoe", UNNAMED, "Ann"]
    assert SCENE.gallery.tolist() == ["Ann", "Bob"]
    twice = watch(true([(0, "Ann", 0)]), found([(0, 0, 0), (0, 1, 4)]), 2)
    assert twice.pairs.tolist() == [0, NOBODY]


def test_who_can_be_seen_is_covered_first() -> None:
    truth = true([(0, "Ann", 0), (0, "Bob", 10)], visible=[0.1, 0.9])
    assert watch(truth, found([(0, 0, 2)]), 1).shown.tolist() == ["Bob"]
    assert watch(truth, found([(0, 0, 2), (0, 1, 1)]), 2).pairs.tolist().count(0) == 1


def test_frames_in_any_order_and_overlaps_too_small() -> None:
    truth = true([(7, "Bob", 0), (3, "Ann", 0)])
    pairs = watch(truth, found([(3, 0, 0), (7, 1, 0), (9, 1, 0), (3, 2, 30)]), 3).pairs
    assert pairs.tolist() == [1, 0, NOBODY, NOBODY]


def test_a_track_is_of_whom_most_of_its_faces_show() -> None:
    names = words("Ann", "Bob", "Bob", UNNAMED, UNNAMED, "Ann", UNNAMED, UNNAMED)
    assert majority(names, rows_of(0, 0, 0, 0, 0, 1, 1, 1), 3).tolist() == ["Bob", "", ""]
    assert majority(words(), rows_of(), 2).tolist() == ["", ""]


@given(st.integers(1, 4))
def test_joined_episodes_count_as_each_does_alone(times: int) -> None:
    whole = join([SCENE] * times)
    assert len(whole.episodes) == 4 * times
    assert whole.shown.tolist() == SCENE.shown.tolist() * times
    assert whole.people.tolist() == SCENE.people.tolist() * times
    assert whole.episodes.tolist() == np.repeat(np.arange(times), 4).tolist()
    assert len(np.unique(whole.truth.frames)) == 3 * times
    assert len(np.unique(whole.truth.tracks)) == 5 * times


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="tracks: expected 1 rows"):
        FoundFaces(rows_of(0), rows_of(0, 1), at(0))


def test_wrong_names_are_those_of_somebody_else_and_on_nobody() -> None:
    faces = words("Ann", "Bob", "Bob", "Ann", UNNAMED)
    wrong = scores.wrong_names(faces, SCENE.shown, SCENE.found.tracks)
    assert wrong.faces == Share(3, 4)  # Zoe, Ann in her second frame, and the wall
    assert wrong.tracks == Share(2, 3)
    assert wrong.exact == binomial(2, 3)
    assert 0 <= wrong.drawn.low <= 0.75 <= wrong.drawn.high <= 1


def test_nothing_named_is_no_share_and_bounds_nothing() -> None:
    wrong = scores.wrong_names(words(), words(), rows_of())
    assert np.isnan(wrong.faces.value)
    assert wrong.drawn == wrong.exact == Interval(0, 1)


def test_the_exact_interval_of_none_wrong_is_the_rule_of_three() -> None:
    assert binomial(0, 100).low == 0
    assert binomial(0, 100).high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert binomial(3, 3).high == 1


def test_recall_asks_for_the_enrolled_who_can_be_seen() -> None:
    faces = words("Ann", "Zoe", "Bob", UNNAMED, "Ann")
    assert scores.recalled(faces, SCENE) == Share(2, 4)  # Ann thrice, Bob once
    hidden = Watched(
        replace(SCENE.truth, visible=np.array([1, 1, 0.4, 1, 1], np.float32)),
        SCENE.found,
        SCENE.pairs,
        SCENE.episodes,
    )
    assert scores.recalled(faces, hidden) == Share(2, 3)
    assert scores.recalled(faces, SCENE, SIDE + 1) == Share(0, 0)
    assert scores.recalled(words(), NOTHING) == Share(0, 0)


def test_widths_say_what_was_found_and_what_was_named() -> None:
    truth = true([(0, "Ann", 0), (1, "Ann", 0), (2, "Bob", 0)], widths=[10, 19, 30])
    watched = watch(truth, found([(0, 0, 0), (1, 0, 0)]), 1)
    narrow, _, middle, wide = scores.by_width(words("Ann", UNNAMED), watched)
    assert (narrow.found, narrow.right) == (Share(2, 2), Share(1, 2))
    assert (middle.found, middle.right) == (Share(0, 1), Share(0, 1))
    assert wide.found == Share(0, 0)


def test_strangers_that_bear_a_name() -> None:
    people, gallery = words("Ann", "Zoe", "Yan", UNNAMED), words(*GALLERY)
    named = words(UNNAMED, "Ann", UNNAMED, "Bob")
    assert scores.strangers_called(named, people, gallery) == Share(1, 2)
    assert scores.strangers_called(words(), words(), gallery) == Share(0, 0)


def test_probabilities_are_those_of_the_name_or_of_having_none() -> None:
    people, gallery = words("Ann", "Zoe", "Bob", UNNAMED), words(*GALLERY)
    verdicts = said(("Ann", 1, 0.9), (UNNAMED, 3, 0.8), (UNNAMED, 0, 0.6), ("Ann", 1, 1.0))
    found = scores.calibration(verdicts, people, gallery)
    assert found is not None
    assert found.ece == pytest.approx((0.1 + 0.2 + 0.6) / 3)  # the wall does not count
    assert scores.calibration(said(), words(), gallery) is None


def test_clustering_is_judged_on_strangers_without_a_name() -> None:
    people = words("Zoe", "Zoe", "Yan", "Ann", "Zoe", "Yan")
    verdicts = said(
        *((n, k, 0.9) for n, k in zip(("", "", "", "", "Ann", ""), range(6), strict=True))
    )
    some = scores.unnamed(verdicts, people, words(*GALLERY))
    assert some.tolist() == [True, True, True, False, False, True]
    groups = rows_of(7, 7, 7, 7, 7, 0)
    whole = scores.clusters(people, groups, some)
    assert whole is not None
    assert (whole.predicted, whole.true) == (2, 2)
    assert whole.wcp == pytest.approx(3 / 4)
    first, second = scores.by_episode(people, groups, some, rows_of(0, 0, 0, 0, 1, 1))
    assert (first.predicted, second.predicted) == (1, 1)
    assert scores.clusters(people, groups, np.zeros(6, bool)) is None


def test_two_that_are_alone_are_not_one_cluster() -> None:
    both = np.ones(2, bool)
    alone = scores.clusters(words("Zoe", "Zoe"), rows_of(0, 0), both)
    assert alone is not None
    assert alone.predicted == 2


def test_names_are_retained_face_by_face() -> None:
    snapshots = [words("Ann", "Bob"), words("Ann", UNNAMED, "Ann"), words("Bob", "Bob", "Ann")]
    tracks = rows_of(0, 1, 1, 1, 2)
    # First snapshot: Ann's face loses its name, Bob's three keep theirs. Second: Ann's face loses
    # its name, the third track's keeps it.
    assert scores.retained(snapshots, tracks) == Share(4, 6)
    assert scores.retained(snapshots[:1], tracks) == Share(0, 0)


def test_screen_time_is_too_long_or_too_short() -> None:
    errors = scores.screen_time(words("Ann", "Ann", "Ann", "Ann", UNNAMED), SCENE)
    assert errors == {"Ann": pytest.approx(1 / 3), "Bob": -1}
    assert scores.spread(errors).tolist() == pytest.approx([2 / 3, 1])
    assert np.isnan(scores.spread({})).all()


def test_expected_screen_time_counts_tracks_without_a_name_by_their_chance() -> None:
    rows = [("Ann", 1, 0.9), (UNNAMED, 2, 0.6), (UNNAMED, 3, 0.5), (UNNAMED, 4, 0.8)]
    likely, chances = ["", "Bob", "Bob", "Ann"], [0.0, 0.3, 0.25, 0.15]
    errors = scores.expected_time(said(*rows, likely=likely, chances=chances), SCENE)
    # Ann has three faces: two count 0.9 and one 0.15. Bob has one: 0.3, and a wall counts 0.25.
    assert errors == {"Ann": pytest.approx(1.95 / 3 - 1), "Bob": pytest.approx(0.55 - 1)}


def test_wrong_names_of_each_episode() -> None:
    two = join([SCENE, SCENE, NOTHING])
    names = words("Ann", "Bob", "", "Ann", "Ann", "", "", "", "", "Ann")
    # Of the first episode's four names, Bob is on Zoe's face and Ann on a wall.
    assert scores.wrong_by_episode(names, two).tolist() == [0.5, 0.0]
    assert scores.wrong_by_episode(words(), NOTHING).tolist() == []


@pytest.mark.parametrize("how", [identity.WHISPERS, identity.DBSCAN])
def test_plain_clusterings_are_given_their_best_threshold(how: str) -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(4), 6)
    rows = np.eye(16)[who] + 0.1 * rng.normal(size=(24, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = words(*(f"P{one}" for one in who))
    watched = watch(
        true([(i, name, 0.0) for i, name in enumerate(names)]),
        found([(i, i, 0.0) for i in range(24)]),
        24,
    )
    verdict = said(*(("", 0, 0.9) for _ in range(24)))
    cluster = {identity.WHISPERS: naive.chinese_whispers, identity.DBSCAN: naive.dbscan}[how]
    best = identity.at_best(watched, verdict, partial(cluster, rows.astype(np.float32)))
    assert {one.what: one.value for one in best}["unnamed: B-cubed F"] == pytest.approx(1)


def test_purity_is_by_episode_and_screen_time() -> None:
    two = join([SCENE, SCENE])
    one = ("", 5, 0.9)
    verdicts = said(one, one, one, one, one, ("", 6, 0.9), one, one)
    # First episode: Ann's three faces and Zoe's one are one person; second: all are pure.
    assert scores.purity(verdicts, two) == pytest.approx(7 / 8)
    assert np.isnan(scores.purity(said(), NOTHING))
    assert scores.audit_error(0.9, 0.875) == pytest.approx(0.025)
    assert np.isnan(scores.audit_error(None, 0.875))


def test_a_plain_script_names_by_the_nearest_still() -> None:
    faces = np.array([[1, 0], [0.6, 0.8], [0, -1]], np.float32)
    stills = np.array([[1, 0], [0, 1]], np.float32)
    named = naive.nearest_names(faces, stills, words("Ann", "Bob"), 0.7)
    assert named.tolist() == ["Ann", "Bob", UNNAMED]
    assert naive.nearest_names(faces, stills[:0], words(), 0.7).tolist() == [UNNAMED] * 3
    spread = naive.spread_in_time(
        named, rows_of(0, 0, 1), rows_of(0, 10, 0), rows_of(0, 0, 1, 2), rows_of(4, 6, 99, 0)
    )
    assert spread.tolist() == ["Ann", "Bob", UNNAMED, UNNAMED]
    most = naive.most_frequent(words("Ann", "", "", "Bob"), rows_of(0, 0, 0, 1), 3)
    assert most.tolist() == [UNNAMED, "Bob", UNNAMED]


@pytest.mark.parametrize("how", [naive.chinese_whispers, naive.dbscan])
def test_plain_clusters_hold_what_is_near(how: Any) -> None:  # noqa: ANN401
    angles = np.array([0, 1, 2, 90, 91, 92, 180]) * np.pi / 180
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = how(vectors, 0.9)
    assert len(set(groups[:3])) == len(set(groups[3:6])) == 1
    assert len(set(groups)) == 3
    assert len(how(vectors[:0], 0.9)) == 0


def test_a_goal_is_for_the_mean_or_for_every_season() -> None:
    assert Goal("", high=0.01).met([0.0, 0.02])
    assert not Goal("", high=0.01, every=True).met([0.0, 0.02])
    assert Goal("", low=0.5).met([float("nan")]) is None


def test_what_is_not_there_is_no_number() -> None:
    values = [one.value for one in identity.naming(NOTHING, words(), words())]
    values += [one.value for one in identity.clustered(NOTHING, said(), rows_of())]
    assert np.isnan(values).all()


@pytest.mark.parametrize(
    ("who", "probability"),
    [
        (Identity(1, ANN, 0.7, 0.9, 0.5, BOB), 0.7),
        (Identity(1, 0, 0.6, 0.9, 0.5, BOB, nobody=0.6), 0.6),
        (Identity(1, CARL, 0.3, 0.9, 0.8, BOB, nobody=0.85), 0.85),
    ],
    ids=["named", "nobody", "a person without a name"],
)
def test_how_sure_a_verdict_is(who: Identity, probability: float) -> None:
    assert verdicts.probability_of(who, {ANN, BOB}) == pytest.approx(probability)


def test_a_snapshot_is_kept_as_it_is_and_read_in_the_order_of_tracks(tmp_path: Path) -> None:
    made = episode("one.mp4", [10], [Shown(0, 4, ANN, 0.75), Shown(0, 9, CARL)])
    library = put(new(tmp_path), made, PEOPLE)
    taken = verdicts.published(library, [made.id], "code")
    again = verdicts.Snapshot.of(json.loads(taken.encoded()))
    assert again == taken
    one = verdicts.as_verdicts(again, [made.tracks[::-1]])
    assert one.names.tolist() == [UNNAMED, "Ann"]
    assert one.people.tolist() == [CARL, ANN]
    assert one.probabilities[1] == 0.75
    faces = seasons.found_faces(library, made.id)
    assert np.bincount(faces.tracks).tolist() == [5, 10]


def test_only_what_judges_can_be_varied() -> None:
    changed = verdicts.varied(Settings(), ["recognize.stranger_share=0.25"])
    assert changed == replace(Settings(), recognize=changed.recognize)
    assert changed.recognize.stranger_share == 0.25
    with pytest.raises(ConfigError, match="changes link, which re-judging does not redo"):
        verdicts.varied(Settings(), ["link.min_iou=0.5"])


def test_stills_are_the_widest_before_and_apart() -> None:
    def label(frame: int, width: float, name: str | None = "Ann") -> dict[str, Any]:
        return {"frame": frame, "box": [0, 0, width, 50], "name": name, "tracklet": 0}

    labels = [label(0, 10), label(5, 50), label(20, 30), label(60, 20), label(500, 99)]
    picked = real_clip.chosen([*labels, label(0, 90, None), label(100, 5)])
    assert [one["frame"] for one in picked] == [5, 20, 60]


def test_only_labelled_faces_of_the_clip_count() -> None:
    late = real_clip.FIRST
    rows = [(late, "Ann", 0.0), (late, "Bob", 100.0), (late, None, 200.0), (late, "Zoe", 300.0)]
    labels = [
        {"frame": f, "box": [x, 0, x + 40, 40], "name": n, "tracklet": k}
        for k, (f, n, x) in enumerate([*rows, (0, "Ann", 0.0)])
    ]
    truth = real_clip.labelled(labels, 1.0, 360, GALLERY)
    here = found([(late, 0, 0), (late, 1, 100), (late, 2, 200), (late, 3, 300), (late, 4, 900)])
    verdict = said(*((name, 0, 0.9) for name in ("Ann", "Ann", "Bob", "Ann", "Bob")))
    one = real_clip.score(truth, here, verdict, 360, 6)
    assert (one.right, one.recalled, one.strangers) == (Share(1, 2), Share(1, 2), Share(1, 1))


def test_the_report_says_what_is_met_and_leaves_out_what_is_not_there() -> None:
    numbers = [
        Number("wrong names", 0.02, Goal("≤ 1 %", high=0.01), percent=True),
        Number("audit", float("nan"), Goal("within 0.03", high=0.03)),
    ]
    wrong = scores.wrong_names(words("Ann"), words("Ann"), rows_of(0))
    one = identity_report.Measured(
        "s0",
        numbers,
        {identity.NEAREST: [Number("wrong names", 0.4)]},
        wrong,
        scores.by_width(words(), NOTHING),
        None,
        stale=True,
    )
    text = identity_report.markdown([one], [], {"face": [numbers]})
    assert "2.00 %" in text
    assert "missed" in text
    assert "40.00 %" in text
    assert "–" in text  # noqa: RUF001
    assert "made by another version of the code" in text
    content = json.loads(identity_report.as_json([one], [], {}))
    assert content["table"][0]["met"] is False
    assert content["table"][1]["values"] == [None]


def test_a_folder_without_a_season_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s0" / "gallery").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds no synthetic season"):
        seasons.seasons_in(tmp_path)
    done = run("bench-identity", tmp_path, "--work", tmp_path / "work", module="training")
    assert done.status == 2
    assert "training synthesize" in done.err
    assert not (tmp_path / "work").exists()


def season_of(show: Show, folder: Path) -> None:
    """Make the show a season of one episode, with all of the cast enrolled but the last."""
    folder.mkdir(parents=True)
    shutil.copy(show.video, folder / "ep01.mp4")
    write_truth(folder / "ep01.truth.json", replace(show.truth, enrolled=CAST[:2]))
    for name in CAST[:2]:
        shutil.copytree(show.gallery / name, folder / "gallery" / name)


def clip_of(show: Show, folder: Path) -> None:
    """Make the show a labelled clip."""
    folder.mkdir(parents=True)
    shutil.copy(show.video, folder / f"{real_clip.CLIP}.mp4")
    labels = [
        {"frame": frame, "box": box.tolist(), "name": name, "tracklet": 0}
        for frame in range(0, show.truth.frames, 5)
        for there in [show.truth.at(frame, least=0.9)]
        for name, box in zip(there.names, there.boxes, strict=True)
    ]
    content = {"size": [show.truth.width, show.truth.height], "faces": labels}
    (folder / f"{real_clip.CLIP}.json").write_text(json.dumps(content))


def test_a_season_and_a_clip_are_measured_from_end_to_end(show: Show, tmp_path: Path) -> None:
    season_of(show, tmp_path / "made" / "s0")
    clip_of(show, tmp_path / "clips")
    fast = ("--set", "detect.min_face=0.08", "--set", "embed.mirrored=false")
    command = ("bench-identity", tmp_path / "made", "--out", tmp_path / "out", *fast)
    done = run(*command, "--clips", tmp_path / "clips", module="training")
    assert done.status == 0, done.err
    content = json.loads((tmp_path / "out" / "identity.json").read_bytes())
    table = {row["what"]: row["values"][0] for row in content["table"]}
    assert table["wrong names among named screen time"] == 0
    assert table["named screen time recalled, all faces"] > 0.5
    assert table["tracks within shots: HOTA"] > 0.5
    assert [one["lines"] for one in content["real_clip"]] == [
        show.truth.height,
        show.truth.height // 2,
    ]
    kept = next((tmp_path / "out" / "work").glob("s0-*/ep01.json"))
    before = kept.stat().st_mtime_ns
    again = run(*command, module="training")
    assert again.status == 0, again.err
    assert kept.stat().st_mtime_ns == before
    assert (tmp_path / "out" / "identity.md").read_text() in again.out
