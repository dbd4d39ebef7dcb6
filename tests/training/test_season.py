from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer import stills
from indexer.config import DecodeSettings
from indexer.decode import open_video
from indexer.errors import ConfigError, ImageError
from indexer.records import Detections, UInt8
from training.synthesize import TrueFace, TrueShot, Truth, mot_path, read_truth, truth_path
from training.synthesize import write_mot as write_mot_file
from training.synthesize.company import Company, read_company
from training.synthesize.film import Studio, draw
from training.synthesize.heads import Head, turned
from training.synthesize.reel import Episode, Reel, Strip
from training.synthesize.scenario import plan_scene
from training.synthesize.scene import light_scene
from training.synthesize.script import Look
from training.synthesize.season import film, plan, synthesize_season, write_gallery
from training.synthesize.season_spec import SeasonSpec
from training.synthesize.story import Roles, write_season
from training.synthesize.takes import Actor, Prop, Take, part, visible
from training.synthesize.truth_file import write_truth

CAST = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Finn")
EXTRAS = ("Gwen", "Hugo")


def looks(names: Sequence[str]) -> dict[str, list[Look]]:
    return {name: [Look(f"{name}/{k}", 0.75, 0.1 * k - 0.3) for k in range(7)] for name in names}


ROLES = Roles(looks(CAST), looks(EXTRAS))
TINY = SeasonSpec(
    episodes=2, seconds=10.0, cast=3, enrolled=2, strangers=1, stills=2, width=160, height=96
)


def still_camera(count: int) -> np.ndarray:
    return np.broadcast_to(np.eye(2, 3), (count, 2, 3))


def take_of(*actors: Actor, props: tuple[Prop, ...] = (), count: int = 1) -> Take:
    same = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 1, 3)
    return Take(0, still_camera(count), same, 0, actors, props)


def actor(name: str, box: Sequence[float], count: int = 1) -> Actor:
    boxes = np.tile(np.array(box, np.float32), (count, 1))
    return Actor(
        name=name,
        still=f"{name}/0",
        clothes=0,
        mirrored=False,
        boxes=boxes,
        angles=np.zeros(count, np.float32),
        light=1.0,
        side=0.0,
        blur=0.0,
    )


def head(label: str) -> Head:
    rng = np.random.default_rng(list(label.encode()))
    pixels = rng.integers(60, 200, (1, 1, 3), np.uint8).repeat(58, 0).repeat(38, 1)
    return Head(label, pixels, np.array([20.0, 26.0]))


@pytest.fixture(scope="module")
def company() -> Company:
    heads = {n: [head(f"{n}/{k}") for k in range(4)] for n in CAST[:4]}
    cast = {name: heads[name] for name in CAST[:3]}
    gallery = {name: [head(f"{name}/{k}") for k in (7, 8)] for name in CAST[:2]}
    return Company(cast, {"Dora": heads["Dora"]}, gallery, ())


specs = st.builds(
    SeasonSpec,
    episodes=st.integers(1, 3),
    seconds=st.floats(0.5, 70),
    fps=st.sampled_from((Fraction(25), Fraction(24000, 1001), Fraction(5))),
    vfr=st.booleans(),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=20)
@given(specs)
def test_shots_cover_every_frame_and_faces_every_frame_of_their_shots(spec: SeasonSpec) -> None:
    for episode in write_season(spec, ROLES):
        truth = episode.truth
        covered = [f for s in truth.shots for f in range(s.start_frame, s.end_frame + 1)]
        assert covered == list(range(spec.frames))
        after = [*(shot.dissolve for shot in truth.shots[1:]), 0]
        people = [{face.name for face in truth.faces if face.shot == n} for n in range(len(after))]
        shown = {"faces": range(1, 6), "title": range(2), "faceless": range(1)}
        assert all(len(people[shot.shot]) in shown[shot.kind] for shot in truth.shots)
        for face in truth.faces:
            shot = truth.shots[face.shot]
            lasts = shot.end_frame + after[shot.shot] // 2 + 1 - face.start_frame
            assert len(face.boxes) == lasts
            assert face.start_frame == shot.start_frame - shot.dissolve // 2
            assert np.isfinite(face.boxes).all()
            assert (face.boxes[:, 2:] > face.boxes[:, :2]).all()
            assert ((face.visible >= 0) & (face.visible <= 1)).all()
            assert face.visible.max() > 0
        for shot in truth.shots:
            names = [face.name for face in truth.faces if face.shot == shot.shot]
            assert len(names) == len(set(names))
            assert shot.kind != "faceless" or not names
        assert [face.track for face in truth.faces] == list(range(len(truth.faces)))


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_people_keep_their_clothes_for_a_scene_and_change_for_the_next(seed: int) -> None:
    truths = [e.truth for e in write_season(SeasonSpec(episodes=2, seconds=60, seed=seed), ROLES)]
    worn: dict[int, set[tuple[int, int]]] = {}
    for number, truth in enumerate(truths):
        for face in truth.faces:
            shot = truth.shots[face.shot]
            if shot.scene >= 0:
                worn.setdefault(face.clothes, set()).add((number, shot.scene))
        for scene in {shot.scene for shot in truth.shots} - {-1}:
            shots = {shot.shot for shot in truth.shots if shot.scene == scene}
            assert len({f.name for f in truth.faces if f.shot in shots}) <= 6
            assert len({f.clothes for f in truth.faces if f.shot in shots}) <= 1
    assert all(len(scenes) == 1 for scenes in worn.values())


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.booleans())
def test_a_repeat_shows_what_its_source_shows(seed: int, vfr: bool) -> None:  # noqa: FBT001
    spec = SeasonSpec(episodes=3, seconds=40, seed=seed, vfr=vfr)
    truths = {e.truth.episode: e.truth for e in write_season(spec, ROLES)}
    assert not any(shot.repeats for shot in truths["ep01"].shots)
    for truth in list(truths.values())[1:]:
        again = [shot for shot in truth.shots if shot.repeats]
        assert {shot.kind for shot in again} == {"faces", "title"}
        for shot in again:
            [what] = shot.repeats
            assert what.episode < truth.episode
            source = truths[what.episode]
            assert source.shots[what.shot].place == shot.place
            for face in (face for face in truth.faces if face.shot == shot.shot):
                [first] = (f for f in source.faces if (f.shot, f.name) == (what.shot, face.name))
                rows = slice(what.start_frame - first.start_frame, None)
                np.testing.assert_array_equal(face.boxes, first.boxes[rows][: len(face.boxes)])
                assert (face.still, face.clothes) == (first.still, first.clothes)


def test_faces_are_as_wide_as_in_real_shows() -> None:
    widths = [
        (face.boxes[:, 2] - face.boxes[:, 0])[face.visible > 0.5]
        for seed in range(8)
        for episode in write_season(SeasonSpec(seed=seed), ROLES)
        for face in episode.truth.faces
    ]
    counts, _ = np.histogram(np.concatenate(widths), (0, 20, 30, 50, 640))
    assert counts / counts.sum() == pytest.approx([0.34, 0.25, 0.24, 0.17], abs=0.07)


def test_shots_turn_from_one_side_to_the_other_and_back() -> None:
    spec, names = SeasonSpec(), ["Ada", "Ben", "Cleo"]
    planned = plan_scene(spec, np.random.default_rng(0), names, 25 * 240)
    assert sum(one.frames for one in planned) == 25 * 240
    assert min(one.frames for one in planned) >= 25
    assert planned[0].setup.focus == tuple(names)
    back = sum(a.setup == c.setup != b.setup for a, b, c in zip(planned, planned[1:], planned[2:]))  # noqa: B905
    assert back > 10


def test_a_season_has_dissolves_and_cuts_obstacles_and_half_profiles() -> None:
    episodes = write_season(SeasonSpec(episodes=2, seed=1), ROLES)
    shots = [shot for episode in episodes for shot in episode.truth.shots]
    assert {bool(shot.dissolve) for shot in shots} == {True, False}
    assert {shot.kind for shot in shots} == {"faces", "faceless", "title"}
    kinds = {prop.kind for e in episodes for take in e.takes for prop in take.props}
    assert kinds == {"bar", "hand", "back"}
    gone = [face.visible for e in episodes for face in e.truth.faces]
    assert any(v[0] > 0.9 and v[-1] > 0.9 and v.min() == 0 for v in gone)
    turns = {look.still: abs(look.turn) for group in ROLES.looks.values() for look in group}
    small: list[float] = []
    large: list[float] = []
    for face in (face for e in episodes for face in e.truth.faces):
        width = float(np.median(face.boxes[:, 2] - face.boxes[:, 0]))
        (small if width < 30 else large).append(turns[face.still])
    assert np.mean(small) > np.mean(large) + 0.05


def test_the_same_seed_gives_the_same_truth_byte_for_byte(tmp_path: Path) -> None:
    def written(seed: int, name: str) -> bytes:
        [episode] = write_season(SeasonSpec(seconds=30, seed=seed), ROLES)
        write_truth(tmp_path / name, episode.truth)
        return (tmp_path / name).read_bytes()

    assert written(3, "one") == written(3, "two")
    assert written(4, "other") != written(3, "one")


def test_a_cast_of_one_is_too_small() -> None:
    with pytest.raises(ValueError, match="cast"):
        write_season(SeasonSpec(), Roles(looks(CAST[:1]), {}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"cast": 3, "enrolled": 4},
        {"enrolled": 0},
        {"strangers": -1},
        {"episodes": 0},
        {"rotation": 45},
        {"width": 641},
        {"seconds": 0.0},
        {"crf": 60},
    ],
)
def test_an_impossible_season_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SeasonSpec(**wrong)  # type: ignore[arg-type]


def test_what_stands_before_a_face_hides_its_share_of_it() -> None:
    face = actor("Ada", (100, 100, 120, 124))
    boxes = np.array([[95, 90, 110, 130]], np.float32)
    [half] = visible(take_of(face, props=(Prop("bar", "", boxes, 0.0),)), 640, 360)
    assert half.tolist() == [0.5]
    [whole] = visible(take_of(face), 640, 360)
    assert whole.tolist() == [1.0]
    hand = Prop("hand", "Ada", np.array([[100, 100, 120, 124]], np.float32), 0.0)
    [corners] = visible(take_of(face, props=(hand,)), 640, 360)
    assert corners[0] == pytest.approx(1 - np.pi / 4, abs=0.03)
    back, front = visible(take_of(face, actor("Ben", (100, 100, 120, 124))), 640, 360)
    assert (back[0], front[0]) == (0, 1)
    [outside] = visible(take_of(actor("Ada", (-10, 0, 10, 20))), 640, 360)
    assert outside.tolist() == [0.5]
    assert visible(take_of(), 640, 360) == []


def test_a_part_of_a_take_has_its_rows() -> None:
    take = take_of(actor("Ada", (0, 0, 9, 9), count=5), count=5)
    assert len(part(take, 1, 3)) == len(part(take, 1, 3).actors[0].boxes) == 3


def test_a_reel_weighs_faces_by_their_share_of_a_dissolve() -> None:
    reel = Reel(replace(TINY, seconds=0.8), "ep01", ())
    reel.add(take_of(actor("Ada", (9, 9, 29, 29), 12), count=12), Strip("faces", 0), tail=2)
    reel.add(take_of(actor("Ben", (9, 9, 29, 29), 12), count=12), Strip("faces", 0, dissolve=4))
    assert reel.left == 0
    truth = reel.cut((), ()).truth
    ada, ben = truth.faces
    assert ada.visible[-5:].tolist() == pytest.approx([1, 0.875, 0.625, 0.375, 0.125])
    assert ben.visible[:5].tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875, 1])
    assert ben.start_frame == 8
    assert truth.at(9).names == ("Ada", "Ben")
    with pytest.raises(ValueError, match="frames of its own"):
        reel.add(take_of(count=1), Strip("faceless"))


def test_a_dissolve_shows_both_shots_in_their_shares() -> None:
    film_spec = replace(TINY.film, noise=0.0)
    grey = {k: np.full((125, 208, 3), level, np.uint8) for k, level in enumerate((40, 200))}
    takes = [replace(take_of(count=3), place=k) for k in (0, 1)]
    frames = list(draw(Studio(film_spec, {}, grey), takes, [0, 2], 0))
    assert [int(frame[5, 5, 0]) for frame in frames] == [40, 80, 160, 200]


def test_a_face_that_looks_to_the_right_has_its_nose_there() -> None:
    frontal = np.array([[0, 0], [10, 0], [5, 6], [2, 10], [8, 10]], np.float32)
    assert turned(frontal) == 0
    right = frontal.copy()
    right[2] = (8, 6)
    assert turned(right) == pytest.approx(0.3)
    tilt = np.array([[0, 1], [-1, 0]], np.float32)
    assert turned(right @ tilt) == pytest.approx(0.3)


def test_the_mot_file_counts_from_one(tmp_path: Path) -> None:
    face = TrueFace(
        "Ada",
        "Ada/0",
        0,
        0,
        np.array([[10, 20, 14.5, 26]] * 2, np.float32),
        np.zeros(2, np.float32),
        np.array([0, 0.5], np.float32),
    )
    shots = (TrueShot(0, 0, 1, "faces", 0),)
    truth = Truth(64, 64, Fraction(25), ("Ada",), (), shots, (face,), ())
    write_mot_file(tmp_path / "ep.gt.txt", truth)
    assert (tmp_path / "ep.gt.txt").read_text() == "2,1,11.000,21.000,4.500,6.000,1,1,0.500\n"


def test_an_episode_is_written_and_read(tmp_path: Path, company: Company) -> None:
    first, second = plan(TINY, company)
    film(tmp_path, TINY, company, 1, second)
    video = tmp_path / "ep02.mp4"
    truth = read_truth(truth_path(video))
    assert replace(truth, faces=()) == replace(second.truth, faces=())
    on_screen = {face.still for e in (first, second) for face in e.truth.faces}
    assert truth.enrolled == CAST[:2]
    assert len(truth.gallery) == 4
    assert not on_screen & set(truth.gallery)
    lines = mot_path(video).read_text().splitlines()
    assert len(lines) == sum(int(np.sum(face.visible > 0)) for face in truth.faces)
    with open_video(video, DecodeSettings()) as frames:
        assert sum(1 for _ in frames) == truth.frames


@pytest.mark.parametrize(("vfr", "rotation"), [(True, 0), (False, 90), (False, 180), (False, 270)])
def test_times_and_rotation_are_those_of_the_truth(
    tmp_path: Path,
    company: Company,
    vfr: bool,  # noqa: FBT001
    rotation: int,
) -> None:
    spec = replace(TINY, seconds=2.0, vfr=vfr, rotation=rotation)
    plain, turned_spec = plan(replace(spec, rotation=0), company)[0], plan(spec, company)[0]
    for name, one, how in (("plain", plain, replace(spec, rotation=0)), ("as", turned_spec, spec)):
        (tmp_path / name).mkdir()
        film(tmp_path / name, how, company, 0, one)
    pictures, times = decoded(tmp_path / "as" / "ep01.mp4")
    expected, _ = decoded(tmp_path / "plain" / "ep01.mp4")
    wanted = [turned_spec.truth.time_s(frame) for frame in range(turned_spec.truth.frames)]
    assert times == pytest.approx(wanted, abs=1e-3)
    assert len(set(np.diff(times).round(3))) == (3 if vfr else 1)
    for picture, other in zip(pictures, expected, strict=True):
        assert np.abs(picture.astype(int) - other).mean() < 4


def decoded(video: Path) -> tuple[list[UInt8], list[float]]:
    with open_video(video, DecodeSettings()) as frames:
        both = [(frame.pixels(), frame.time_s) for frame in frames]
    return [pixels for pixels, _ in both], [time for _, time in both]


def test_a_repeated_shot_looks_as_it_did(company: Company) -> None:
    first, second = plan(replace(TINY, seconds=12.0), company)
    frames = [drawn(company, episode, n) for n, episode in enumerate((first, second))]
    shot = next(s for s in second.truth.shots if s.repeats and s.kind == "title")
    [what] = shot.repeats
    again, before = frames[1][shot.start_frame], frames[0][what.start_frame]
    other = frames[0][second.truth.shots[-1].end_frame]
    assert np.abs(again.astype(int) - before).mean() < 5  # the grain
    assert np.abs(again.astype(int) - other).mean() > 15


def drawn(company: Company, episode: Episode, number: int) -> list[UInt8]:
    heads = {
        h.label: h
        for group in (company.cast, company.strangers)
        for hs in group.values()
        for h in hs
    }
    dissolves = [shot.dissolve for shot in episode.truth.shots]
    return list(draw(Studio(TINY.film, heads, {}), episode.takes, dissolves, number))


def one_face(pixels: UInt8) -> Detections:
    high, wide = pixels.shape[:2]
    box = np.array([[0.4 * wide, 0.4 * high, 0.6 * wide, 0.6 * high]], np.float32)
    return Detections(box, np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    for name, count in (*zip(CAST, (9, 8, 7, 6, 5, 4), strict=True), ("Zoe", 1)):
        (folder / name).mkdir(parents=True)
        for still in range(count):
            pixels = np.random.default_rng(still).integers(0, 255, (90, 60, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{still}.png")
    return folder


def test_a_company_sets_stills_aside_that_are_not_on_screen(source: Path) -> None:
    made = read_company(source, TINY, one_face)
    assert len(made.cast) == 3
    assert len(made.strangers) == 1
    assert list(made.gallery) == list(made.cast)[:2]
    assert set(made.cast) <= set(CAST[:5])  # those who have enough stills and photos
    for name, heads in made.gallery.items():
        assert len(heads) == 2
        assert not {h.label for h in heads} & {h.label for h in made.cast[name]}
    assert not set(made.strangers) & set(made.cast)


def test_too_few_people_are_refused(source: Path) -> None:
    with pytest.raises(ImageError, match="only 5 people with 5 usable photos or more, but needs 6"):
        read_company(source, replace(TINY, cast=6), one_face)
    (source / "Ada" / "0.png").write_text("no picture")
    assert read_company(source, replace(TINY, cast=5, photos=9), one_face).skipped


def test_a_season_is_written_whole_or_not_at_all(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "season"
    truths = synthesize_season(source, out, replace(TINY, seconds=1.0), one_face)
    assert [truth.episode for truth in truths] == ["ep01", "ep02"]
    names = {f"ep0{k}.{end}" for k in (1, 2) for end in ("mp4", "truth.json", "gt.txt")}
    assert {path.name for path in out.iterdir()} == names | {"gallery"}
    assert [p.name for p in stills.people(out / "gallery")] == sorted(truths[0].enrolled)
    with pytest.raises(ConfigError, match="exists already"):
        synthesize_season(source, out, TINY, one_face)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        synthesize_season(source, tmp_path / "file" / "season", TINY, one_face)
    assert {path.name for path in tmp_path.iterdir()} == {"season", "file", "faces"}


def test_no_still_of_a_gallery_overwrites_another(tmp_path: Path) -> None:
    photos = ["1.jpg", "1.png", "2.JPG", "Dr. No_0001", "Dr. No_0002"]
    write_gallery(tmp_path, {"Ann": [head(f"Ann/{name}") for name in photos]})
    assert [path.name for path in sorted((tmp_path / "Ann").iterdir())] == [
        *("1.jpg", "1.png.jpg", "2.JPG", "Dr. No_0001.jpg", "Dr. No_0002.jpg")
    ]


def test_light_is_a_table_of_levels() -> None:
    for seed in range(20):
        levels = light_scene(np.random.default_rng(seed))
        assert levels.shape == (256, 1, 3)
        assert all((a <= b).all() for a, b in pairwise(levels[:, 0]))
