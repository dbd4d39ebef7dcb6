"""An episode indexed again: which of its tracks were there before, and what they take over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from indexer import config, repeats
from indexer.errors import StoreError
from indexer.records import Float64, Identity, Places, Repeat
from indexer.store import decisions, read, schema
from indexer.store.decisions import Decision, spoken_of
from indexer.store.library import Library
from indexer.store.write import StagedEpisode


def places(library: Library, staged: StagedEpisode) -> dict[int, int] | None:
    """Return the new uid of each track of an episode's older index that still exists, by old uid.

    Other settings give other tracks; two are the same if their faces are at the same places at
    the same times. None if the older index cannot be read, so that nothing is known of it.

    Args:
        library: which holds the older index.
        staged: the new one.
    """
    mine = _at_times(library, staged.folder)
    try:
        theirs = _at_times(library, library.episode(staged.episode))
    except StoreError:
        return None
    clock = np.unique(np.concatenate([mine.times, theirs.times]))
    whole = Repeat(0, 0, len(clock), staged.episode, 0, 0.0)
    found = repeats.same_tracks(whole, mine.by(clock), theirs.by(clock))
    return {old: new for new, old in reversed(found.items())}


@dataclass(frozen=True, slots=True)
class _Timed:
    """The faces of an index, and when its frames are shown.

    Other frames of one video may be decoded, and are then numbered otherwise: a frame is the same
    if its time is.
    """

    times: Float64
    """(F,), in seconds."""
    places: Places

    def by(self, clock: Float64) -> Places:
        """Return the faces, their frames numbered by the place of their times in a clock."""
        frames = np.searchsorted(clock, self.times[self.places.frames])
        return replace(self.places, frames=frames)


def _at_times(library: Library, folder: Path) -> _Timed:
    times = read.times_in(library, folder)
    return _Timed(times, read.places_in(library, folder, 0, len(times) - 1))


def can_be_read(library: Library, episode: str) -> bool:
    """Return whether `places` can read an episode's index."""
    try:
        _at_times(library, library.episode(episode))
    except StoreError:
        return False
    return True


def is_alike(library: Library, episode: str, coverage: float) -> bool:
    """Return whether a new index gives tracks the uids that they have in one that cannot be read.

    It does if the same video was looked at in full by the same settings, both times. What cannot be
    read of that is taken to be the same.

    Args:
        library: as it is now, with the settings of the new index.
        episode: its id.
        coverage: of the new index.
    """
    try:
        manifest = read.read_manifest(library, episode)
        before, seen = manifest.get("settings"), float(manifest.get("coverage", 1.0))
    except StoreError:
        before, seen = _stamped(library, episode), 1.0
    known = before or library.settings
    is_same = config.of_looking(known) == config.of_looking(library.settings)
    return is_same and seen == coverage == 1


def _stamped(library: Library, episode: str) -> dict[str, Any] | None:
    """Return the settings that an index was made with by its tables, None if none can be read."""
    for name in (schema.TRACKS, schema.FACES, schema.FRAMES, schema.SHOTS):
        with suppress(StoreError):
            column = schema.table_schema(name, library.dimension).names[:1]
            table = read.read_table(library, library.episode(episode) / name, column)
            found: dict[str, Any] = json.loads(table.schema.metadata[b"settings"])
            return found
    return None


def decided(log: Sequence[Decision], episode: str) -> set[int]:
    """Return the uids of an episode's tracks about which decisions are in force."""
    binding = decisions.constraints(log)
    some = {*binding.pinned, *(uid for uid, _ in binding.barred)}
    return {uid for uid in some if uid >> 20 == _head(episode)}


def said(library: Library, episode: str, found: Mapping[int, int]) -> dict[int, Identity]:
    """Return the identities in an episode's older index, by the uid that the tracks have now.

    Empty if they cannot be read.

    Args:
        library: which holds the older index.
        episode: its id.
        found: as `places` returns it.
    """
    try:
        rows = read.read_identities(library, episode) if found else []
    except StoreError:
        return {}
    return {found[i.track]: replace(i, track=found[i.track]) for i in rows if i.track in found}


def moved(
    log: Sequence[Decision], staged: StagedEpisode, found: Mapping[int, int]
) -> Decision | None:
    """Return the log entry that moves decisions to the new tracks; None if no uid changes.

    Args:
        log: the decisions so far.
        staged: the new index.
        found: as `places` returns it.
    """
    head = _head(staged.episode)
    about = sorted(uid for uid in spoken_of(log) if uid >> 20 == head)
    renamed = {uid: found[uid] for uid in about if uid in found}
    if all(renamed.get(uid) == uid for uid in about):
        return None
    says = f"{staged.episode} was indexed again: "
    says += f"{len(renamed)} of {len(about)} tracks with decisions are still there"
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Decision(len(log) + 1, time, "index", says, again=head, renamed=renamed)


def _head(episode: str) -> int:
    """Return the bits that all uids of an episode's tracks begin with (uid >> 20)."""
    return int(schema.id_digits(episode), 16)
