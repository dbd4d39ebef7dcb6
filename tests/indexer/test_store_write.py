from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer.errors import StoreError
from indexer.records import Shot
from indexer.store import read, schema
from indexer.store.library import open_library
from indexer.store.write import EpisodeWriter
from tests.libraries import ANN, CAST, Shown, episode, new, put, thumbnail, write

MADE = episode("Pilot.mp4", (10, 10), [Shown(0, 9, ANN), Shown(12, 19, 0)])
SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(stem=st.text(min_size=1).filter(lambda text: not set("/\0") & set(text)), sha256=SHA256)
def test_an_episodes_id_is_a_plain_name(stem: str, sha256: str) -> None:
    made = schema.episode_id(Path("folder") / f"x{stem}.mp4", sha256)
    assert re.fullmatch(r"[^\W_]+(-[^\W_]+)*-[0-9a-f]{8}", made)
    assert made.endswith(sha256[:8])
    assert len(made.encode()) < 256


@given(sha256=SHA256, ordinal=st.integers(0, 2**20 - 1))
def test_a_uid_leads_to_its_episode(sha256: str, ordinal: int) -> None:
    uid = schema.track_uid(sha256, ordinal)
    assert 0 <= uid < 2**53
    assert schema.uid_digits(uid) == schema.id_digits(schema.episode_id(Path("x.mp4"), sha256))
    assert uid & (2**20 - 1) == ordinal


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Pilot.mp4", "pilot"),
        ("S01E02 - The Ünder_World (1).mkv", "s01e02-the-ünder-world-1"),
        ("第一話.mp4", "第一話"),
        ("...", "video"),
        (".mp4", "mp4"),
        ("a.b.mp4", "a-b"),
        ("x" * 200 + ".mp4", "x" * 60),
    ],
)
def test_ids_by_hand(name: str, slug: str) -> None:
    assert schema.episode_id(Path(name), "0123456789abcdef" * 4) == f"{slug}-01234567"


def test_more_tracks_than_uids_are_refused() -> None:
    with pytest.raises(StoreError, match="has more than 1048576 tracks"):
        schema.track_uid("a" * 64, 2**20)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        schema.track_uid("a" * 64, -1)
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits, got 'ABC'"):
        schema.track_uid("ABC", 0)


def test_an_episode_by_hand(tmp_path: Path) -> None:
    library = put(new(tmp_path), MADE, CAST)
    folder = library.episode(MADE.id)
    assert sorted(one.name for one in folder.iterdir()) == [
        "faces.parquet",
        "frames.parquet",
        "identities.parquet",
        "manifest.json",
        "repeats.parquet",
        "shots.parquet",
        "thumbnails",
        "tracks.parquet",
    ]
    with Image.open(library.thumbnail(MADE.id, MADE.tracks[0].uid)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (16, 16))
    manifest = read.read_manifest(library, MADE.id)
    assert manifest["counts"] == {"frames": 20, "shots": 2, "tracks": 2, "faces": 18}
    assert manifest["encoder_id"] == library.encoder_id
    assert manifest["settings"] == library.settings
    assert manifest["schema_version"] == 2
    (tmp_path / "plain").mkdir()
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_nothing_seen_in_a_video_without_frames(tmp_path: Path) -> None:
    empty = episode("Empty.mp4")
    library = put(new(tmp_path), empty, [])
    counts = {"frames": 0, "shots": 0, "tracks": 0, "faces": 0}
    assert read.read_manifest(library, empty.id)["counts"] == counts


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for root in (tmp_path / "deep" / "new", tmp_path):
        with pytest.raises(RuntimeError):
            _fail_within(root)
        assert list(tmp_path.iterdir()) == []
    library = put(new(tmp_path), MADE, CAST)
    then = sorted(tmp_path.rglob("*"))
    with pytest.raises(RuntimeError):
        _fail_within(tmp_path)
    assert sorted(tmp_path.rglob("*")) == then
    assert open_library(tmp_path) == library


def _fail_within(root: Path) -> None:
    with EpisodeWriter(new(root), MADE.id, MADE.sha256) as writer:
        write(writer, MADE)
        assert len(list(root.glob(".staging-*"))) == 1
        raise RuntimeError


def test_a_folder_that_lives_is_not_swept_and_a_dead_one_is(tmp_path: Path) -> None:
    for name in (".staging-locked", ".staging-bare"):
        (tmp_path / name / "episode").mkdir(parents=True)
    (tmp_path / ".staging-locked" / ".lock").touch()
    with EpisodeWriter(new(tmp_path), MADE.id, MADE.sha256) as one:
        assert len(list(tmp_path.iterdir())) == 1
        with EpisodeWriter(new(tmp_path), MADE.id, MADE.sha256) as two:
            write(two, MADE)
            assert len(list(tmp_path.iterdir())) == 2
        write(one, MADE)


def test_a_sweep_that_comes_too_early_is_evaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run may take a new folder for abandoned before its lock is held."""
    real = FileLock.acquire
    swept: list[Path] = []

    def acquire(lock: FileLock, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as it is
        if not swept and ".staging-" in lock.lock_file:
            swept.append(Path(lock.lock_file).parent)
            swept[0].rmdir()
        return real(lock, *args, **named)

    monkeypatch.setattr(FileLock, "acquire", acquire)
    library = put(new(tmp_path), MADE, CAST)
    assert len(swept) == 1
    assert library.revision == 1


def test_a_folder_that_cannot_be_locked_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(StoreError, match="No locks available"):
        put(new(tmp_path), MADE, CAST)
    assert list(tmp_path.iterdir()) == []


def _track(**change: Any) -> Callable[[EpisodeWriter], object]:  # noqa: ANN401 - of any field
    track = replace(MADE.tracks[0], **change)
    return lambda writer: writer.add_track(track, MADE.traces[0], thumbnail())


def _trace(**change: Any) -> Callable[[EpisodeWriter], object]:  # noqa: ANN401 - of any field
    trace = replace(MADE.traces[0], **change)
    return lambda writer: writer.add_track(MADE.tracks[0], trace, thumbnail())


def _twice(writer: EpisodeWriter) -> None:
    for _ in range(2):
        writer.add_track(MADE.tracks[0], MADE.traces[0], thumbnail())


def _manifest(**change: Any) -> Callable[[EpisodeWriter], object]:  # noqa: ANN401 - of any field
    return lambda writer: writer.finish({"video": MADE.manifest()["video"] | change})


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda writer: writer.add_frames(MADE.frames[1:]), r"frames: expected"),
        (
            lambda writer: writer.add_frames([replace(MADE.frames[0], time_s=float("nan"))]),
            "times: expected",
        ),
        (
            lambda writer: writer.add_frames([MADE.frames[0], replace(MADE.frames[1], time_s=-1)]),
            "times: expected",
        ),
        (lambda writer: writer.add_shot(MADE.shots[1]), "shot: expected 0 from frame 0"),
        (lambda writer: writer.add_shot(Shot(0, 3, 5, 0, 1)), "shot: expected 0 from frame 0"),
        (_track(uid=5), r"uid: expected one of pilot-\w+, got 5"),
        (_twice, "expected a new one"),
        (_track(start_frame=1), "trace: expected the frames of"),
        (_track(shot=1), "trace: expected the frames of"),
        (_track(embedding=np.ones(3, np.float32), embeddings=np.ones((1, 3), np.float32)), r"8"),
        (_trace(boxes=np.full((10, 4), np.nan, np.float32)), "expected finite numbers"),
        (
            lambda writer: writer.add_track(
                MADE.tracks[0], MADE.traces[0], np.zeros((4, 4), np.uint8)
            ),
            r"thumbnail: expected \(S, S, 3\)",
        ),
        (_manifest(frames=3), "3"),
        (_manifest(sha256="x"), "video: expected"),
        (_manifest(extra=1), "video: expected"),
    ],
)
def test_what_cannot_be_is_refused(
    act: Callable[[EpisodeWriter], object], message: str, tmp_path: Path
) -> None:
    writer = EpisodeWriter(new(tmp_path), MADE.id, MADE.sha256)
    with writer, pytest.raises(ValueError, match=message):
        act(writer)
    assert list(tmp_path.iterdir()) == []


def test_shots_that_do_not_hold_all_frames_are_refused(tmp_path: Path) -> None:
    with EpisodeWriter(new(tmp_path), MADE.id, MADE.sha256) as writer:
        writer.add_frames(MADE.frames)
        writer.add_shot(MADE.shots[0])
        with pytest.raises(ValueError, match="shots: expected to end with frame 19"):
            writer.finish(MADE.manifest())
