"""A face that fills its picture is found, too, wherever photos become training data."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import detect
from indexer.config import Settings
from indexer.models import Models, load_models
from indexer.records import UInt8
from tests.faces import collins, hopper
from training.faces import photos, read_faces


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(Settings())


def test_an_archive_is_named_itself_or_by_its_folder(tmp_path: Path, models: Models) -> None:
    facts, archive = models.encoder.facts, tmp_path / "data" / "lfw.tar"
    archive.parent.mkdir()
    for count in (1, 2):
        with tarfile.open(archive, "w") as tar:
            for name, pixels in [("Collins", collins()), ("Hopper", hopper())][:count]:
                picture = tmp_path / f"{name}.jpg"
                Image.fromarray(pixels).save(picture)
                tar.add(picture, f"lfw/{name}/{name}_0001.jpg")
        sources = (archive, archive.parent)
        one, other = (read_faces(source, tmp_path, models, facts) for source in sources)
        assert one.photos == other.photos == ["Collins_0001", "Hopper_0001"][:count]
        assert one.digest == other.digest


def test_a_folder_of_tight_crops_gives_the_landmarks_of_the_whole_photos(
    tmp_path: Path, models: Models
) -> None:
    for name, whole in (("Collins", collins()), ("Hopper", hopper())):
        found = detect.detect(models.detector, [whole], Settings().detect)[0]
        x0, y0, x1, y1 = found.boxes[0].round().astype(int)
        tight: UInt8 = whole[y0:y1, x0:x1]
        for kind, pixels in (("whole", whole), ("tight", tight)):
            folder = tmp_path / kind / name
            folder.mkdir(parents=True)
            Image.fromarray(pixels).save(folder / "0.png")
    facts = models.encoder.facts
    assert [photo.person for photo in photos(tmp_path / "tight")] == ["Collins", "Hopper"]
    sets = [read_faces(tmp_path / kind, tmp_path, models, facts) for kind in ("whole", "tight")]
    assert all(list(found.left_out) == [] for found in sets)
    whole_face, tight_face = (np.array(found.chips, np.float64) for found in sets)
    # A tight crop lacks only the surroundings of the face.
    middle = (slice(None), slice(62, 108), slice(48, 90))
    difference = whole_face[middle] - tight_face[middle]
    assert np.abs(difference).mean() < 12
    eyes = np.linalg.norm(sets[0].landmarks[:, 0] - sets[0].landmarks[:, 1], axis=1)
    away = np.linalg.norm(sets[0].landmarks - sets[1].landmarks, axis=2).mean(axis=1)
    assert (away < 0.08 * eyes).all()
