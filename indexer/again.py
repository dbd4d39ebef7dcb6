"""An episode indexed again: which of its tracks were there before, and what they take over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from indexer import repeats
from indexer.errors import StoreError
from indexer.records import Identity, Repeat
from indexer.store import read, schema
from indexer.store.decisions import Decision, spoken_of
from indexer.store.library import Library
from indexer.store.write import StagedEpisode


def places(library: Library, staged: StagedEpisode) -> dict[int, int]:
    """Return the new uid of each track of an episode's older index that still exists, by old uid.

    Other settings give other tracks; two are the same if their faces are at the same places of
    the same frames. Empty if the older index cannot be read.

    Args:
        library: which holds the older index.
        staged: the new one.
    """
    try:
        last = max((one.end_frame for one in read.read_shots(library, staged.episode)), default=0)
        theirs = read.places_in(library, library.episode(staged.episode), 0, last)
        mine = read.places_in(library, staged.folder, 0, last)
    except StoreError:
        return {}
    whole = Repeat(0, 0, last, staged.episode, 0, 0.0)
    return {old: new for new, old in reversed(repeats.same_tracks(whole, mine, theirs).items())}


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
    head = int(schema.id_digits(staged.episode), 16)
    about = sorted(uid for uid in spoken_of(log) if uid >> 20 == head)
    renamed = {uid: found[uid] for uid in about if uid in found}
    if all(renamed.get(uid) == uid for uid in about):
        return None
    says = f"{staged.episode} was indexed again: "
    says += f"{len(renamed)} of {len(about)} tracks with decisions are still there"
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return Decision(len(log) + 1, time, "index", says, again=head, renamed=renamed)
