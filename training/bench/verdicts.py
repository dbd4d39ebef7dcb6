"""A library's verdicts on its tracks: as published, or re-judged in memory by other settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexer import config, evidence, reuse
from indexer.config import Settings
from indexer.errors import ConfigError
from indexer.identify import Cast, Heard, identify
from indexer.records import Character, Identity, Track, Yardstick
from indexer.store import read
from indexer.store.library import Library, locked
from indexer.store.publish import publish
from training.evaluate.naming import UNNAMED, Verdicts

_BEFORE_NAMES = ("decode", "shots", "detect", "link", "embed")
"""Stages whose settings cannot be changed without indexing again."""


@dataclass(frozen=True, slots=True)
class Said:
    """The verdict on one track."""

    name: str
    """A name of the gallery, or `UNNAMED`."""
    person: int
    """Id of a person of the library, 0 for nobody."""
    probability: float
    """That the name is right; without a name, that the track shows nobody of the gallery."""
    likely: str = UNNAMED
    """Without a name, the likeliest one of the gallery,"""
    chance: float = 0.0
    """and how likely that one is."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A library's verdicts on its tracks, by uid."""

    code: str
    """Digest of the code that judged."""
    said: Mapping[int, Said]

    @staticmethod
    def of(table: Mapping[str, Any]) -> Snapshot:
        """Return the snapshot that `encoded` wrote."""
        return Snapshot(table["code"], {uid: Said(*rest) for uid, *rest in table["said"]})

    def encoded(self) -> bytes:
        """Return the snapshot as JSON."""
        rows = [(uid, *dataclasses.astuple(one)) for uid, one in self.said.items()]
        return (json.dumps({"code": self.code, "said": rows}) + "\n").encode()


def published(library: Library, ids: Sequence[str], code: str) -> Snapshot:
    """Return a library's verdicts on the tracks of some of its episodes."""
    identities = [i for one in ids for i in read.read_identities(library, one)]
    return Snapshot(code, _said(identities, read.read_characters(library)))


def rejudged(
    library: Library, ids: Sequence[str], stick: Yardstick, settings: Settings
) -> list[Snapshot]:
    """Return the verdicts after each episode under other settings; nothing is written.

    Episodes are judged as when they are published, from the tracks in the library: at first only
    the gallery is known, and each episode is judged once.

    Args:
        library: with the gallery enrolled.
        ids: of its episodes, in the order in which they were indexed.
        stick: of the encoder.
        settings: of recognition and clustering; those of other stages are not used.
    """
    gallery = [one for one in read.read_characters(library) if one.named]
    cast = Cast(gallery, [], max((one.id for one in gallery), default=0) + 1)
    return [Snapshot("", said) for said, _ in _in_turn(library, ids, cast, stick, settings)]


def judged_again(
    library: Library, ids: Sequence[str], stick: Yardstick, settings: Settings, code: str
) -> list[Snapshot]:
    """Return what `rejudged` returns, and publish it in the library as if it were indexed anew.

    Raises:
        StoreError: the library cannot be read or written.
    """
    snapshots = []
    with locked(library) as now:
        gallery = [one for one in read.read_characters(now) if one.named]
        cast = Cast(gallery, [], max((one.id for one in gallery), default=0) + 1)
        casts: dict[str, Cast] = {}
        for one, (said, done) in zip(ids, _in_turn(now, ids, cast, stick, settings), strict=True):
            snapshots.append(Snapshot(code, said))
            casts[one] = done
        publish(
            now,
            episodes=[],
            characters=done.characters,
            identities={one: cast.identities for one, cast in casts.items()},
            next_character_id=max(done.next_id, now.next_character_id),
            audits={one: cast.audit for one, cast in casts.items()},
        )
    return snapshots


def _in_turn(
    library: Library, ids: Sequence[str], cast: Cast, stick: Yardstick, settings: Settings
) -> Iterator[tuple[Mapping[int, Said], Cast]]:
    """Yield after each episode the verdicts on all tracks so far, and the cast as it is then."""
    said: dict[int, Said] = {}
    known: dict[int, Identity] = {}
    shown: list[tuple[Sequence[Track], Sequence[Identity]]] = []
    for one in ids:
        taken = reuse.known_from(read.read_repeats(library, one), known)
        tracks = read.read_tracks(library, one)
        people = evidence.known_anew(cast.characters, shown)
        cast = dataclasses.replace(cast, characters=people)
        cast = identify(tracks, cast, stick, settings, Heard(taken=taken))
        shown.append(([one for one in tracks if one.uid not in taken], cast.identities))
        known |= {identity.track: identity for identity in cast.identities}
        said = {**said, **_said(cast.identities, cast.characters)}
        yield said, cast


def varied(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Return settings with some changed, so that tracks can be re-judged without indexing.

    Raises:
        ConfigError: a change is not valid, or is of a stage that comes before names.
    """
    changed = config.load(None, [*_as_overrides(settings), *overrides])
    for stage in _BEFORE_NAMES:
        if getattr(changed, stage) != getattr(settings, stage):
            problem, remedy = f"changes {stage}, which re-judging does not redo", "index with --set"
            raise ConfigError(" ".join(overrides), problem, remedy)
    return changed


def as_verdicts(snapshot: Snapshot, tracks: Sequence[Sequence[Track]]) -> Verdicts:
    """Return the verdicts on the tracks of some episodes, in their order."""
    said = [snapshot.said[track.uid] for group in tracks for track in group]
    return Verdicts(
        names=np.array([one.name for one in said], np.str_),
        people=np.array([one.person for one in said], np.int64),
        probabilities=np.array([one.probability for one in said], np.float64),
        likely=np.array([one.likely for one in said], np.str_),
        chances=np.array([one.chance for one in said], np.float64),
    )


def probability_of(identity: Identity, named: Set[int]) -> float:
    """Return how likely a verdict is right: the name, or that it is nobody of the gallery.

    The latter is `Identity.nobody`, as `Identity.probability` of a track of an unnamed person is
    that of belonging to that person.

    Args:
        identity: of a track.
        named: the ids of the gallery.
    """
    return identity.probability if identity.character in named else identity.nobody


def _said(identities: Sequence[Identity], characters: Sequence[Character]) -> dict[int, Said]:
    names = {one.id: one.label for one in characters if one.named}
    return {
        one.track: Said(
            names.get(one.character, UNNAMED),
            one.character,
            min(max(probability_of(one, names.keys()), 0.0), 1.0),
            names.get(one.runner_up, UNNAMED) if one.reason else UNNAMED,
            one.chance,
        )
        for one in identities
    }


def _as_overrides(settings: Settings) -> list[str]:
    tables = config.as_tables(settings)
    return [f"{s}.{k}={json.dumps(v)}" for s, keys in tables.items() for k, v in keys.items()]
