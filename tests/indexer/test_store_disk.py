"""The disk fails in earnest: full, limited, read-only, forbidden."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import StoreError
from indexer.store import disk
from indexer.store.library import Library, locked, open_library
from indexer.store.publish import publish
from indexer.store.query import SceneQuery, scenes
from indexer.store.verify import verify
from indexer.store.write import EpisodeWriter
from tests.libraries import ANN, CAST, Shown, episode, new, put

PAGE = 4096
PILOT = episode("Pilot.mp4", (400,), [Shown(at, at + 99, ANN) for at in range(0, 400, 100)])
SECOND = episode("Second.mp4", (300,), [Shown(0, 299, ANN), Shown(5, 250, 0)])


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()
    }


@given(code=st.sampled_from(sorted(errno.errorcode)))
def test_every_error_of_the_system_is_explained(code: int) -> None:
    with (
        pytest.raises(StoreError, match=r"^/some/where: .+ \(.+\)$"),
        disk.explained(Path("/some/where")),
    ):
        raise OSError(code, "what the system says")


def test_what_is_no_error_of_the_system_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), disk.explained(Path()):
        raise ValueError("mine")
    with disk.explained(Path()):
        pass


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with disk.replacing(path) as file:
        file.write(b"one")
    with suppress(RuntimeError), disk.replacing(path) as file:
        file.write(b"two")
        raise RuntimeError
    assert tree(tmp_path) == {"file": b"one"}
    disk.write_file(tmp_path / "empty", b"")
    with pytest.raises(FileExistsError):
        disk.write_file(path, b"three")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def attempt(library: Library, problem: str) -> bool:
    """Publish the second episode; a failure must be of `problem` and leave no trace."""
    before = tree(library.root)
    try:
        put(library, SECOND, CAST)
    except StoreError as error:
        found = error
    else:
        return True
    assert problem in str(found)
    assert tree(library.root) == before
    return False


def test_a_limit_on_the_size_of_files_leaves_the_library_as_it_was(tmp_path: Path) -> None:
    library = put(new(tmp_path), PILOT, CAST)
    for size in (0, 100, 500, 1500, 3000, 6000, 12_000, 24_000):
        with largest_file(size):
            problem = (
                "the file would be larger than this system allows (raise the limit (ulimit -f)"
            )
            assert not attempt(library, problem)
    assert verify(put(library, SECOND, CAST)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk of one MiB; skip where the system does not allow to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk to fill: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_library_as_it_was(small_disk: Path) -> None:
    library = put(new(small_disk / "library"), PILOT, CAST)
    ballast = small_disk / "ballast"
    for pages in range(0, 200, 3):
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(PAGE))
        os.truncate(ballast, max(0, ballast.stat().st_size - pages * PAGE))
        if attempt(library, "the disk is full (free some space"):
            break
    assert 12 <= pages < 150
    ballast.unlink()
    assert verify(open_library(library.root)) == []


def test_a_read_only_disk_is_read_and_refused_to_writers_at_once(small_disk: Path) -> None:
    library = put(new(small_disk / "library"), PILOT, CAST)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert scenes(open_library(library.root), SceneQuery("Ann")) != []
    assert verify(library) == []
    for root in (library.root, small_disk / "new"):
        with pytest.raises(StoreError, match=r"the disk is read-only \(choose a folder on a disk"):
            EpisodeWriter(new(root), SECOND.id, SECOND.sha256).__enter__()
        with pytest.raises(StoreError, match="the disk is read-only"), locked(new(root)):
            pytest.fail("must not come here")


def test_a_folder_that_is_not_ours_is_refused_at_once(tmp_path: Path) -> None:
    """Permissions do not bind root, so the child process becomes another user."""
    code = """
import os, sys
from pathlib import Path
from indexer.errors import StoreError
from indexer.store.query import SceneQuery, scenes
from indexer.store.write import EpisodeWriter
from tests.indexer.test_store_disk import PILOT, SECOND
from tests.libraries import CAST, new, put

os.chdir(sys.argv[1])
root = Path("library")
library = put(new(root), PILOT, CAST)
scenes(library, SceneQuery("Ann"))
root.chmod(0o555)
if os.getuid() == 0:
    os.setuid(65534)
print(len(scenes(new(root), SceneQuery("Ann"))))
for folder in (root, root / "new"):
    try:
        with EpisodeWriter(new(folder), SECOND.id, SECOND.sha256):
            print("must not come here")
    except StoreError as error:
        print(error)
"""
    tmp_path.chmod(0o755)
    command = [sys.executable, "-c", code, str(tmp_path)]
    repository = str(Path(__file__).parents[2])
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=repository)
    remedy = "permission denied (change its permissions, or choose a folder that is yours)"
    expected = ["1", f"library: {remedy}", f"library/new: {remedy}"]
    assert done.stdout.splitlines() == expected, done.stderr
    root = tmp_path / "library"
    root.chmod(0o755)
    assert {one.name for one in root.iterdir()} == {
        ".lock",
        "library.json",
        "appearances.parquet",
        "characters.parquet",
        "episodes",
        "tracks.faiss",
    }


def test_an_enrolment_on_a_disk_that_fails_changes_nothing(tmp_path: Path) -> None:
    library = put(new(tmp_path), PILOT, CAST)
    before = tree(tmp_path)
    with largest_file(600), pytest.raises(StoreError, match="larger than this system allows"):
        publish(
            library,
            episodes=[],
            characters=CAST,
            identities={PILOT.id: PILOT.identities},
            next_character_id=9,
        )
    assert tree(tmp_path) == before
