"""What earlier episodes already showed of an episode, and who that is by their tracks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from indexer import repeats
from indexer.config import RepeatSettings
from indexer.errors import StoreError
from indexer.pictures import Past
from indexer.records import BLANK, Constraints, Identity, Int64, Repeat
from indexer.store import read
from indexer.store.library import Library
from indexer.store.write import StagedEpisode


def repeated(library: Library, staged: StagedEpisode, settings: RepeatSettings) -> list[Repeat]:
    """Return the stretches of an episode that earlier ones already showed, with tracks matched.

    An episode that itself repeats this one, as after indexing this one again, does not count as
    earlier; and what an earlier one repeats counts for the source only.

    Args:
        library: as it is now.
        staged: the episode, finished.
        settings: what counts as a repeat.

    Raises:
        StoreError: a table is missing or damaged.
    """
    shots = read.shots_in(library, staged.folder)
    hashes = read.read_hashes(library, staged.folder)
    found = repeats.find(shots, hashes, _earlier(library, staged.episode), settings)
    return [_matched(library, staged.folder, library.episode(one.episode), one) for one in found]


def repeated_by(
    library: Library, staged: StagedEpisode, settings: RepeatSettings
) -> dict[str, list[Repeat]]:
    """Return all repeats of each episode that repeats this one, by id, with tracks matched anew.

    If other frames of this one were decoded than before, so that their numbers say nothing, its
    pictures are sought anew, too.

    Args:
        library: as it is now.
        staged: the episode, indexed again: its tracks are others than before.
        settings: what counts as a repeat.
    """
    found = {}
    is_same = _has_same_frames(library, staged)
    for one in read.episodes(library):
        with suppress(StoreError):  # as in `_earlier`
            stretches = read.read_repeats(library, one)
            if one != staged.episode and staged.episode in _sources(stretches):
                if not is_same:
                    stretches = _sought_anew(library, one, staged, settings)
                found[one] = [
                    _matched(library, library.episode(one), staged.folder, again)
                    if again.episode == staged.episode
                    else again
                    for again in stretches
                ]
    return found


def _has_same_frames(library: Library, staged: StagedEpisode) -> bool:
    """Return whether an episode's frames are at the same times as in its older index."""
    with suppress(StoreError):
        before = read.times_in(library, library.episode(staged.episode))
        return np.array_equal(before, read.times_in(library, staged.folder))
    return False


def _sought_anew(
    library: Library, episode: str, staged: StagedEpisode, settings: RepeatSettings
) -> list[Repeat]:
    """Return the repeats of an episode; those of the staged one are found by its new pictures."""
    known = read.read_repeats(library, episode)
    others = [one for one in known if one.episode != staged.episode]
    mine = _own(read.read_hashes(library, library.episode(episode)), others)
    theirs = _own(read.read_hashes(library, staged.folder), staged.repeats)
    shots = read.read_shots(library, episode)
    found = repeats.find(shots, mine, [Past(staged.episode, theirs)], settings)
    return sorted([*others, *found], key=lambda one: one.start_frame)


def known_from(
    stretches: Sequence[Repeat], identities: Mapping[int, Identity]
) -> dict[int, Identity]:
    """Return the identities, by uid, of tracks that repeat a track whose identity is known.

    Args:
        stretches: of one episode.
        identities: of the earlier episodes, by uid.
    """
    return {
        mine: dataclasses.replace(identities[theirs], track=mine)
        for one in stretches
        for mine, theirs in zip(one.tracks, one.their_tracks, strict=True)
        if theirs in identities
    }


def carried(decided: Constraints, stretches: Sequence[Repeat]) -> Constraints:
    """Return users' decisions, those about an earlier episode's tracks holding for their repeats.

    Args:
        decided: what users decided. What they decided about a repeat itself goes first.
        stretches: of one episode.
    """
    pairs = [pair for one in stretches for pair in zip(one.tracks, one.their_tracks, strict=True)]
    pinned = {mine: decided.pinned[theirs] for mine, theirs in pairs if theirs in decided.pinned}
    pinned |= decided.pinned
    barred: dict[int, list[int]] = {}
    for uid, person in decided.barred:
        barred.setdefault(uid, []).append(person)
    also = {
        (mine, person)
        for mine, theirs in pairs
        for person in barred.get(theirs, [])
        if pinned.get(mine) != person
    }
    return dataclasses.replace(decided, pinned=pinned, barred=decided.barred | also)


def identities_of(library: Library, stretches: Iterable[Repeat]) -> dict[int, Identity]:
    """Return who the tracks of the repeated episodes are, by uid.

    Raises:
        StoreError: a table is missing or damaged.
    """
    sources = sorted({one.episode for one in stretches} & set(read.episodes(library)))
    return {i.track: i for one in sources for i in read.read_identities(library, one)}


def in_order(known: Mapping[str, Sequence[Repeat]]) -> list[str]:
    """Return the episodes, each after those that it repeats; by id where that does not matter."""
    order: list[str] = []
    waiting = sorted(known)
    while waiting:
        ready = [one for one in waiting if not _sources(known[one]) & set(waiting) - {one}]
        order.append(ready[0] if ready else waiting[0])
        waiting.remove(order[-1])
    return order


def _sources(stretches: Iterable[Repeat]) -> set[str]:
    return {one.episode for one in stretches}


def _later(episode: str, known: Mapping[str, Sequence[Repeat]]) -> set[str]:
    """Return the episode and those that repeat it, or repeat one that does."""
    later, size = {episode}, 0
    while len(later) > size:
        size = len(later)
        later |= {one for one, stretches in known.items() if _sources(stretches) & later}
    return later


def _own(hashes: Int64, stretches: Iterable[Repeat]) -> Int64:
    """Return the hashes of an episode, blank where it repeats another."""
    own = np.array(hashes)
    for one in stretches:
        own[one.start_frame : one.end_frame + 1] = BLANK
    return own


def _matched(library: Library, folder: Path, earlier: Path, one: Repeat) -> Repeat:
    """Return a stretch of the episode in a folder, with the tracks that are the same filled in."""
    first, last = one.their_start_frame, one.end_frame + one.delay
    same: Mapping[int, int] = {}
    with suppress(StoreError):  # as in `_earlier`
        mine = read.places_in(library, folder, one.start_frame, one.end_frame)
        theirs = read.places_in(library, earlier, first, last)
        same = repeats.same_tracks(one, mine, theirs)
    return dataclasses.replace(one, tracks=tuple(same), their_tracks=tuple(same.values()))


def _earlier(library: Library, episode: str) -> list[Past]:
    """Return the pictures of the episodes that are earlier than one, without what they repeat.

    A damaged episode is left out: it is to be indexed again, which must not fail because another
    one is damaged too.
    """
    known: dict[str, tuple[Int64, list[Repeat]]] = {}
    for one in read.episodes(library):
        with suppress(StoreError):
            hashes = read.read_hashes(library, library.episode(one))
            known[one] = hashes, read.read_repeats(library, one)
    later = _later(episode, {one: stretches for one, (_, stretches) in known.items()})
    return [Past(one, _own(*what)) for one, what in known.items() if one not in later]
