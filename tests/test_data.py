"""Real clips, where there are some: ``make test DATA=folder``. Without them these tests skip."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from facenet_pytorch import MTCNN

from indexer import detect, geometry, shots
from indexer.config import Settings
from indexer.decode import open_video
from indexer.models import load_models
from training.bench.detecting import AS_FACENET


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--data")
    if not folder:
        pytest.skip("needs real clips: make test DATA=folder")
    return Path(folder)


@pytest.mark.parametrize("clip", ["intel_faces_6shots", "tv_dev"])
def test_every_cut_by_eye_is_found_and_no_other(data: Path, clip: str) -> None:
    truth = json.loads((data / f"{clip}.json").read_text())
    settings = Settings()
    with open_video(data / f"{clip}.mp4", settings.decode) as video:
        found = [f.shot for f in shots.split(video, video.facts.rate, settings.shots)]
    starts = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist()]
    expected = [shot["start_frame"] for shot in truth["shots"]]
    assert len(starts) == len(expected)
    assert np.abs(np.subtract(starts, expected)).max() <= 2


@pytest.mark.parametrize(
    ("clip", "smallest", "every"),
    [("crowd_1080p.mp4", 40, 35), ("tv_dev.mp4", 30, 200), ("tears_of_steel.webm", 20, 170)],
)
def test_we_find_what_facenet_pytorch_finds_in_film(
    data: Path, clip: str, smallest: int, every: int
) -> None:
    settings = Settings()
    models = load_models(settings)
    reference = MTCNN(keep_all=True, min_face_size=smallest)
    total = agreed = 0
    with open_video(data / clip, settings.decode) as video:
        for frame in islice(video, 0, None, every):
            image = frame.pixels()
            options = replace(AS_FACENET, min_face=smallest / image.shape[0])
            found = detect.detect(models.detector, [image], options)[0]
            boxes, _, marks = reference.detect(image, landmarks=True)
            if boxes is None:
                continue
            for box, points in zip(boxes, marks, strict=True):
                overlap = geometry.iou(box[None].astype(np.float32), found.boxes)[0]
                best = int(overlap.argmax()) if len(overlap) else -1
                total += 1
                agreed += best >= 0 and bool(
                    overlap[best] >= 0.9
                    and np.abs(points - found.landmarks[best]).max()
                    <= 0.02 * max(box[2:] - box[:2])
                )
    assert total > 0
    assert agreed >= 0.98 * total
