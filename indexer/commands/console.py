"""What all commands share: exit statuses, tables and progress bars, settings, times."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tabulate import tabulate
from tqdm import tqdm

from indexer.errors import IndexerError, StoreError
from indexer.store import disk

if TYPE_CHECKING:
    from indexer.config import Settings
    from indexer.models import Models
    from indexer.store.library import Library

T = TypeVar("T")
Command = Callable[[argparse.Namespace], int]
DONE, NOTHING, REFUSED, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        """Print the message and its remedy, and exit with the status for it."""
        self.exit(complain(IndexerError(self.prog, message, f"see {self.prog} --help")))


class Parsers:
    """The parsers of the commands, and the options that they share."""

    def __init__(self, commands: Any, shared: argparse.ArgumentParser) -> None:  # noqa: ANN401 - argparse has no public name for it
        self._commands = commands
        self._shared = shared
        self._settings = argparse.ArgumentParser(add_help=False)
        self._settings.add_argument(
            "--config", type=Path, metavar="FILE", help="a TOML file of settings"
        )
        self._settings.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="STAGE.KEY=VALUE",
            help="change one setting",
        )

    def add(
        self, name: str, run: Command, summary: str, *, settings: bool = False
    ) -> argparse.ArgumentParser:
        """Return the parser of a new command.

        Args:
            name: of the command.
            run: runs the command and returns the exit status.
            summary: a line of help.
            settings: whether it takes --config and --set.
        """
        more = [self._settings] if settings else []
        one: argparse.ArgumentParser = self._commands.add_parser(
            name, parents=[self._shared, *more], help=summary, description=summary
        )
        one.set_defaults(run=run)
        return one


def seconds(text: str) -> float:
    """Return a length of time in seconds, as --min-seconds takes it."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return found


def duration(text: str) -> float:
    """Return a length of time, as in 90s, 10m or 1h30m, in seconds."""
    import pandas as pd  # noqa: PLC0415 - half a second

    try:
        seconds = pd.Timedelta(text if text[-1:].isalpha() else f"{text}s").total_seconds()
    except ValueError as error:
        problem = f"{text} is not a length of time: give 90s, 10m or 1h30m"
        raise argparse.ArgumentTypeError(problem) from error
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return float(seconds)


def moment(text: str) -> float:
    """Return a time in a video, as in 83.5, 1:23.5 or 0:01:23.5, in seconds."""
    *whole, last = text.split(":")
    try:
        numbers = [*(int(part) for part in whole), float(last)]
    except ValueError:
        numbers = []
    is_time = 1 <= len(numbers) <= 3 and all(0 <= n < math.inf for n in numbers)  # noqa: PLR2004
    if not is_time or any(n >= 60 for n in numbers[1:]):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text} is not a time: give 83.5, 1:23.5 or 0:01:23.5")
    return float(sum(n * 60**place for place, n in enumerate(reversed(numbers))))


def track(text: str) -> int:
    """Return a track's uid."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a track number")
    return int(text)


def count(text: str) -> int:
    """Return a whole number from 1 on."""
    try:
        count = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from error
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


def library_folder(text: str) -> Path:
    """Return the folder of a library."""
    if not text:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"{text!a} is not in UTF-8: rename the folder"
        raise argparse.ArgumentTypeError(problem) from error
    return Path(text)


def video(text: str) -> Path:
    """Return the path of a video."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is an address: download the video first")
    return Path(text)


def prepare_output() -> None:
    """Make stdout take every name, whatever the terminal can show, and do without one."""
    if sys.stdout is None:  # it was closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lives
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def run(options: argparse.Namespace) -> int:
    """Run the parsed command and return its exit status, expected errors printed on stderr."""
    try:
        status = int(options.run(options) or DONE)
        sys.stdout.flush()
        return status
    except IndexerError as error:
        return complain(error)
    except BrokenPipeError:  # `| head` has seen enough
        _hush()
        return DONE
    except OSError as error:
        if error.errno is None:  # not from the operating system
            raise
        if error.filename is not None:
            return complain(disk.explanation(str(error.filename), error))
        _hush()
        problem = f"cannot be written: {error.strerror}"
        return complain(StoreError("output", problem, "free some space, or write elsewhere"))
    except KeyboardInterrupt:
        return INTERRUPTED


def _hush() -> None:
    """Redirect stdout to the null device, so that Python's flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that --config and --set ask for."""
    from indexer import config  # noqa: PLC0415  (a query by name has none)

    return config.load(options.config, options.set)


def models_for(settings: Settings, library: Library) -> Models:
    """Return the networks that the settings ask for, whose encoder must be the library's.

    Raises:
        StoreError: it is another.
    """
    from indexer import models  # noqa: PLC0415

    ready = models.load_models(settings)
    models.check_encoder(library, ready.encoder.facts)
    return ready


def bar(items: Iterable[T], /, *, total: int, what: str) -> Iterable[T]:
    """Return the items with a progress bar on stderr, which only a terminal shows."""
    return tqdm(items, desc=what, total=total or None, disable=None, leave=False)


def complain(error: IndexerError) -> int:
    """Print an error on stderr, in one line after its notes, and return the exit status for it."""
    print(*getattr(error, "__notes__", ()), error, sep="\n", file=sys.stderr)
    return REFUSED


def clock(seconds: float) -> str:
    """Return a time in seconds as hours, minutes and seconds, ``0:01:02.345``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:06.3f}"


def print_rows(rows: Sequence[dict[str, Any]], options: argparse.Namespace, nothing: str) -> None:
    """Print the rows as JSON with --json; else as a table, or `nothing` if there are none."""
    if options.json:
        print_json(rows)
    else:
        print(_table(rows) if rows else nothing)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    words = [n for n, value in enumerate(rows[0].values()) if isinstance(value, str)]
    return tabulate(  # a name is no number, even if it is 007
        rows, headers="keys", floatfmt=".3f", missingval="", disable_numparse=words
    )


def print_json(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=1))
