from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import ImageError, StoreError
from tests.conftest import Ran
from tests.libraries import ANN, BOB, CAST, Shown, episode, new, put
from training.__main__ import main
from training.evaluate import mot
from training.evaluate.tracking import TrackBoxes, compare_tracks, leave_out

SIDE = 40.0
Place = tuple[int, int]
"""A frame, and the number of a spot on the screen; spots are far from each other."""
ALPHAS = np.arange(1, 20) / 20


def typed(*words: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in words])
    return Ran(status, out.getvalue(), err.getvalue())


def boxes(of: Mapping[Place, tuple[int, float]]) -> TrackBoxes:
    """Return boxes, given by place as track id and shift to the right."""
    rows = [(frame, track, 100 * spot + shift) for (frame, spot), (track, shift) in of.items()]
    frames, ids, left = np.array(rows, np.float64).reshape(-1, 3).T
    corners = np.stack([left, left * 0, left + SIDE, left * 0 + SIDE], axis=1)
    return TrackBoxes(frames.astype(np.int64), ids.astype(np.int64), corners.astype(np.float32))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[dict[Place, tuple[int, float]], ...]:
    """Draw true and predicted boxes; each can match only the one in the same place."""
    truth: dict[Place, tuple[int, float]] = {}
    predicted: dict[Place, tuple[int, float]] = {}
    for frame in range(draw(st.integers(1, 5))):
        for into, shifts in ((truth, [0.0]), (predicted, [0.0, 5.0, 11.0, 17.0])):
            ids = draw(st.permutations([1, 2, 3]))
            for spot in range(3):
                if draw(st.booleans()):
                    into[frame, spot] = (ids[spot], draw(st.sampled_from(shifts)))
    return truth, predicted


def overlap(shift: float) -> float:
    return (SIDE - shift) / (SIDE + shift)


def slow_hota(
    truth: Mapping[Place, tuple[int, float]], predicted: Mapping[Place, tuple[int, float]]
) -> tuple[float, float, float]:
    """Return HOTA, DetA and AssA, written out as in section 3 of the paper."""
    found = []
    for alpha in ALPHAS:
        hits = [
            place
            for place, (_, shift) in predicted.items()
            if place in truth and overlap(shift) >= alpha
        ]
        union = len(truth) + len(predicted) - len(hits)
        alike = 0.0
        for hit in hits:
            true_id, found_id = truth[hit][0], predicted[hit][0]
            both = sum(truth[p][0] == true_id and predicted[p][0] == found_id for p in hits)
            mine = sum(one == true_id for one, _ in truth.values())
            theirs = sum(one == found_id for one, _ in predicted.values())
            alike += both / (mine + theirs - both)
        detected, associated = len(hits) / union, alike / max(1, len(hits))
        found.append((np.sqrt(detected * associated), detected, associated))
    return tuple(np.mean(found, axis=0).tolist())


def slow_idf1(
    truth: Mapping[Place, tuple[int, float]], predicted: Mapping[Place, tuple[int, float]]
) -> float:
    """Return IDF1 by trying all ways to give each true id a different predicted one."""
    hits = [p for p, (_, shift) in predicted.items() if p in truth and overlap(shift) >= 0.5]
    best = max(
        sum(of[truth[p][0] - 1] == predicted[p][0] for p in hits) for of in permutations([1, 2, 3])
    )
    return 2 * best / (len(truth) + len(predicted))


def slow_mota(
    truth: Mapping[Place, tuple[int, float]], predicted: Mapping[Place, tuple[int, float]]
) -> tuple[float, int]:
    hits = [p for p, (_, shift) in predicted.items() if p in truth and overlap(shift) >= 0.5]
    last: dict[int, int] = {}
    switches = 0
    for place in sorted(hits):
        true_id, found_id = truth[place][0], predicted[place][0]
        switches += last.get(true_id, found_id) != found_id
        last[true_id] = found_id
    wrong = len(truth) + len(predicted) - 2 * len(hits) + switches
    return 1 - wrong / len(truth), switches


@settings(max_examples=80)
@given(scenes())
def test_the_numbers_are_those_of_the_papers(
    scene: tuple[dict[Place, tuple[int, float]], ...],
) -> None:
    truth, predicted = scene
    found = compare_tracks(boxes(truth), boxes(predicted))
    if not truth or not predicted:
        assert (found.hota, found.ass_a, found.idf1, found.mota) == (0, 0, 0, 0)
        return
    assert (found.hota, found.det_a, found.ass_a) == pytest.approx(slow_hota(truth, predicted))
    assert found.idf1 == pytest.approx(slow_idf1(truth, predicted))
    assert (found.mota, found.switches) == pytest.approx(slow_mota(truth, predicted))


def test_half_of_a_track_under_another_id() -> None:
    truth = boxes({(frame, 0): (1, 0) for frame in range(10)})
    found = compare_tracks(truth, boxes({(frame, 0): (1 + frame // 5, 0) for frame in range(10)}))
    assert found.det_a == 1
    assert found.ass_a == pytest.approx(0.5)
    assert found.hota == pytest.approx(np.sqrt(0.5))
    assert found.idf1 == pytest.approx(0.5)
    assert found.mota == pytest.approx(0.9)
    assert (found.switches, found.true_tracks, found.predicted_tracks) == (1, 1, 2)
    same = compare_tracks(truth, truth)
    assert (same.hota, same.idf1, same.mota, same.recall, same.precision) == (1, 1, 1, 1, 1)


def test_what_is_ignored_is_neither_right_nor_wrong() -> None:
    truth = boxes({(0, 0): (1, 0), (0, 1): (2, 0), (1, 1): (2, 0)})
    predicted = boxes({(0, 0): (1, 0), (0, 1): (7, 0), (1, 2): (7, 0)})
    left, found = leave_out(truth, predicted, truth.ids == 2)
    assert left.ids.tolist() == [1]
    assert found.ids.tolist() == [1, 7]  # a box that is near no true one stays wrong
    assert compare_tracks(left, found).mota == 0
    nothing = truth.only(np.zeros(3, bool))
    assert len(leave_out(nothing, nothing, np.zeros(0, bool))[1].frames) == 0


def test_two_boxes_of_a_track_in_one_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="two boxes"):
        boxes({(0, 0): (1, 0), (0, 1): (1, 0)})
    with pytest.raises(ValueError, match="expected"):
        TrackBoxes(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros((1, 4), np.float32))


@settings(max_examples=25)
@given(scenes())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, scene: tuple[dict[Place, tuple[int, float]], ...]
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.txt"
    written = boxes(scene[1])
    mot.write_tracks(path, written)
    read = mot.read_tracks(path)
    assert sorted(read.frames.tolist()) == sorted(written.frames.tolist())
    if len(written.frames):
        assert compare_tracks(written, read).hota == pytest.approx(1)


def test_a_truth_says_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "ep.gt.txt"
    path.write_text("1,1,1,1,40,40,1,1,0.9\n1,2,101,1,10,40,1,1,1\n2,1,1,1,40,40,0,1,1\n")
    truth = mot.read_true_tracks(path)
    assert truth.tracks.boxes[1].tolist() == [100, 0, 110, 40]
    assert truth.ignored(0, 0).tolist() == [False, False, True]
    assert truth.ignored(20, 0).tolist() == [False, True, True]
    assert truth.ignored(0, 0.95).tolist() == [True, False, True]
    path.write_text("1,1,1,1,40,40\n")
    assert mot.read_true_tracks(path).visible.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no face"),
        ("1,1,1,1,40\n", "without 6 numbers"),
        ("1,1,1,1,40,\n", "without 6 numbers"),
        ("1,1,1,1,40,high\n", "not a table of boxes"),
        ("0,1,1,1,40,40\n", "not 1, 2"),
        ("1,1.5,1,1,40,40\n", "not 1, 2"),
        ("1,1,1,1,40,0\n", "without width or height"),
        ("1,1,1,1,40,40\n1,1,9,9,40,40\n", "two boxes in one frame"),
    ],
)
def test_what_is_no_truth_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "ep.gt.txt"
    path.write_text(text)
    with pytest.raises(ImageError, match=problem):
        mot.read_true_tracks(path)
    done = typed("evaluate-tracks", path, path)
    assert done.status == 2
    assert problem in done.err
    assert typed("evaluate-tracks", tmp_path / "nowhere.txt", path).status == 2


def test_a_library_is_measured_by_its_name(tmp_path: Path) -> None:
    made = episode("Pilot.mp4", [8], [Shown(0, 4, ANN), Shown(2, 7, BOB)])
    library = put(new(tmp_path / "library"), made, CAST)
    text = tmp_path / "pilot.txt"
    found = typed("evaluate-tracks", _truth(library.root, tmp_path), library.root, "--mot", text)
    assert found.status == 0, found.err
    lines = [line.rsplit(None, 1) for line in found.out.splitlines() if "-" not in line]
    rows = {name.strip(): value for name, value in lines}
    assert rows["faces"] == "11"
    assert float(rows["HOTA"]) == float(rows["MOTA"]) == 1
    assert len(text.read_text().splitlines()) == 11
    put(library, episode("Finale.mp4", [3], []), CAST)
    with pytest.raises(StoreError, match="holds 2 episodes"):
        mot.library_tracks(library.root, "")
    assert len(mot.library_tracks(library.root, "Pilot").frames) == 11
    assert len(mot.library_tracks(library.root, "Finale").frames) == 0
    refused = typed("evaluate-tracks", text, library.root, "--episode", "Sequel")
    assert refused.status == 2
    assert "Sequel" in refused.err


def _truth(library: Path, folder: Path) -> Path:
    path = folder / "pilot.gt.txt"
    mot.write_tracks(path, mot.library_tracks(library, "Pilot"))
    return path
