"""A library in, who its tracks are out: its episodes re-judged by all that is known now.

A name that a user may have seen does not change unasked: tracks whose name would be lost or
changed keep it, unless that is accepted.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from indexer import reuse
from indexer.alike import alike
from indexer.config import Settings
from indexer.diff import Change, Diff, Seen, diff, seconds_of
from indexer.identify import Cast, Heard, identify
from indexer.progress import Progress, silent
from indexer.records import (
    UNKNOWN,
    Audit,
    Character,
    Constraints,
    Float32,
    Identity,
    Track,
    Yardstick,
)
from indexer.store import appearances, decisions, read, schema
from indexer.store.appearances import Appearance
from indexer.store.decisions import Decision
from indexer.store.library import Library
from indexer.store.publish import publish
from indexer.store.write import StagedEpisode

T = TypeVar("T")
Accept = Callable[[Diff], bool]
"""Decides whether names may change as a diff states."""
_ROUNDS = 3


def always(_: Diff) -> bool:
    """Accept any change of names."""
    return True


def never(_: Diff) -> bool:
    """Accept no change of names."""
    return False


@dataclass(frozen=True, slots=True)
class Judged:
    """Who everybody is, in the form that `publish` takes."""

    characters: Sequence[Character]
    identities: Mapping[str, Sequence[Identity]]
    """By episode."""
    audits: Mapping[str, Audit]
    """How good the people of each episode are, as far as can be told."""
    next_id: int

    def published(
        self,
        library: Library,
        episodes: Sequence[StagedEpisode] = (),
        decisions: Sequence[Decision] | None = None,
        strangers: Float32 | None = None,
    ) -> Library:
        """Publish it with what else is new, as `publish` does, and return the library."""
        return publish(
            library,
            episodes=episodes,
            characters=self.characters,
            identities=self.identities,
            next_character_id=self.next_id,
            audits=self.audits,
            decisions=decisions,
            strangers=strangers,
        )


@dataclass(frozen=True, slots=True)
class People:
    """The people of a library, and whom the tracks of some of its episodes are taken for."""

    characters: Sequence[Character]
    tracks: Mapping[int, Seen]
    elsewhere: Mapping[int, float] = field(default_factory=dict)
    """Seconds of the tracks of all other episodes, by character."""

    @staticmethod
    def of(library: Library, some: Sequence[str]) -> People:
        """Return the people of a library, with the tracks of some episodes."""
        if library.revision == 0:
            return People([], {})
        everything = appearances.of_library(library)
        ids = {schema.id_digits(one): one for one in some}
        here = appearances.records(appearances.of_episodes(everything, some))
        tracks = {
            one.track: Seen(
                one.character, one.end_s - one.start_s, ids[schema.uid_digits(one.track)]
            )
            for one in here
        }
        total = Counter(appearances.seconds_of(everything))
        total.subtract(seconds_of(tracks))
        return People(read.read_characters(library), tracks, total)

    def at(self, moved: Mapping[int, int]) -> People:
        """Return the same with tracks of an episode indexed again under the uids they have now."""
        renamed = {new: self.tracks[old] for old, new in moved.items() if old in self.tracks}
        return dataclasses.replace(self, tracks=renamed)

    def then(self, judged: Judged, new: Mapping[str, Sequence[Track]]) -> People:
        """Return who is in the library afterwards.

        Args:
            judged: what will be published, of the same episodes.
            new: the tracks of new episodes, or of those indexed again.
        """
        lengths = {uid: one.seconds for uid, one in self.tracks.items()}
        lengths |= {one.uid: one.end_s - one.start_s for some in new.values() for one in some}
        tracks = {
            one.track: Seen(one.character, lengths[one.track], episode, _why(one))
            for episode, rows in judged.identities.items()
            for one in rows
        }
        return dataclasses.replace(self, characters=judged.characters, tracks=tracks)

    def named(self) -> dict[int, int]:
        """Return whom the tracks with a name are taken for, by uid."""
        known = {one.id for one in self.characters if one.named}
        return {uid: one.character for uid, one in self.tracks.items() if one.character in known}


def _why(said: Identity) -> str:
    sure = f"{said.probability:.1%}, by its own faces alone {said.by_face:.1%}"
    return said.reason or ("" if said.character == UNKNOWN else sure)


def settled(
    judge: Callable[[Mapping[int, int]], Judged],
    before: People,
    new: Mapping[str, Sequence[Track]],
    accept: Accept,
) -> tuple[Judged, Diff]:
    """Return what to publish, and what it changes: names as they were, or changed if accepted.

    Args:
        judge: returns who everybody is, given the characters that some tracks keep, by uid.
        before: who was in the library, under the uids that tracks will have.
        new: as in `People.then`.
        accept: asked once, if a track would lose or change its name.
    """
    done = judge({})
    found = _diff(before, before.then(done, new))
    if not found.changes or accept(found):
        return done, found
    wanted, named, held = found.changes, before.named(), dict[int, int]()
    for left in reversed(range(_ROUNDS)):
        held |= {one.track: named[one.track] for one in found.changes}
        done = judge(held if left else named)  # held tracks may change others
        found = _diff(before, before.then(done, new))
        if not found.changes:
            break
    return done, dataclasses.replace(found, kept=wanted)


class _Unanswered(Exception):  # noqa: N818 - it is a question, not an error
    """Whether names may change has to be asked."""

    def __init__(self, changed: Diff) -> None:
        super().__init__(changed)
        self.changed = changed


def answered(accept: Accept, attempt: Callable[[Accept], T]) -> T:
    """Return what an attempt comes to that locks the library, which is free while `accept` asks.

    An attempt that meets a question ends there, with nothing published; once that is answered it is
    made anew, on the library as it is by then. What has changed meanwhile is asked about again.

    Args:
        accept: may take as long as a person does.
        attempt: is given what accepts changes; it must not publish before it has asked.
    """
    if accept in (always, never):
        return attempt(accept)
    answers: dict[tuple[Change, ...], bool] = {}

    def known(changed: Diff) -> bool:
        if tuple(changed.changes) not in answers:
            raise _Unanswered(changed)
        return answers[tuple(changed.changes)]

    while True:
        try:
            return attempt(known)
        except _Unanswered as question:
            changed = question.changed
        answers[tuple(changed.changes)] = accept(changed)


def proposed(library: Library, episodes: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """Return labels of unnamed people, longest seen first, and of who else each may be.

    Args:
        library: as it is now.
        episodes: whose people without a name are asked about.
    """
    people = {one.id: one for one in read.read_characters(library)}
    everything = appearances.of_library(library)
    met = appearances.seconds_of(appearances.of_episodes(everything, episodes))
    seen = appearances.seconds_of(everything)

    def shown(ids: Sequence[int]) -> Sequence[Appearance]:
        return appearances.records(appearances.where(everything, "character", ids))

    found = alike([one for one in people.values() if one.id in seen], shown, list(met))
    order = sorted(found, key=lambda one: (-met[one], one))
    return [
        (people[one].label, [people[other].label for other in found[one]])
        for one in order
        if found[one]
    ]


def holding(decided: Constraints, held: Mapping[int, int]) -> Constraints:
    """Return users' decisions, with some tracks pinned, unless decided, to whom they showed."""
    return dataclasses.replace(decided, pinned={**held, **decided.pinned})


def kept(
    identities: Sequence[Identity], before: Mapping[int, Identity], held: Mapping[int, int]
) -> list[Identity]:
    """Return the identities, those of held tracks as they were before."""
    return [before.get(one.track, one) if one.track in held else one for one in identities]


def _diff(before: People, after: People) -> Diff:
    people = (before.characters, after.characters)
    return diff(before.tracks, after.tracks, *people, before.elsewhere)


def judge(  # noqa: PLR0913 - the last by name
    library: Library,
    cast: Cast,
    stick: Yardstick,
    settings: Settings,
    *,
    episodes: Sequence[str] | None = None,
    progress: Progress = silent,
    held: Mapping[int, int] = MappingProxyType({}),
) -> Judged:
    """Return who the tracks of a library are; nothing is written.

    Tracks that an earlier episode already showed are judged there, and have that identity here,
    also what users decided there, once that is accepted.

    Args:
        library: locked by whoever will publish it.
        cast: everybody known.
        stick: of the encoder that made the library, with the library's strangers in its cohort.
        settings: of recognition and clustering.
        episodes: to judge; all if not given.
        progress: shows how far it is.
        held: the characters that some tracks keep, by uid.

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
        else:  # the episodes that it repeats are not judged now: their identities hold
            taken = reuse.known_from(again[one], reuse.identities_of(library, again[one]))
        heard = Heard(before, holding(reuse.carried(decided, again[one]), held), taken)
        cast = identify(read.read_tracks(library, one), cast, stick, settings, heard)
        identities[one], audits[one] = kept(cast.identities, before, held), cast.audit
        said |= {i.track: i for i in cast.identities}
    if not chosen:  # so that characters have thresholds before there is an episode
        cast = identify([], cast, stick, settings, Heard(decided=decided))
    return Judged(cast.characters, identities, audits, cast.next_id)
