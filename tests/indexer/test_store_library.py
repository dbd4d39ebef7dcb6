from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from indexer.errors import StoreError
from indexer.store import library as libraries
from indexer.store.library import Library, awaited, locked, open_library, open_or_create
from tests.libraries import CAST, DIMENSION, ENCODER, SETTINGS, Shown, episode, new, put

MADE = episode("Pilot.mp4", (10,), [Shown(0, 9, 1)])
TABLES = st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers() | st.text()))


@hypothesis_settings(max_examples=25)
@given(encoder_id=st.text(), dimension=st.integers(1), ids=st.integers(1), settings=TABLES)
def test_a_library_is_read_as_it_was_written(
    encoder_id: str,
    dimension: int,
    ids: int,
    settings: Mapping[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("library")
    library = Library(
        root, encoder_id, dimension, ids, 3, settings, ids + 1, libraries.Log.of(b"a\nb\n")
    )
    (root / "library.json").write_bytes(libraries.encoded(library))
    assert open_library(root) == library


def test_a_new_library_is_on_disk_once_something_is_published(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    library = new(root)
    assert library == Library(root, ENCODER, DIMENSION, 1, 0, SETTINGS)
    assert list(tmp_path.iterdir()) == []
    with locked(library) as current:
        assert current == library
    assert list(tmp_path.iterdir()) == []
    put(library, MADE, CAST)
    assert json.loads((root / "library.json").read_text()) == {
        "schema_version": 2,
        "encoder_id": ENCODER,
        "dimension": DIMENSION,
        "next_character_id": 4,
        "next_person": 4,
        "decisions": {"count": 0, "sha256": hashlib.sha256(b"").hexdigest()},
        "revision": 1,
        "settings": SETTINGS,
    }


def test_a_run_has_its_own_settings_and_a_reader_those_of_the_last(tmp_path: Path) -> None:
    put(new(tmp_path), MADE, CAST)
    ours = open_or_create(tmp_path, ENCODER, DIMENSION, {"link": {"min_iou": 0.5}})
    assert ours.settings == {"link": {"min_iou": 0.5}}
    assert open_library(tmp_path).settings == SETTINGS
    put(ours, MADE, CAST)
    assert open_library(tmp_path).settings == ours.settings


def test_a_library_of_before_does_not_say_all_and_is_read(tmp_path: Path) -> None:
    put(new(tmp_path), MADE, CAST)
    path = tmp_path / "library.json"
    known = json.loads(path.read_text())
    del known["next_person"], known["decisions"]
    path.write_text(json.dumps(known))
    library = open_library(tmp_path)
    assert (library.next_person, library.decisions) == (4, libraries.UNTOLD)
    assert put(library, MADE, CAST).decisions == libraries.NO_DECISIONS


def test_an_empty_folder_and_one_with_other_files_take_a_library(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    put(new(tmp_path), MADE, CAST)
    assert (tmp_path / "README.md").read_text() == "mine"


def content(**change: Any) -> bytes:  # noqa: ANN401 - JSON
    library = Library(Path(), ENCODER, DIMENSION, 1, 1, SETTINGS)
    return json.dumps(json.loads(libraries.encoded(library)) | change).encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[1, 2]", "it has no schema_version"),
        (content(schema_version="1"), "it has no schema_version"),
        (
            content(schema_version=99),
            r"a newer version .*this one reads 2\) \(update this project\)",
        ),
        (content(schema_version=1), r"an older version .* \(index the videos again"),
        (content(encoder_id=None), "encoder_id is missing or of the wrong type"),
        (content(dimension="8"), "dimension is missing or of the wrong type"),
        (content(settings=[]), "settings is missing or of the wrong type"),
        (content(next_person="4"), "next_person or decisions is of the wrong type"),
        (content(decisions={}), "decisions is of the wrong type"),
        (content(decisions=7), "decisions is of the wrong type"),
    ],
)
def test_a_damaged_library_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "library.json").write_bytes(text)
    for act in (open_library, new):
        with pytest.raises(StoreError, match=rf"library\.json: .*{message}"):
            act(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["library.json"]


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for root in (tmp_path / "none", tmp_path):
        with pytest.raises(StoreError, match=r"no library here \(index a video first\)"):
            open_library(root)
    for act in (open_library, new):
        with pytest.raises(StoreError, match="is not a folder"):
            act(file)
    put(new(tmp_path / "library"), MADE, CAST)
    (tmp_path / "library" / "library.json").unlink()
    with pytest.raises(StoreError, match=r"episodes: is here, but library\.json is not"):
        new(tmp_path / "library")
    (tmp_path / "journal.json").write_text("[{}]")
    with pytest.raises(StoreError, match=r"journal\.json: is damaged"):
        open_library(tmp_path)
    (tmp_path / "journal.json").write_text('[{"source": ".publish/x", "target": "x"}]')
    with pytest.raises(StoreError, match=r"journal\.json: is damaged: .publish/x is gone"):
        open_library(tmp_path)


def test_another_encoders_library_is_refused(tmp_path: Path) -> None:
    put(new(tmp_path), MADE, CAST)
    then = sorted(tmp_path.rglob("*"))
    message = r"made with encoder encoder- \(8 dimensions\), not other \(9\) \(use the weights"
    with pytest.raises(StoreError, match=message):
        open_or_create(tmp_path, "other", 9, {})
    late = Library(tmp_path, "other", 9, 1, 0, {})
    with pytest.raises(StoreError, match=message), locked(late):
        pytest.fail("must not come here")
    assert sorted(tmp_path.rglob("*")) == then


def test_a_library_in_use_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    library = put(new(tmp_path), MADE, CAST)
    with FileLock(tmp_path / ".lock"):
        message = r"another run is still using the library after 0\.1 s \(wait for it"
        with pytest.raises(StoreError, match=message), locked(library, 0.1):
            pytest.fail("must not come here")
        assert open_library(tmp_path) == library
    with locked(library, 0), locked(library, 0) as current:
        assert current == library


def test_what_would_be_lost_waits_as_long_as_it_takes_and_says_so_once(tmp_path: Path) -> None:
    library = put(new(tmp_path), MADE, CAST)
    other, said = FileLock(tmp_path / ".lock"), list[str]()

    def say(line: str) -> None:
        said.append(line)
        other.release()

    with awaited(library, 0.1, say) as current:
        assert (current, said) == (library, [])
    other.acquire()
    with awaited(library, 0.1, say) as current:
        assert current == library
    assert said == [f"{tmp_path}: another run is using the library; waiting until it is done"]


def test_a_lock_is_the_whole_machines(tmp_path: Path) -> None:
    library = put(new(tmp_path), MADE, CAST)
    code = (
        "import sys; from pathlib import Path;"
        "from indexer.store.library import locked, open_library;"
        "library = open_library(Path(sys.argv[1]));"
        "locked(library, 0.1).__enter__()"
    )
    with locked(library):
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "another run is still using the library" in done.stderr


def test_what_the_block_raises_stays_what_it_is(tmp_path: Path) -> None:
    library = put(new(tmp_path), MADE, CAST)
    with pytest.raises(FileNotFoundError), locked(library):
        (tmp_path / "none").read_bytes()
    assert replace(library, revision=1) == open_library(tmp_path)
