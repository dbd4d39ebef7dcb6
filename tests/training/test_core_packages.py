"""Without the extra ``training``, commands that need only the core packages work; others say so."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.conftest import Ran
from training import __main__ as command_line
from training.__main__ import main

ROOT = Path(__file__).parents[2]


def bare(*commands: tuple[object, ...]) -> list[Ran]:
    """Run commands of training in a process that has only the core packages."""
    # A module that is None in sys.modules cannot be imported.
    text = f"import sys; sys.modules |= dict.fromkeys({sorted(command_line._EXTRA)})\n"
    text += "from training.__main__ import main\n"
    for words in commands:
        text += f"""
try:
    status = main({[str(word) for word in words]})
except SystemExit as exit:
    status = exit.code
for stream in (sys.stdout, sys.stderr):
    print(f"--- {{status}}", file=stream)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True, text=True, check=False, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out, err = (re.split(r"^--- (\d+)\n", s, flags=re.M) for s in (done.stdout, done.stderr))
    return [
        Ran(int(status), said, wrong)
        for said, status, wrong in zip(out[:-1:2], out[1::2], err[:-1:2], strict=True)
    ]


def test_commands_that_need_only_the_core_work_and_others_say_what_is_missing(
    tmp_path: Path,
) -> None:
    (tmp_path / "classes.txt").write_text("Ann\n")
    (tmp_path / "truth.txt").write_text("")
    done = bare(
        ("--help",),
        ("bench-lfw", tmp_path),
        ("predict", tmp_path, "--head", "none"),
        ("export", tmp_path / "none", tmp_path / "encoder"),
        ("annotate", tmp_path, "--out", tmp_path / "out"),
        ("check-data", tmp_path),
        ("fit-stills", tmp_path, "--out", tmp_path / "head"),
        ("fit", "siamese", tmp_path),
        ("bench-identity", tmp_path),
        ("evaluate-tracks", tmp_path / "truth.txt", tmp_path / "truth.txt"),
    )
    lean, lacking = done[:4], done[4:]
    assert [one.status for one in lean] == [0, 2, 2, 2]
    assert "check-data" in lean[0].out
    assert "lfw_pairs.txt: there is no such file" in lean[1].err
    assert "none: " in lean[2].err
    assert "none: " in lean[3].err
    for one in lacking:
        assert (one.status, one.out) == (2, "")
        assert re.fullmatch(r"\w+: is not installed \(pip install .*\)\n", one.err), one.err
    assert "trackeval: is not installed (pip install --no-deps trackeval)" in lacking[-1].err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.txt", "truth.txt"]


def test_the_packages_that_are_asked_for_are_those_of_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"]["training"]
    wanted = {re.split(r"[>=]", line)[0].lower() for line in lines}
    known = packages_distributions()
    found = {known[name][0].lower() for name in command_line._EXTRA}
    assert found == wanted | {"trackeval"}


def test_another_missing_module_is_a_bug_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "training.convert", None)
    monkeypatch.setattr(
        "training.commands.fitting.convert_dlib", lambda *_: __import__("training.convert")
    )
    with pytest.raises(ModuleNotFoundError):
        main(["convert-dlib", str(tmp_path / "a"), str(tmp_path / "b")])


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (
            PermissionError(errno.EACCES, "Permission denied", "/some/where"),
            2,
            "/some/where: permission denied (change its permissions, or choose a folder that is "
            "yours)\n",
        ),
    ],
)
def test_what_the_world_does_is_said_as_the_indexer_says_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("training.commands.fitting.convert_dlib", fail)
    assert main(["convert-dlib", "a", "b"]) == status
    assert capsys.readouterr() == ("", said)


def test_targets_install_what_their_commands_import() -> None:
    makefile = (ROOT / "Makefile").read_text()
    rules = re.findall(r"^[a-z-]+: \$\(VENV\)/(\S+) .*\n((?:\t.*\n)+)", makefile, re.M)
    training = [stamp for stamp, recipe in rules if "-m training" in recipe]
    assert len(training) >= 8
    assert set(training) <= {".installed-training", ".installed-dev"}
