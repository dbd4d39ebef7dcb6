from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer import stills
from indexer.config import DetectSettings, ShotSettings
from indexer.detect import detect
from indexer.embed import align
from indexer.errors import ImageError, VideoError
from indexer.geometry import iou, overlap_of_smaller
from indexer.nets import encoder, mtcnn
from indexer.records import BLANK, Detections, Frame, UInt8
from indexer.shots import split
from indexer.stills import Person
from training.people import write_people
from training.synthesize import (
    Detect,
    EpisodeSpec,
    People,
    TrueFace,
    Truth,
    draw_frames,
    locate_face,
    make_episode,
    read_people,
    read_truth,
    synthesize,
    truth_path,
    write_truth,
)
from training.synthesize.script import Look, write_script
from training.synthesize.shape import silhouette

NAMES = ("Ada", "Ben", "Cleo", "Dora")
LOOKS = {name: [Look(f"{name}/{k}.png", 0.7 + 0.05 * k) for k in range(3)] for name in NAMES}
SHORT = EpisodeSpec(320, 180, seconds=4.0, shot_seconds=(0.8, 1.5), seed=3)
NOBODY = Detections(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
)


def no_face(pixels: UInt8) -> Detections:
    return NOBODY


def boxes_at(*boxes: Sequence[float]) -> Detect:
    count = len(boxes)
    found = Detections(
        np.array(boxes, np.float32), np.ones(count, np.float32), np.zeros((count, 5, 2), np.float32)
    )
    return lambda pixels: found


@pytest.fixture(scope="module")
def detector() -> Detect:
    nets = mtcnn.load("cpu")
    return lambda pixels: detect(nets, [pixels], DetectSettings(min_face=0.1))[0]


@pytest.fixture(scope="module")
def people(detector: Detect, tmp_path_factory: pytest.TempPathFactory) -> People:
    folder = tmp_path_factory.mktemp("people")
    write_people(folder, stills=2, seed=0)
    return read_people(stills.people(folder), detector)


def decode(video: Path) -> list[UInt8]:
    with av.open(str(video)) as container:
        return [f.to_ndarray(format="rgb24").astype(np.uint8) for f in container.decode(video=0)]


specs = st.builds(
    EpisodeSpec,
    width=st.sampled_from((64, 320, 640)),
    height=st.sampled_from((64, 180, 640)),
    fps=st.sampled_from((Fraction(25), Fraction(24000, 1001), Fraction(50), Fraction(1))),
    seconds=st.floats(1, 30),
    shot_seconds=st.tuples(st.floats(0.2, 2), st.floats(2, 6)),
    people_per_shot=st.tuples(st.integers(1, 2), st.integers(2, 5)),
    faceless=st.floats(0, 1),
    leaving=st.floats(0, 1),
    crossing=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=40)
@given(specs)
def test_the_script_covers_every_frame_with_finite_boxes_and_shares(spec: EpisodeSpec) -> None:
    truth = write_script(spec, LOOKS, ["Ben"])
    covered = [f for shot in truth.shots for f in range(shot.start_frame, shot.end_frame + 1)]
    assert covered == list(range(round(spec.seconds * spec.fps)))
    assert all(a.place != b.place for a, b in pairwise(truth.shots))
    for face in truth.faces:
        shot = truth.shots[face.shot]
        assert len(face.boxes) == shot.end_frame - shot.start_frame + 1
        assert shot.kind == "faces"
        assert np.isfinite(face.boxes).all()
        assert np.isfinite(face.angles).all()
        assert ((face.visible >= 0) & (face.visible <= 1)).all()
        assert (face.boxes[:, 2:] > face.boxes[:, :2]).all()
    for shot in truth.shots:
        names = [face.name for face in truth.faces if face.shot == shot.shot]
        assert len(names) == len(set(names))
        assert bool(names) == (shot.kind == "faces")


@settings(max_examples=25)
@given(specs)
def test_faces_never_overlap_unless_they_are_asked_to(spec: EpisodeSpec) -> None:
    truth = write_script(replace(spec, crossing=0.0), LOOKS)
    for frame in range(truth.frames):
        boxes = truth.at(frame).boxes
        assert (overlap_of_smaller(boxes, boxes)[~np.eye(len(boxes), dtype=bool)] == 0).all()


def test_the_same_seed_gives_the_same_script_and_another_gives_another() -> None:
    spec = EpisodeSpec(seconds=20)
    first, again, other = (write_script(s, LOOKS) for s in (spec, spec, replace(spec, seed=1)))
    assert first.shots == again.shots
    assert [f.name for f in first.faces] == [f.name for f in again.faces]
    for a, b in zip(first.faces, again.faces, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
    assert first.shots != other.shots


def test_everybody_has_a_turn_before_one_has_a_second() -> None:
    spec = EpisodeSpec(seconds=40, people_per_shot=(1, 1), faceless=0, shot_seconds=(2, 2))
    names = [face.name for face in write_script(spec, LOOKS).faces]
    assert len(names) == 20
    assert all(set(names[i : i + 4]) == set(NAMES) for i in range(0, 20, 4))


def test_strangers_are_told_from_the_cast_and_get_their_share() -> None:
    spec = EpisodeSpec(seconds=400, strangers=0.5)
    truth = write_script(spec, LOOKS, ["Dora"])
    assert truth.cast == ("Ada", "Ben", "Cleo")
    assert truth.strangers == ("Dora",)
    parts = [face.name for face in truth.faces]
    assert 0.3 < parts.count("Dora") / len(parts) < 0.6
    alone = write_script(replace(spec, seconds=20), LOOKS, NAMES)
    assert alone.cast == ()
    assert alone.faces


def test_who_leaves_is_gone_and_who_comes_back_is_seen_again() -> None:
    spec = EpisodeSpec(seconds=300, leaving=1, people_per_shot=(1, 2), shot_seconds=(3, 4))
    faces = write_script(spec, LOOKS).faces
    assert all(face.visible.min() == 0 for face in faces)
    assert all(face.visible.max() == 1 for face in faces)
    assert any(face.visible[0] == 1 and face.visible[-1] == 1 for face in faces)


def test_two_who_cross_hide_one_another_for_a_while() -> None:
    spec = EpisodeSpec(seconds=12, people_per_shot=(2, 2), faceless=0, leaving=0, crossing=1)
    truth = write_script(spec, LOOKS)
    for shot in truth.shots:
        back, front = (face for face in truth.faces if face.shot == shot.shot)
        ahead = back.boxes[:, 0] < front.boxes[:, 0]
        assert ahead[0] != ahead[-1]
        assert back.visible.min() < 0.3
        assert front.visible.min() == 1


def test_a_face_half_out_of_the_frame_is_half_visible() -> None:
    spec = EpisodeSpec(640, 360, seconds=60, leaving=1, people_per_shot=(1, 1), faceless=0)
    for face in write_script(spec, LOOKS).faces:
        inside = np.clip(face.boxes[:, 2], 0, 640) - np.clip(face.boxes[:, 0], 0, 640)
        share = inside / (face.boxes[:, 2] - face.boxes[:, 0])
        np.testing.assert_allclose(face.visible, share, atol=1 / 12)


def test_a_silhouette_is_a_head_on_shoulders() -> None:
    u = np.array([0.0, 0.79, 0.81, 0.0, 0.5, 1.4, 1.6])
    v = np.array([0.0, -0.08, -0.08, 0.9, 0.9, 2.0, 2.0])
    assert silhouette(u, v).tolist() == [True, True, False, True, True, True, False]


def test_a_script_with_nobody_is_refused_unless_it_is_faceless() -> None:
    with pytest.raises(ValueError, match="at least one"):
        write_script(EpisodeSpec(), {})
    with pytest.raises(ValueError, match="expected stills"):
        write_script(EpisodeSpec(), {"Ada": []})
    truth = write_script(EpisodeSpec(faceless=1), {})
    assert truth.faces == ()
    assert {shot.kind for shot in truth.shots} == {"faceless"}
    assert truth.at(5).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 641},
        {"height": 32},
        {"fps": Fraction(0)},
        {"seconds": 0.0},
        {"shot_seconds": (2.0, 1.0)},
        {"people_per_shot": (0, 1)},
        {"face_height": (0.0, 0.1)},
        {"faceless": 1.5},
        {"places": 1},
        {"crf": 52},
        {"seed": -1},
    ],
)
def test_an_impossible_spec_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        EpisodeSpec(**wrong)  # type: ignore[arg-type]


def test_a_truth_comes_back_from_its_file_unchanged(tmp_path: Path) -> None:
    truth = write_script(EpisodeSpec(seconds=8, fps=Fraction(24000, 1001)), LOOKS, ["Ben"])
    write_truth(tmp_path / "ep.truth.json", truth)
    assert_same(read_truth(tmp_path / "ep.truth.json"), truth)


def assert_same(got: Truth, wanted: Truth) -> None:
    assert replace(got, faces=()) == replace(wanted, faces=())
    for a, b in zip(got.faces, wanted.faces, strict=True):
        assert (a.name, a.still, a.shot, a.start_frame) == (b.name, b.still, b.shot, b.start_frame)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.angles, b.angles)
        np.testing.assert_array_equal(a.visible, b.visible)


@pytest.mark.parametrize("text", [None, "", "[1]", '{"schema": "truth/0"}', "{}"])
def test_what_is_no_truth_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ep.truth.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ImageError, match=r"synthetic episode|schema"):
        read_truth(path)


def test_a_true_face_checks_its_shapes() -> None:
    wrong = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="shapes"):
        TrueFace("Ada", "Ada/0.png", 0, 0, wrong, wrong, wrong)


def test_a_still_is_shown_with_a_margin_and_the_box_is_that_of_the_still() -> None:
    box = locate_face(np.zeros((60, 90, 3), np.uint8), boxes_at((40, 35, 70, 75)))
    assert box.tolist() == [10, 5, 40, 45]  # the margin is a third of the longer side


def test_a_still_must_show_one_face() -> None:
    still = np.zeros((60, 90, 3), np.uint8)
    with pytest.raises(ValueError, match="no face"):
        locate_face(still, no_face)
    with pytest.raises(ValueError, match="several"):
        locate_face(still, boxes_at((0, 0, 30, 30), (50, 0, 80, 25)))
    assert locate_face(still, boxes_at((50, 0, 62, 12), (30, 30, 60, 60))).tolist() == [
        0,
        0,
        30,
        30,
    ]


def test_stills_of_no_use_are_listed_and_somebody_without_any_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    both = Person(Path("Ada"), sorted(tmp_path.iterdir()))
    found = read_people([both], boxes_at((40, 35, 70, 75)))
    assert [head.label for head in found.heads["Ada"]] == ["Ada/good.png"]
    assert [skipped.path for skipped in found.skipped] == ["Ada/notes.txt"]
    with pytest.raises(ImageError, match="no face was found"):
        read_people([Person(Path("Ada"), [tmp_path / "good.png"])], no_face)
    with pytest.raises(ImageError, match="there is none"):
        read_people([Person(Path("Ada"), [])], no_face)
    with pytest.raises(ValueError, match="differ"):
        read_people([both, both], boxes_at((40, 35, 70, 75)))


def test_a_picture_lying_on_its_side_is_read_upright(tmp_path: Path, detector: Detect) -> None:
    write_people(tmp_path, stills=1, seed=0)
    plain = next((tmp_path / "Ada").iterdir())
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise for display
    with Image.open(plain) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    paths = [plain, tmp_path / "side.png"]
    upright, turned = read_people([Person(Path("Ada"), paths)], detector).heads["Ada"]
    np.testing.assert_array_equal(upright.pixels, turned.pixels)


def test_a_faceless_episode_needs_nobody(tmp_path: Path) -> None:
    spec = replace(SHORT, faceless=1.0, seconds=1.0, fps=Fraction(30000, 1001))
    truth = make_episode(People({}, ()), tmp_path / "ep.mp4", spec)
    assert truth.frames == len(decode(tmp_path / "ep.mp4")) == 30


def test_an_episode_of_nobody_or_of_an_unknown_stranger_is_refused(
    tmp_path: Path, people: People
) -> None:
    with pytest.raises(ImageError, match="holds nobody"):
        synthesize(tmp_path, tmp_path / "ep.mp4", SHORT, no_face)
    with pytest.raises(ValueError, match="strangers"):
        make_episode(people, tmp_path / "ep.mp4", SHORT, ["Zoe"])
    with pytest.raises(VideoError, match="ep"):
        make_episode(people, tmp_path / "missing" / "ep.mp4", SHORT)
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, people: People) -> None:
    first, again = tmp_path / "one" / "ep.mp4", tmp_path / "two" / "ep.mp4"
    for video in (first, again):
        video.parent.mkdir()
        make_episode(people, video, SHORT)
    assert first.read_bytes() == again.read_bytes()
    assert truth_path(first).read_bytes() == truth_path(again).read_bytes()
    assert sorted(path.name for path in first.parent.iterdir()) == ["ep.mp4", "ep.truth.json"]


def test_the_shot_detector_finds_the_cuts_and_no_others(people: People) -> None:
    spec = replace(SHORT, seconds=12.0)
    truth = write_script(spec, looks_of(people))

    def frames() -> Iterator[Frame]:
        for index, pixels in enumerate(draw_frames(spec, truth, people)):
            render = partial(shown, pixels)
            seen = Frame(
                index=index,
                pts=index,
                time_s=index / 25,
                shot=0,
                usable=True,
                hash=BLANK,
                width=spec.width,
                height=spec.height,
                render=render,
            )
            yield seen

    found = [frame.shot for frame in split(frames(), spec.fps, ShotSettings())]
    assert found == [
        shot.shot for shot in truth.shots for _ in range(shot.start_frame, shot.end_frame + 1)
    ]


def shown(pixels: UInt8, width: int, height: int) -> UInt8:
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def looks_of(people: People) -> dict[str, list[Look]]:
    return {
        name: [Look(head.label, float(head.face[0] / head.face[1])) for head in heads]
        for name, heads in people.heads.items()
    }


def test_an_encoder_tells_the_people_for_tests_apart(tmp_path: Path, detector: Detect) -> None:
    net = encoder.load("", "cpu")
    names = write_people(tmp_path, stills=2, seed=7)
    rows = []
    for name in names:
        for file in sorted((tmp_path / name).iterdir()):
            image = stills.read(file)
            rows.append(encoder.encode(net, align(image, detector(image).landmarks, net.facts)))
    assert all(len(row) == 1 for row in rows)
    cosines = np.concatenate(rows) @ np.concatenate(rows).T
    same = np.kron(np.eye(len(names)), np.ones((2, 2))) == 1
    assert cosines[same].min() > 0.95
    assert cosines[~same].max() < 0.89


def test_the_detector_finds_the_faces_where_the_truth_says(
    tmp_path: Path, people: People, detector: Detect
) -> None:
    spec = EpisodeSpec(seconds=16.0, seed=1)
    truth = make_episode(people, tmp_path / "ep.mp4", spec, ["Dora"])
    assert_same(read_truth(tmp_path / "ep.truth.json"), truth)
    frames = decode(tmp_path / "ep.mp4")
    assert len(frames) == truth.frames == 400
    best, false = [], 0
    for index in range(0, 400, 10):
        found, real = detector(frames[index]).boxes, truth.at(index)
        overlap = iou(real.boxes, found)
        clear = real.visible > 0.8
        best += np.max(overlap, axis=1, initial=0)[clear].tolist()
        false += int(np.sum(np.max(overlap, axis=0, initial=0) < 0.2))
    assert len(best) > 30
    assert np.mean(np.array(best) >= 0.5) >= 0.95
    assert false <= 2
