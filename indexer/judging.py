"""A library in, who everybody in it is out: its episodes judged anew by all that is known now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer import reuse
from indexer.config import Settings
from indexer.identify import Cast, Heard, identify
from indexer.progress import Progress, silent
from indexer.records import Audit, Character, Identity, Yardstick
from indexer.store import decisions, read
from indexer.store.library import Library


@dataclass(frozen=True, slots=True)
class Judged:
    """Who everybody is, as `publish` takes it."""

    characters: Sequence[Character]
    identities: Mapping[str, Sequence[Identity]]
    """By episode."""
    audits: Mapping[str, Audit]
    """How good the people of each episode are, as far as can be told."""
    next_id: int


def judge(
    library: Library,
    cast: Cast,
    stick: Yardstick,
    settings: Settings,
    episodes: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Judged:
    """Return who the tracks of a library are; nothing is written.

    What an earlier episode showed already is judged there, wherever it is shown again.

    Args:
        library: locked by whoever will publish it.
        cast: everybody known.
        stick: of the encoder that made the library.
        settings: of recognition and clustering.
        episodes: to judge; all if not given.
        progress: shows how far it is.

    Raises:
        StoreError: a table is missing or damaged.
    """
    decided = decisions.read_constraints(library)
    again = {one: read.read_repeats(library, one) for one in read.episodes(library)}
    chosen = [one for one in reuse.in_order(again) if episodes is None or one in episodes]
    said: dict[int, Identity] = {}
    identities: dict[str, Sequence[Identity]] = {}
    audits: dict[str, Audit] = {}
    for one in progress(chosen, total=len(chosen), what="episodes"):
        before = {i.track: i for i in read.read_identities(library, one)}
        if episodes is None:
            taken = reuse.known_from(again[one], said)
        else:  # what it repeats is not judged now: what is said of it holds
            taken = reuse.known_from(again[one], reuse.identities_of(library, again[one]))
        heard = Heard(before, decided, taken)
        cast = identify(read.read_tracks(library, one), cast, stick, settings, heard)
        identities[one], audits[one] = cast.identities, cast.audit
        said |= {i.track: i for i in cast.identities}
    if not chosen:  # people have thresholds before there is an episode
        cast = identify([], cast, stick, settings, Heard(decided=decided))
    return Judged(cast.characters, identities, audits, cast.next_id)
