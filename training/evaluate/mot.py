"""Tracks on disk: text in MOTChallenge's format, or a library of the indexer.

A line is ``frame,track,left,top,width,height[,counts,class,visible]``; frames, tracks and pixels
count from 1 (Milan et al., "MOT16", 2016, table 3). In ground truth, ``counts`` 0 marks a box to
be ignored; in a prediction only the first six fields are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.errors import EmptyDataError

from indexer.errors import ImageError, StoreError
from indexer.records import Bool, Float32, Float64
from indexer.store import disk, read
from indexer.store.library import open_library
from training.evaluate.clips import read_faces
from training.evaluate.tracking import TrackBoxes

_FIELDS = 6
_COUNTS, _VISIBLE = 6, 8
"""Columns of the ground truth's other fields."""
_REMEDY = "give MOTChallenge's text, as training synthesize writes it"


@dataclass(frozen=True, slots=True)
class TrueTracks:
    """N true boxes."""

    tracks: TrackBoxes
    counts: Bool
    """(N,), False for boxes that the file marks as ignored."""
    visible: Float32
    """(N,), visible shares; 1 where the file has none."""

    def ignored(self, least_px: float, least_visible: float) -> Bool:
        """Return which boxes to ignore, (N,): marked so, too narrow or too hidden."""
        narrow = self.tracks.boxes[:, 2] - self.tracks.boxes[:, 0] < least_px
        return ~self.counts | narrow | (self.visible < least_visible)


def read_true_tracks(path: Path) -> TrueTracks:
    """Return a ground truth.

    Raises:
        ImageError: the file cannot be read, is not of this form, or has no box.
    """
    table = _table(path)
    if len(table) == 0:
        raise ImageError(path, "has no face", _REMEDY)
    said = np.ones((len(table), _VISIBLE + 1))
    said[:, : table.shape[1]] = table[:, : _VISIBLE + 1]
    said[said < 0] = 1  # -1 stands for what is not known
    return TrueTracks(
        _boxes(path, table), said[:, _COUNTS] != 0, said[:, _VISIBLE].astype(np.float32)
    )


def read_tracks(path: Path) -> TrackBoxes:
    """Return a prediction, which may be empty.

    Raises:
        ImageError: the file cannot be read or is not of this form.
    """
    return _boxes(path, _table(path))


def write_tracks(path: Path, tracks: TrackBoxes) -> None:
    """Write tracks frame by frame, with three decimals; ids become 1, 2, … in their order."""
    ids = np.unique(tracks.ids, return_inverse=True)[1]
    low, high = tracks.boxes[:, :2].astype(np.float64), tracks.boxes[:, 2:].astype(np.float64)
    with disk.replacing(path) as file:
        for row in np.lexsort([ids, tracks.frames]):
            place = ",".join(f"{value:.3f}" for value in (*(low[row] + 1), *(high - low)[row]))
            line = f"{tracks.frames[row] + 1},{ids[row] + 1},{place},1,-1,-1,-1\n"
            file.write(line.encode())


def library_tracks(root: Path, episode: str) -> TrackBoxes:
    """Return the tracks of an episode of a library, with detected and filled-in boxes.

    Args:
        root: of the library.
        episode: its name, as for ``indexer export``; may be empty if the library has only one.

    Raises:
        StoreError: there is no such library or episode, or its frames are not all there.
    """
    library = open_library(root)
    every = read.episodes(library)
    if not episode and len(every) != 1:
        names = ", ".join(every) or "none"
        raise StoreError(root, f"holds {len(every)} episodes: {names}", "say which: --episode")
    found = read.find_episode(library, episode) if episode else every[0]
    if library.settings.get("decode", {}).get("frames", "all") != "all":
        problem = "was indexed without some frames, which have no boxes"
        raise StoreError(root, problem, "index it again with decode.frames=all")
    faces = read_faces(library, found)
    return TrackBoxes(faces.frame, faces.track, faces.boxes)


def _table(path: Path) -> Float64:
    """Return the fields of each line, (N, at least 6)."""
    try:
        table = pd.read_csv(path, header=None, dtype=np.float64).to_numpy()
    except EmptyDataError:
        return np.zeros((0, _FIELDS))
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror}", _REMEDY) from error
    except ValueError as error:  # and pandas' own, which are such
        raise ImageError(path, f"is not a table of boxes: {error}", _REMEDY) from error
    if table.shape[1] < _FIELDS or not np.isfinite(table).all():
        raise ImageError(path, f"has a line without {_FIELDS} numbers", _REMEDY)
    return table


def _boxes(path: Path, table: Float64) -> TrackBoxes:
    places, box = table[:, :2], table[:, 2:_FIELDS]
    if (places < 1).any() or (places % 1 != 0).any():
        raise ImageError(path, "has a frame or track that is not 1, 2, …", _REMEDY)
    if (box[:, 2:] <= 0).any():
        raise ImageError(path, "has a box without width or height", _REMEDY)
    frames, ids = (places - 1).astype(np.int64).T
    corners = np.concatenate([box[:, :2] - 1, box[:, :2] - 1 + box[:, 2:]], axis=1)
    try:
        return TrackBoxes(frames, ids, corners.astype(np.float32))
    except ValueError as error:
        raise ImageError(path, str(error), _REMEDY) from error
