"""Tracks and faces read from a library, with videos whose frames encode their index."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from indexer import affinity, stills
from indexer.errors import ConfigError, StoreError, VideoError
from indexer.store import schema
from indexer.store.library import Library
from tests import videos
from tests.libraries import (
    ANN,
    BOB,
    CARL,
    CAST,
    Episode,
    Shown,
    character,
    episode,
    episodes,
    new,
    put,
)
from tests.training.test_stills import typed
from training.library import read_tracks, write_faces

SIZE = (160, 96)
BOX = [40, 24, 120, 72]
"""With its usual margin around it, it is the whole picture."""
SHOWN = [Shown(0, 4, ANN), Shown(2, 6, CARL), Shown(8, 14, ANN), Shown(9, 15, 0)]


def filmed(folder: Path, name: str = "pilot.mp4") -> Episode:
    """Return an episode of a video that exists, three encoded faces in each track."""
    video = videos.make(folder / name, videos.Recipe(count=16, size=SIZE))
    sha256 = hashlib.sha256(video.read_bytes()).hexdigest()
    made = episode(name, [8, 8], SHOWN)
    uids = [schema.track_uid(sha256, number) for number in range(len(SHOWN))]
    tracks = [
        replace(
            track,
            uid=uid,
            exemplar_frames=track.start_frame + np.array([3, 0, 1]),
            quality=np.array([0.9, 0.8, 0.7], np.float32),
            embeddings=np.eye(3, 8, dtype=np.float32),
        )
        for track, uid in zip(made.tracks, uids, strict=True)
    ]
    boxes = [np.tile(np.array(BOX, np.float32), (len(trace.frames), 1)) for trace in made.traces]
    return replace(
        made,
        video=video,
        sha256=sha256,
        tracks=tracks,
        traces=[replace(trace, boxes=box) for trace, box in zip(made.traces, boxes, strict=True)],
        identities=[replace(i, track=uid) for i, uid in zip(made.identities, uids, strict=True)],
    )


def stocked(folder: Path) -> tuple[Library, Episode]:
    made = filmed(folder)
    return put(new(folder / "library"), made, CAST), made


def test_each_face_is_cut_from_the_frame_it_was_seen_in(tmp_path: Path) -> None:
    library, made = stocked(tmp_path)
    cut = write_faces(library, tmp_path / "faces", most=2)
    assert (cut.people, cut.faces, cut.left_out) == (2, 6, 1)
    frames: dict[str, set[int]] = {}
    for path in sorted((tmp_path / "faces").glob("*/*")):
        pixels = stills.read(path)
        assert pixels.shape == (*SIZE[::-1], 3)
        said = int(path.stem.rpartition("-")[2])
        assert videos.read_index(pixels) == said
        assert path.name.startswith(made.id)
        frames.setdefault(path.parent.name, set()).add(said)
    assert frames == {"Ann": {3, 0, 11, 8}, "unnamed-000003": {5, 2}}


def test_a_face_at_the_edge_is_cut_as_far_as_the_picture_reaches(tmp_path: Path) -> None:
    made = filmed(tmp_path)
    far = [np.full((len(trace.frames), 4), -300, np.float32) for trace in made.traces]
    for boxes in far:
        boxes[:, 2:] += 80
    far[1][:] = [120, -10, 200, 60]
    traces = [replace(t, boxes=boxes) for t, boxes in zip(made.traces, far, strict=True)]
    library = put(new(tmp_path / "library"), replace(made, traces=traces), CAST)
    write_faces(library, tmp_path / "faces", most=1)
    shapes = {
        path.parent.name: stills.read(path).shape for path in (tmp_path / "faces").glob("*/*")
    }
    assert shapes["unnamed-000003"] == (95, 80, 3)  # x 80 to 160, y 0 to 95
    assert min(shapes["Ann"]) >= 1


@settings(max_examples=25)
@given(episodes())
def test_tracks_are_what_the_library_says(
    tmp_path_factory: pytest.TempPathFactory, made: Episode
) -> None:
    library = put(new(tmp_path_factory.mktemp("library")), made, CAST)
    found = read_tracks(library, [made.id])
    assert found.uids.tolist() == [track.uid for track in made.tracks]
    assert found.characters.tolist() == [one.character for one in made.identities]
    together = found.together()
    assert (together == together.T).all()
    for row, track in enumerate(made.tracks):
        mine = found.track == row
        np.testing.assert_array_equal(found.vectors[mine], track.embeddings)
        np.testing.assert_array_equal(found.frames[mine], track.exemplar_frames)
        np.testing.assert_allclose(found.features[row], track.embeddings.mean(axis=0), atol=1e-6)
        for column, other in enumerate(made.tracks):
            shared = min(track.end_s, other.end_s) - max(track.start_s, other.start_s)
            either = max(track.end_s, other.end_s) - min(track.start_s, other.start_s)
            beside = row != column and shared > min(affinity.MOMENT_S, either / 2) + 1e-6
            assert together[row, column] == beside


def test_tracks_of_two_episodes_are_never_together(tmp_path: Path) -> None:
    library = new(tmp_path / "library")
    some = [episode(name, [8], [Shown(0, 4, ANN), Shown(0, 7, BOB)]) for name in ("a", "b")]
    for made in some:
        library = put(library, made, CAST)
    found = read_tracks(library, [made.id for made in some])
    assert np.argwhere(np.triu(found.together())).tolist() == [[0, 1], [2, 3]]
    assert found.episode.tolist() == [0, 0, 1, 1]
    nothing = read_tracks(library, [])
    assert nothing.features.shape == (0, 8)
    assert nothing.together().shape == (0, 0)


def test_a_name_that_no_folder_can_have_is_replaced(tmp_path: Path) -> None:
    made = filmed(tmp_path)
    cast = [character(ANN, "AC/DC"), *CAST[1:]]
    library = put(new(tmp_path / "library"), made, cast)
    done = typed("faces", library.root, "--out", tmp_path / "faces", "--most", 1)
    assert done.status == 0, done.err
    assert "2 people, 3 faces; left out: 1 tracks without a person" in done.out
    assert {one.name for one in (tmp_path / "faces").iterdir()} == {
        "character-000001",
        "unnamed-000003",
    }


def test_what_cannot_be_cut_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    library, made = stocked(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="exists already"):
        write_faces(library, tmp_path, most=1)
    made.video.write_bytes(made.video.read_bytes() + b"x")
    with pytest.raises(VideoError, match="is not the video"):
        write_faces(library, tmp_path / "faces", most=1)
    made.video.rename(tmp_path / "elsewhere.mp4")
    with pytest.raises(VideoError, match="put it back"):
        write_faces(library, tmp_path / "faces", most=1)
    (tmp_path / "elsewhere.mp4").rename(made.video)
    empty = put(new(tmp_path / "empty"), episode("x.mp4", [3]), CAST)
    with pytest.raises(StoreError, match="has no tracks of any person"):
        write_faces(empty, tmp_path / "faces", most=1)
    assert typed("faces", library.root, "--out", tmp_path / "faces", "--most", 0).status == 2
    assert typed("faces", tmp_path, "--out", tmp_path / "faces").status == 2
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "empty"])
