"""What can go wrong that is not a bug: one tree, each error naming the path it is about.

    IndexerError            path: problem (remedy)
    ├── VideoError          a video that cannot be read
    ├── ImageError          a still that cannot be read, or shows no usable face
    ├── WeightsError        a weights file that is missing, damaged or of another kind
    ├── ConfigError         a settings file or --set with an unknown name or a bad value
    └── StoreError          a library that cannot be opened, read or written

A caller's mistake is a plain ``ValueError``; these come from outside. The command line prints each
as one line and exits with 2.
"""

from __future__ import annotations

from pathlib import Path


class IndexerError(Exception):
    """Something outside is not as it must be: its `path`, the `problem`, and the `remedy`."""

    def __init__(self, path: Path | str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the one line that a person reads."""
        line = f"{self.path}: {self.problem} ({self.remedy})"
        return " ".join(line.split())


class VideoError(IndexerError):
    """A video that cannot be opened or decoded."""


class ImageError(IndexerError):
    """A still image that cannot be read, or that does not show exactly what is needed."""


class WeightsError(IndexerError):
    """A weights file that is missing, damaged, or not of the expected kind."""


class ConfigError(IndexerError):
    """A setting that does not exist or has an impossible value."""


class StoreError(IndexerError):
    """A library on disk that cannot be opened, read, written, or does not hold what was asked."""
