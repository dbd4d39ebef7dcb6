"""What README's first screen shows is true: `make demo`, checked against its episode's truth."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from indexer import geometry
from tests.conftest import run
from training.demo import CAST, STRANGERS
from training.synthesize.truth_file import read_truth, truth_path


def test_the_demo_names_its_cast_and_nobody_else(tmp_path: Path) -> None:
    done = run("demo", tmp_path / "demo", module="training")
    assert done.status == 0, done.err
    timeline = json.loads((tmp_path / "demo" / "timeline.json").read_text())
    truth = read_truth(truth_path(tmp_path / "demo" / "episode.mp4"))
    called: dict[str, set[str | int]] = defaultdict(set)
    for frame in timeline["frames"]:
        real = truth.at(frame["frame"], least=0.9)
        for face in frame["faces"]:
            overlap = geometry.iou(np.array([face["box"]], np.float32), real.boxes)[0]
            if len(overlap) and overlap.max() > 0.5:
                called[real.names[int(overlap.argmax())]].add(face["name"] or face["character"])
    assert set(called) == {*CAST, *STRANGERS}
    assert all(called[name] == {name} for name in CAST)
    strangers = [called[name] for name in STRANGERS]
    assert [len(one) for one in strangers] == [1, 1]
    assert not strangers[0] & strangers[1]
    assert not any(one & set(CAST) for one in strangers)
