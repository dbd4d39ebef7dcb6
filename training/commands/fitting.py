"""Commands that make weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from training.convert import convert_dlib


def add(commands: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    """Add them to the parser's commands."""
    convert = commands.add_parser("convert-dlib", help="rewrite dlib's encoder as a weights file")
    convert.add_argument("source", type=Path, metavar="DAT")
    convert.add_argument("target", type=Path, metavar="SAFETENSORS")
    convert.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    facts = convert_dlib(options.source, options.target)
    print(f"{options.target}: {facts.network}, sha256 of its tensors {facts.digest}")
