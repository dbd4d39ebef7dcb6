"""The README is true: every command, setting and target is in it, and its lines run."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from indexer.__main__ import build_parser
from indexer.config import Settings, as_tables, valid_names
from indexer.store.export import FORMATS
from training import still_runs
from training.__main__ import build_parser as build_training_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [
    line.partition(" #")[0].strip().removeprefix("$ ")
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip() and not line.startswith("#")
]


def commands(parser: argparse.ArgumentParser) -> set[str]:
    subparsers = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return set(subparsers.choices)


@pytest.mark.parametrize("name", sorted(commands(build_parser())))
def test_every_command_is_explained(name: str) -> None:
    assert f"python -m indexer {name}" in README


@pytest.mark.parametrize("name", sorted(commands(build_training_parser())))
def test_every_command_of_training_is_explained(name: str) -> None:
    assert f"python -m training {name}" in README


@pytest.mark.parametrize("name", valid_names())
def test_every_setting_is_in_the_table_with_its_default(name: str) -> None:
    stage, _, key = name.partition(".")
    default = as_tables(Settings())[stage][key]
    assert f"| `{name}` | `{default if default != '' else repr('')}` |" in README


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_named(name: str) -> None:
    assert f"`{name}`" in README


def targets() -> list[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)


def test_make_alone_lists_every_target() -> None:
    command = ["make", "--no-print-directory"]  # as make itself runs this test
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == targets()


def made(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make where nothing is installed and nothing can be."""
    away = (f"VENV={tmp_path / 'none'}", "PYTHON=false")
    command = ["make", "--no-print-directory", *away, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["index"], "VIDEO: is not given (make index VIDEO=ep.mp4)"),
        (["train", "RECIPE=x"], "FACES: is not given (make train RECIPE=siamese FACES=folder)"),
        (["stills"], "IMAGES: is not given (make stills IMAGES=folder)"),
    ],
)
def test_make_asks_before_it_installs(tmp_path: Path, words: list[str], missing: str) -> None:
    done = made(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert missing in done.stderr


@pytest.mark.parametrize("target", [one for one in targets() if one.startswith("bench")])
def test_a_bench_takes_arguments(tmp_path: Path, target: str) -> None:
    done = made(tmp_path, "--dry-run", target, "DATA=folder", "ARGS=--some")
    assert f'-m training {target} --some -- "$DATA"' in done.stdout
    assert "installing into" in done.stdout


def test_make_stills_takes_what_make_train_makes() -> None:
    head = re.search(r"^HEAD +\?= (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert head is not None
    options = build_training_parser().parse_args(["fit", "stills", "folder"])
    assert Path(head[1]) == options.out / "stills" / still_runs.HEAD


@pytest.mark.parametrize("line", LINES)
def test_what_the_readme_types_can_be_typed(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "make":
        named = [word for word in words[1:] if "=" not in word]
        assert set(named) <= set(targets())
        assert len(named) == 1
    elif words[:3] == ["python", "-m", "indexer"]:
        build_parser().parse_args(words[3:])
    elif words[:3] == ["python", "-m", "training"]:
        build_training_parser().parse_args(words[3:])
    elif words[:2] == ["python", "-c"]:
        ast.parse(words[2])
    else:
        assert words[0] in {"git", "cd", "."}, line


def test_what_the_readme_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link
