"""A name in, a library without that person out, and a check of what is left.

The person's rows, vectors, pictures, stills and decisions are removed, and so is every track that
has no other name and is more likely this person than not. Then everything that is left is compared
with what the person was known by, calibrated as names are: by all that an episode shows of a track,
not by its most similar face, since among thousands of faces some are similar by chance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer import affinity, evidence, recognize, thresholds
from indexer.config import Settings
from indexer.records import UNKNOWN, Character, Float32, Float64, Identity, Track, Yardstick
from indexer.store import decisions, erase, read, unfinished
from indexer.store import library as libraries
from indexer.store.library import Library
from indexer.store.publish import publish

_EVEN = 0.5
"""The calibrated radius: where something shows the person as likely as not."""


@dataclass(frozen=True, slots=True)
class _How:
    """What identities are judged by."""

    stick: Yardstick
    settings: Settings


@dataclass(frozen=True, slots=True)
class Left:
    """Something that stays although it is within the radius, as it is somebody else's."""

    what: str
    """As in "track 123 of ep-01, named Bob"."""
    probability: float
    """That it shows the person."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The outcome of forgetting somebody."""

    name: str
    tracks: int
    """How many were removed."""
    alike: int
    """How many of these were somebody's without a name, or nobody's, and within the radius."""
    seconds: float
    """Screen time of the removed tracks."""
    episodes: int
    stills: int
    """Vectors that the person was known by."""
    decisions: int
    """Entries of the log whose words changed."""
    scanned: int
    """How many remaining tracks, and vectors of people and strangers, were compared afterwards."""
    nearest: float
    """The highest probability of all that is left, 0 if nothing is."""
    left: Sequence[Left]
    """What is still within the radius, the likeliest first."""


def forget(
    library: Library, name: str, stick: Yardstick, settings: Settings, *, dry: bool = False
) -> Forgotten:
    """Remove everything about a person from a library, in one step, and return what that was.

    Args:
        library: locked meanwhile.
        name: of the person, or "Person 3".
        stick: of the encoder that made the library.
        settings: of recognition.
        dry: whether nothing is to be written.

    Raises:
        StoreError: nobody is called so; the library cannot be read or written.
    """
    with libraries.locked(library, settings.store.lock_wait_s) as now:
        person = read.find_character(now, name)
        stick = evidence.among(stick, read.read_strangers(now))
        state = _State.of(now, person, _How(stick, settings))
        gone = state.named() | state.alike()
        log = decisions.read_decisions(now)
        people = state.people_left(now, gone)
        nobody = {one.id for one in state.people} - {one.id for one in people}
        shorter = decisions.without(log, gone, nobody)
        changed = sum(a.says != b.says for a, b in zip(log, shorter, strict=True))
        done = state.summary(gone, people, read.read_strangers(now), changed)
        if not dry:
            state.publish(now, gone, people, shorter)
        return done


@dataclass(slots=True)
class _State:
    """A library, and how likely each of its tracks shows the person."""

    person: Character
    ids: set[int]
    """The person's id, and those of people who were merged into the person."""
    people: Sequence[Character]
    merged: Mapping[int, int]
    """Id of somebody who was merged → id of who that is now."""
    said: Mapping[str, Sequence[Identity]]
    chances: Mapping[int, float]
    """Uid → how likely the track shows the person and nobody else of the gallery."""
    seconds: Mapping[int, float]
    """Uid → how long the track is on screen."""
    how: _How

    @staticmethod
    def of(library: Library, person: Character, how: _How) -> _State:
        merged = decisions.read_constraints(library).merged
        ids = {person.id} | {one for one, end in merged.items() if end == person.id}
        people = read.read_characters(library)
        gallery = [one for one in people if one.named or one.id in ids]
        said: dict[str, Sequence[Identity]] = {}
        chances: dict[int, float] = {}
        seconds: dict[int, float] = {}
        for episode in read.episodes(library):
            tracks = read.read_tracks(library, episode)
            said[episode] = read.read_identities(library, episode)
            chances |= _chances(tracks, ids, gallery, how)
            seconds |= {one.uid: one.end_s - one.start_s for one in tracks}
        return _State(person, ids, people, merged, said, chances, seconds, how)

    def named(self) -> set[int]:
        """Return the uids of the person's tracks."""
        return {i.track for rows in self.said.values() for i in rows if i.character in self.ids}

    def alike(self) -> set[int]:
        """Return the uids of tracks without a name that are more likely the person's than not."""
        known = {one.id for one in self.people if one.named}
        return {
            i.track
            for rows in self.said.values()
            for i in rows
            if i.character not in known and self.chances[i.track] >= _EVEN
        }

    def summary(
        self, gone: set[int], people: Sequence[Character], strangers: Float32, changed: int
    ) -> Forgotten:
        """Return what goes and what is left."""
        names = {one.id: one.label for one in self.people}
        left = [
            Left(f"track {i.track} of {episode}, {names.get(i.character, 'unknown')}", chance)
            for episode, rows in self.said.items()
            for i in rows
            if i.track not in gone and (chance := self.chances[i.track]) >= _EVEN
        ]
        chances = [chance for uid, chance in self.chances.items() if uid not in gone]
        mine = [one for one in self.people if one.id in self.ids]
        rest = {f"stored faces of {one.label}": one.prototypes for one in people}
        rest |= {"a still given with --strangers": strangers}
        for what, rows in rest.items():
            chance = self.chance(rows)
            chances += [chance] * len(rows)
            if chance >= _EVEN:
                left.append(Left(what, chance))
        return Forgotten(
            name=self.person.label,
            tracks=len(gone),
            alike=len(gone - self.named()),
            seconds=sum(self.seconds[uid] for uid in gone),
            episodes=sum(any(i.track in gone for i in rows) for rows in self.said.values()),
            stills=sum(len(one.prototypes) for one in mine),
            decisions=changed,
            scanned=len(chances),
            nearest=max(chances, default=0.0),
            left=sorted(left, key=lambda one: -one.probability),
        )

    def people_left(self, library: Library, gone: set[int]) -> list[Character]:
        """Return who is left; unnamed people who lose tracks are known by the rest, if any."""
        named = {one.id for one in self.people if one.named}
        touched = {i.character for rows in self.said.values() for i in rows if i.track in gone}
        rest = {i.character for rows in self.said.values() for i in rows if i.track not in gone}
        touched -= self.ids | named
        shown: dict[int, list[Track]] = {}
        for episode, rows in self.said.items():
            who = {i.track: i.character for i in rows if i.track not in gone}
            if touched & set(who.values()):
                for track in read.read_tracks(library, episode):
                    if who.get(track.uid) in touched:
                        shown.setdefault(who[track.uid], []).append(track)
        nobody = self.ids | (touched - shown.keys()) | self.earlier()
        nobody |= {one for one, end in self.merged.items() if end in nobody} - named - rest
        return [
            _known_by(one, shown[one.id]) if one.id in shown else one
            for one in self.people
            if one.id not in nobody
        ]

    def earlier(self) -> set[int]:
        """Return the ids of the unnamed people that the person was before stills were enrolled.

        No track shows them any more, and they were not merged.
        """
        seen = {i.character for rows in self.said.values() for i in rows}
        others = seen | self.merged.keys() | set(self.merged.values())
        return {
            one.id
            for one in self.people
            if not one.named and one.id not in others and self.chance(one.prototypes) >= _EVEN
        }

    def chance(self, rows: Float32) -> float:
        """Return how likely the likeliest of clear faces, (M, D), is the person; 0 if none is."""
        gallery = [one for one in self.people if one.named or one.id in self.ids]
        return float(_by_look(rows, self.ids, gallery, self.how).max(initial=0.0))

    def publish(
        self,
        library: Library,
        gone: set[int],
        people: Sequence[Character],
        log: Sequence[decisions.Decision],
    ) -> None:
        """Write what is left."""
        known = {one.id for one in people}
        touched = [
            one
            for one, rows in self.said.items()
            if gone & {i.track for i in rows}
            or erase.names_any(read.read_repeats(library, one), gone)
        ]
        with libraries.staging(library.root) as folder:
            publish(
                library,
                episodes=[erase.without_tracks(library, one, gone, folder) for one in touched],
                characters=people,
                identities={
                    one: [_spoken(i, known, gone) for i in rows if i.track not in gone]
                    for one, rows in self.said.items()
                },
                next_character_id=library.next_character_id,
                decisions=log,
            )
        for sha256 in unfinished.begun(library):  # it holds crops of faces not judged yet
            unfinished.forget(library, sha256)


def _known_by(person: Character, tracks: Sequence[Track]) -> Character:
    """Return somebody without a name, known by these tracks alone."""
    mean, clear = evidence.known_by(tracks)
    return dataclasses.replace(person, prototypes=mean, clear_px=clear)


def _spoken(row: Identity, known: set[int], gone: set[int]) -> Identity:
    """Return an identity without any reference to people or tracks that are gone."""
    return dataclasses.replace(
        row,
        character=row.character if row.character in known else UNKNOWN,
        runner_up=row.runner_up if row.runner_up in known else UNKNOWN,
        second=row.second if row.second in known else UNKNOWN,
        link=UNKNOWN if row.link in gone else row.link,
    )


def _chances(
    tracks: Sequence[Track], ids: set[int], gallery: Sequence[Character], how: _How
) -> dict[int, float]:
    """Return how likely each track of an episode shows the person, by uid.

    Args:
        tracks: of the episode.
        ids: the person's.
        gallery: everybody with a name, and the person.
        how: it is judged.
    """
    if not tracks:
        return {}
    stick, settings = how.stick, how.settings.recognize
    together = affinity.cooccurring(tracks)
    related = evidence.related(tracks, gallery, stick, settings)
    seen = evidence.gather(tracks, related, together, settings)
    known = thresholds.calibrate(gallery, seen, together, stick, settings)
    open_ = np.full(len(tracks), recognize.OPEN)
    apart = recognize.Apart(together, np.zeros((len(tracks), len(known)), bool), open_)
    shares = recognize.all_shares(seen, known, apart, stick, settings)
    found = _of(recognize.believed(shares, stick), known, ids)
    return dict(zip((track.uid for track in tracks), found.tolist(), strict=True))


def _by_look(rows: Float32, ids: set[int], gallery: Sequence[Character], how: _How) -> Float64:
    """Return how likely clear faces (M, D) are the person and none of the others, (M,)."""
    prior = thresholds.prior_log_odds(len(gallery), how.settings.recognize)
    clear, nothing = np.full(len(rows), affinity.CLEAR_PX, np.float32), 0 * rows.sum(axis=0)
    odds = recognize.by_look(rows, clear, gallery, nothing, how.stick) + prior
    return _of(recognize.believed(recognize.shares_of(odds), how.stick), gallery, ids)


def _of(shares: Float64, gallery: Sequence[Character], ids: set[int]) -> Float64:
    """Return the person's part of the shares (N, 1 + C), (N,)."""
    mine = np.array([one.id in ids for one in gallery], bool)
    return np.asarray(shares[:, 1:][:, mine].sum(axis=1))
