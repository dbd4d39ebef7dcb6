"""A library in, everybody with their tracks out, and the screen time that more names would add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.alike import alike
from indexer.records import UNKNOWN, Character
from indexer.store import appearances, read
from indexer.store.appearances import Appearance
from indexer.store.library import Library

FACES = 8
"""Most pictures of each person: the best, each of a different shot."""
_GOALS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Shares of the screen time for which the number of names needed is told."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A track and its picture."""

    track: int
    path: Path
    seconds: float
    quality: float
    episode: str
    shot: int
    start_s: float
    counts: bool = True
    """Whether it is part of the screen time that was asked for: repeats may be left out."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person of the library."""

    id: int
    label: str
    named: bool
    seconds: float
    tracks: int
    episodes: int
    pictures: Sequence[Picture]
    """The best, each of a different shot."""
    like: Sequence[int]
    """Ids of who else it may be: the named first, then the most similar."""
    rest: Sequence[Picture] = ()
    """All other tracks, the best first; then those that do not count."""


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of naming one more person."""

    label: str
    share: float
    """Share of the screen time that then has a name, in [0, 1]."""


def everybody(library: Library, *, repeats: bool = True) -> list[Somebody]:
    """Return the people of a library, unnamed ones first, longest screen time first.

    Without `repeats`, what an earlier episode showed already does not count, and whoever is seen
    nowhere else is left out.

    Raises:
        StoreError: a table is missing or damaged.
    """
    people = {one.id: one for one in read.read_characters(library)}
    everything = appearances.of_library(library)
    counting = everything if repeats else appearances.without_repeats(everything)
    found = _pictures(library, set(counting["track"].to_pylist()))
    shown = [people[who] for who, some in found.items() if any(one.counts for one in some)]

    def where(ids: Sequence[int]) -> Sequence[Appearance]:
        return appearances.records(appearances.where(everything, "character", ids))

    likely = alike(shown, where)
    rows = [_somebody(one, found[one.id], likely.get(one.id, ())) for one in shown]
    return sorted(rows, key=lambda one: (one.named, -one.seconds, one.id))


def _pictures(library: Library, counting: set[int]) -> dict[int, list[Picture]]:
    """Return everybody's tracks, by id.

    Args:
        library: that holds them.
        counting: the uids of those that count.
    """
    found: dict[int, list[Picture]] = {}
    for episode in read.episodes(library):
        who = {one.track: one.character for one in read.read_identities(library, episode)}
        for track in read.read_tracks(library, episode):
            if who[track.uid] == UNKNOWN:
                continue
            picture = Picture(
                track=track.uid,
                path=library.thumbnail(episode, track.uid),
                seconds=track.end_s - track.start_s,
                quality=float(track.quality.max()),
                episode=episode,
                shot=track.shot,
                start_s=track.start_s,
                counts=track.uid in counting,
            )
            found.setdefault(who[track.uid], []).append(picture)
    return found


def _somebody(person: Character, pictures: Sequence[Picture], like: Sequence[int]) -> Somebody:
    best = sorted(pictures, key=lambda one: (not one.counts, -one.quality, one.track))
    first = {(one.episode, one.shot): one for one in reversed(best)}
    faces = [one for one in best if one.counts and first[one.episode, one.shot] is one][:FACES]
    chosen = {one.track for one in faces}
    counting = [one for one in pictures if one.counts]
    return Somebody(
        id=person.id,
        label=person.label,
        named=person.named,
        seconds=sum(one.seconds for one in counting),
        tracks=len(counting),
        episodes=len({one.episode for one in counting}),
        pictures=faces,
        like=list(like),
        rest=[one for one in best if one.track not in chosen],
    )


def steps(people: Sequence[Somebody]) -> list[Step]:
    """Return how the named share of the screen time grows if the longest seen are named first.

    No other order names more with as many clicks. The first step names nobody: the share now.

    Args:
        people: in any order.
    """
    total = max(sum(one.seconds for one in people), 1e-9)
    known = sum(one.seconds for one in people if one.named)
    found = [Step("", known / total)]
    for one in sorted((p for p in people if not p.named), key=lambda p: (-p.seconds, p.id)):
        known += one.seconds
        found.append(Step(one.label, min(known / total, 1.0)))
    return found


def in_words(found: Sequence[Step]) -> str:
    """Return what `steps` found in words, as in "with 2 more, 80 %; with 7 more, all of it"."""
    if len(found) == 1:
        return "Everybody has a name."
    counts = {
        goal: next(n for n, step in enumerate(found) if step.share >= goal)
        for goal in _GOALS
        if found[0].share < goal <= found[-1].share
    }
    # Of two shares that take equally many names, the higher one says more.
    said = {count: f"{goal:.0%}".replace("%", " %") for goal, count in counts.items()}
    said[len(found) - 1] = "all of it"
    more = "; ".join(f"with {count} more, {goal}" for count, goal in said.items())
    now = f"{found[0].share:.1%}".replace("%", " %")
    more = more[0].upper() + more[1:]
    return f"{now} of the screen time has a name. {more} (longest on screen first)."
