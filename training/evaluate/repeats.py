"""How well a library recognises the repeated shots of a synthetic season."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.errors import ImageError
from indexer.records import Int64, Repeat
from indexer.store import read
from indexer.store.library import Library
from training.synthesize import Truth, read_truth
from training.synthesize.truth import TrueShot
from training.synthesize.truth_file import TRUTH

NEW, OTHER = -1, -2
"""Of a frame: shown for the first time; shown before, but in an episode outside the season."""
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class RepeatScores:
    """How many repeated shots of one kind were found, over a season."""

    kind: str
    """Recaps, titles, or all."""
    shots: int
    """Shots that repeat an earlier episode."""
    shots_found: int
    """Those of which half of the frames or more were found."""
    frames: int
    """Frames of all repeated shots."""
    frames_found: int
    sources_right: int
    """Frames found whose earlier frame is in the right shot of the right episode."""

    @property
    def recall(self) -> float:
        """Share of the repeated frames that were found, 1 if there are none."""
        return self.frames_found / self.frames if self.frames else 1.0


@dataclass(frozen=True, slots=True)
class SeasonRepeats:
    """How many repeats were found in a season."""

    kinds: tuple[RepeatScores, ...]
    """The last one covers all kinds."""
    frames_said: int
    """Frames that the library says were shown before."""
    tracks: int
    """Tracks most of whose frames the library says were shown before."""
    tracks_matched: int
    """Those of them that the library matches to a track of the earlier episode."""

    @property
    def precision(self) -> float:
        """Share of the frames said to be repeated that are repeated, 1 if none is said to be."""
        found = self.kinds[-1].frames_found
        return found / self.frames_said if self.frames_said else 1.0


@dataclass(frozen=True, slots=True)
class _Said:
    """Where the library says that the frames of an episode were shown before."""

    source: Int64
    """(F,), the earlier episode, by its number in the season, or NEW or OTHER,"""
    frame: Int64
    """(F,), and the frame of that episode."""


def evaluate_repeats(season: Path, library: Library) -> SeasonRepeats:
    """Return how well the library found a season's repeats, against the ground truth.

    Args:
        season: holds ``ep01.truth.json`` and so on.
        library: that holds its episodes.

    Raises:
        ImageError: there is no synthetic episode.
        StoreError: the library lacks an episode, or is damaged.
    """
    truths = [read_truth(path) for path in sorted(season.glob(f"*{TRUTH}"))]
    if not truths:
        raise ImageError(season, "holds no synthetic episode", "make one: training synthesize")
    ids = [read.find_episode(library, f"{truth.episode}.mp4") for truth in truths]
    stretches = [read.read_repeats(library, one) for one in ids]
    said = [
        _said(truth.frames, ids, repeats) for truth, repeats in zip(truths, stretches, strict=True)
    ]
    scores = tuple(
        _scores(kind, truths, said, wanted)
        for kind, wanted in {
            "recaps": ("faces", "faceless"),
            "titles": ("title",),
            "all": ("faces", "faceless", "title"),
        }.items()
    )
    tracks = [_tracks(library, one, repeats) for one, repeats in zip(ids, stretches, strict=True)]
    return SeasonRepeats(
        kinds=scores,
        frames_said=sum(int((one.source != NEW).sum()) for one in said),
        tracks=sum(len(again) for again in tracks),
        tracks_matched=sum(sum(again.values()) for again in tracks),
    )


def _said(frames: int, ids: Sequence[str], repeats: Sequence[Repeat]) -> _Said:
    source, frame = np.full(frames, NEW), np.zeros(frames, np.int64)
    for one in repeats:
        stretch = slice(one.start_frame, one.end_frame + 1)
        source[stretch] = ids.index(one.episode) if one.episode in ids else OTHER
        frame[stretch] = np.arange(one.start_frame, one.end_frame + 1) + one.delay
    return _Said(source, frame)


def _scores(
    kind: str, truths: Sequence[Truth], said: Sequence[_Said], wanted: Sequence[str]
) -> RepeatScores:
    names = {truth.episode: number for number, truth in enumerate(truths)}
    found, rows = [], 0
    for truth, one in zip(truths, said, strict=True):
        for shot in truth.shots:
            if shot.repeats and shot.kind in wanted:
                found.append(_of_shot(shot, one, truths, names))
                rows += shot.end_frame + 1 - shot.start_frame
    return RepeatScores(
        kind=kind,
        shots=len(found),
        shots_found=sum(share >= _HALF for share, _, _ in found),
        frames=rows,
        frames_found=sum(count for _, count, _ in found),
        sources_right=sum(right for _, _, right in found),
    )


def _of_shot(
    shot: TrueShot, said: _Said, truths: Sequence[Truth], names: Mapping[str, int]
) -> tuple[float, int, int]:
    """Return the share of a repeated shot that was found; its frames found, and those rightly."""
    stretch = slice(shot.start_frame, shot.end_frame + 1)
    source, frame = said.source[stretch], said.frame[stretch]
    right = np.zeros(len(source), bool)
    for one in shot.repeats:
        number = names[one.episode]
        true = truths[number].shots[one.shot]
        inside = (frame >= true.start_frame) & (frame <= true.end_frame)
        right |= (source == number) & inside
    count = int((source != NEW).sum())
    return count / len(source), count, int(right.sum())


def _tracks(library: Library, episode: str, repeats: Sequence[Repeat]) -> dict[int, bool]:
    """Return the tracks most of whose frames repeat, by uid, and whether each is matched."""
    known = {uid for one in repeats for uid in one.tracks}
    frames = {frame for one in repeats for frame in range(one.start_frame, one.end_frame + 1)}
    found = {}
    for track in read.read_tracks(library, episode):
        own = range(track.start_frame, track.end_frame + 1)
        if 2 * len(frames.intersection(own)) > len(own):
            found[track.uid] = track.uid in known
    return found
