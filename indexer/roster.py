"""The people and tracks of a library while decisions are carried out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from indexer import affinity, labels, prototypes
from indexer.errors import StoreError
from indexer.prototypes import Told
from indexer.records import UNKNOWN, Character, Float64, Identity
from indexer.store import decisions as log
from indexer.store import publish, read, schema
from indexer.store.decisions import Called, Decision
from indexer.store.library import Library


@dataclass
class Roster:
    """The people of a library and whom its tracks show, with decisions so far carried out."""

    library: Library
    people: dict[int, Character]
    said: dict[int, Identity]
    """Uid → the identity of that track."""
    theirs: dict[int, set[int]]
    """Id of a person → uids of the tracks that show them."""
    spans: dict[int, tuple[float, float]]
    """Uid → when that track comes and leaves, in seconds."""
    log: list[Decision]
    next_id: int
    next_person: int
    changed: set[int] = field(default_factory=set)
    """Uids of tracks whose identities were set."""
    touched: set[int] = field(default_factory=set)
    """Ids of people about whom something was decided."""
    meant: dict[str, int] = field(default_factory=dict)
    """Folded label in a file of decisions → id of whom it means; UNKNOWN for who is gone."""

    @staticmethod
    def of(library: Library) -> Roster:
        """Return the roster of a library, which is locked until the roster is published."""
        said, spans = dict[int, Identity](), dict[int, tuple[float, float]]()
        theirs: dict[int, set[int]] = {}
        for episode in read.episodes(library):
            said |= {one.track: one for one in read.read_identities(library, episode)}
            path = library.episode(episode) / schema.TRACKS
            rows = read.read_table(library, path, ["uid", "start_s", "end_s"]).to_pydict()
            times = zip(rows["start_s"], rows["end_s"], strict=True)
            spans |= dict(zip(rows["uid"], times, strict=True))
        for uid, one in said.items():
            theirs.setdefault(one.character, set()).add(uid)
        return Roster(
            library=library,
            people={one.id: one for one in read.read_characters(library)},
            said=said,
            theirs=theirs,
            spans=spans,
            log=log.read_decisions(library),
            next_id=library.next_character_id,
            next_person=library.next_person,
        )

    def mean(self, people: Mapping[str, int]) -> None:
        """Let labels mean, from now on, who has them now, or had them when a file was written.

        Args:
            people: label → id when the file was written.
        """
        self.meant = {labels.folded(one.label): one.id for one in self.people.values()}
        once = {(one.id, labels.folded(one.label)) for entry in self.log for one in entry.were}
        once |= {(person, label) for label, person in self.meant.items()}
        for name, person in people.items():
            label = labels.folded(name)
            is_there = person in self.people and (person, label) in once
            self.meant[label] = person if is_there else UNKNOWN

    def tracks_of(self, *people: int) -> list[int]:
        """Return the uids of the tracks that show any of these people, in their order."""
        return sorted(uid for person in set(people) for uid in self.theirs.get(person, ()))

    def seconds(self, uids: Iterable[int]) -> float:
        """Return how long tracks are on screen, in all."""
        return sum(end - start for start, end in (self.spans[uid] for uid in uids))

    def is_seen(self, person: int) -> bool:
        """Return whether a track shows a person."""
        return bool(self.theirs.get(person))

    def find(self, name: str) -> Character:
        """Return who is called `name`, whatever the case.

        Raises:
            StoreError: nobody with a name or a track is called so, or several are; or the one who
                is was merged into somebody else.
        """
        meant = self.meant.get(labels.folded(name))
        if meant is not None:
            person = self.people.get(meant)
            if person is None or not self._is_there(person):
                raise StoreError(
                    f"{name!r}", "is not in the library any more", "write a new people page"
                )
            self._check_unmerged(person)
            return person
        people = [one for one in self.people.values() if self._is_there(one)]
        found = [people[n] for n in labels.called(name, [one.label for one in people])]
        if len(found) == 1:
            self._check_unmerged(found[0])
            return found[0]
        names = ", ".join(sorted(one.label for one in found or people)[:10]) or "nobody"
        if found:
            raise StoreError(f"{name!r}", "is the label of several people", f"say which: {names}")
        raise StoreError(f"{name!r}", "is nobody in the library", f"the library has: {names}")

    def _is_there(self, person: Character) -> bool:
        return person.named or self.is_seen(person.id)

    def _check_unmerged(self, person: Character) -> None:
        if self.is_seen(person.id):
            return
        end = self.people.get(log.merges(self.log).get(person.id, person.id))
        if end is not None and end.id != person.id:
            remedy = f"use {end.label}, or undo that decision"
            raise StoreError(person.label, f"was merged into {end.label}", remedy)

    def check_track(self, uid: int) -> None:
        """Check that there is a track.

        Raises:
            StoreError: there is none.
        """
        if uid not in self.said:
            raise StoreError(
                f"track {uid}",
                "is not in the library",
                "query and the people page show the numbers",
            )

    def others_called(self, name: str, person: int) -> bool:
        """Return whether anybody but a person is called so, whatever the case."""
        others = (one.label for one in self.people.values() if one.id != person)
        return labels.folded(name) in map(labels.folded, others)

    def seen_together(self, person: int, other: int) -> int:
        """Return the uid of a track of a person on screen with one of another, 0 for none."""
        mine, beside = (self._by_episode(one) for one in (person, other))
        for head in sorted(mine.keys() & beside.keys()):
            (start, end), (from_, to) = self._times(mine[head]), self._times(beside[head])
            shared = affinity.together(start[:, None], end[:, None], from_, to).any(axis=1)
            if shared.any():
                return mine[head][int(shared.argmax())]
        return 0

    def _by_episode(self, person: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for uid in self.tracks_of(person):
            found.setdefault(schema.uid_digits(uid), []).append(uid)
        return found

    def _times(self, uids: Sequence[int]) -> tuple[Float64, Float64]:
        start, end = np.array([self.spans[uid] for uid in uids], np.float64).T
        return start, end

    def new_person(self) -> Character:
        """Add an unnamed person, and return them."""
        label = labels.person(self.next_person)
        none = np.zeros((0, self.library.dimension), np.float32)
        new = Character(self.next_id, label, False, none, 1.0, 1.0, 1.0, 0, 0, 0.0)  # noqa: FBT003
        self.people[new.id] = new
        self.next_id, self.next_person = self.next_id + 1, self.next_person + 1
        return new

    def settle(self, said: Mapping[int, Identity]) -> None:
        """Set the identities of tracks, by uid."""
        for uid, row in said.items():
            was = self.said[uid].character
            self.theirs[was].discard(uid)
            self.theirs.setdefault(row.character, set()).add(uid)
            self.said[uid] = row
            self.touched |= {was, row.character}
        self.changed |= set(said)

    def by_word(self, uid: int, person: int) -> Identity:
        """Return the identity of a track once a user has decided whom it shows."""
        said = self.said[uid]
        return dataclasses.replace(said, character=person, probability=1.0, margin=1.0, reason="")

    def touch(self, decision: Decision) -> None:
        """Note about whom a decision says more than which tracks show them."""
        self.touched |= {who for _, who in decision.never}
        self.touched |= {who for pair in decision.merged for who in pair}

    def call(self, called: Sequence[Called]) -> None:
        """Set the labels of people, and whether these are names."""
        for one in called:
            known = self.people[one.id]
            self.people[one.id] = dataclasses.replace(known, label=one.label, named=one.named)
            if known.named != one.named:
                self.touched.add(one.id)

    def publish(self, now: Library) -> None:
        """Publish it all.

        Raises:
            StoreError: somebody with a name would be known by no face (see `prototypes`).
        """
        people = self.people | {one.id: one for one in self._known_anew(now)}
        changed = {schema.uid_digits(uid) for uid in self.changed}
        publish.publish(
            now,
            episodes=[],
            characters=sorted(people.values(), key=lambda one: one.id),
            identities={
                one: [self.said[row.track] for row in read.read_identities(now, one)]
                for one in read.episodes(now)
                if schema.id_digits(one) in changed
            },
            next_character_id=self.next_id,
            decisions=self.log,
        )

    def _known_anew(self, now: Library) -> list[Character]:
        """Return the people whose prototypes may be others by now."""
        decided = log.constraints(self.log)
        some = [
            one
            for one in self.people.values()
            if {one.id, decided.merged.get(one.id, one.id)} & self.touched
            or not (one.named or self.is_seen(one.id))
        ]
        named_before = {one.id for one in read.read_characters(now) if one.named}
        return prototypes.anew(now, some, Told(self.theirs, decided, named_before))
