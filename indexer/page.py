"""A library in, everybody at a glance out: a contact sheet, and an offline page to name them on."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template

from indexer.alike import alike
from indexer.records import UNKNOWN, Character
from indexer.sheet import SIDE, Sheet
from indexer.store import appearances, disk, read
from indexer.store.appearances import Appearance
from indexer.store.library import Library

FACES = 8
"""Of each person, at most: the best of different shots."""
_GAP, _TEXT = 6, 190


@dataclass(frozen=True, slots=True)
class Picture:
    """A track and its picture."""

    track: int
    path: Path
    seconds: float
    quality: float
    episode: str
    shot: int


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
    """The best of different shots."""
    like: Sequence[str]
    """Who it may be besides, the likeliest first: labels."""


@dataclass(frozen=True, slots=True)
class Step:
    """What naming one person more comes to."""

    label: str
    share: float
    """Of the screen time that has a name then, in [0, 1]."""


def everybody(library: Library) -> list[Somebody]:
    """Return the people of a library, those without a name first, each by screen time.

    Raises:
        StoreError: a table is missing or damaged.
    """
    people = {one.id: one for one in read.read_characters(library)}
    found: dict[int, list[Picture]] = {}
    for episode in read.episodes(library):
        who = {one.track: one.character for one in read.read_identities(library, episode)}
        tracks = read.read_tracks(library, episode)
        for track in tracks:
            if who[track.uid] != UNKNOWN:
                path = library.thumbnail(episode, track.uid)
                seconds, quality = track.end_s - track.start_s, float(track.quality.max())
                picture = Picture(track.uid, path, seconds, quality, episode, track.shot)
                found.setdefault(who[track.uid], []).append(picture)
    shown = [people[one] for one in found]
    everything = appearances.of_library(library)

    def where(ids: Sequence[int]) -> Sequence[Appearance]:
        return appearances.records(appearances.where(everything, "character", ids))

    likely = alike(shown, where)
    rows = [
        _somebody(one, found[one.id], [people[other].label for other in likely.get(one.id, ())])
        for one in shown
    ]
    return sorted(rows, key=lambda one: (one.named, -one.seconds, one.id))


def _somebody(person: Character, pictures: Sequence[Picture], like: Sequence[str]) -> Somebody:
    best = sorted(pictures, key=lambda one: (-one.quality, one.track))
    first = {(one.episode, one.shot): one for one in reversed(best)}
    return Somebody(
        id=person.id,
        label=person.label,
        named=person.named,
        seconds=sum(one.seconds for one in pictures),
        tracks=len(pictures),
        episodes=len({one.episode for one in pictures}),
        pictures=[one for one in best if first[one.episode, one.shot] is one][:FACES],
        like=like,
    )


def steps(people: Sequence[Somebody]) -> list[Step]:
    """Return how the named share of the screen time grows, naming the longest seen first.

    No other order names more with as many clicks. The first step is none: what is named now.

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


def write_sheet(path: Path, people: Sequence[Somebody]) -> None:
    """Write a contact sheet, a row for each person: a PNG.

    Raises:
        StoreError: it cannot be written, or a picture cannot be read.
    """
    step = SIDE + _GAP
    sheet = Sheet(_TEXT + FACES * step, max(len(people), 1) * step + _GAP)
    for row, one in enumerate(people):
        top = _GAP + row * step
        sheet.words([one.label], _GAP, top + 12, size=20)
        count = f"{one.tracks} tracks, {one.episodes} episodes"
        sheet.words([f"{one.seconds:.1f} s on screen", count], _GAP, top + 44)
        for place, picture in enumerate(one.pictures):
            sheet.picture(picture.path, _TEXT + place * step, top)
    sheet.write(path)


def write_page(path: Path, people: Sequence[Somebody]) -> None:
    """Write the page on which people are named: one HTML file that needs no network.

    Raises:
        StoreError: it cannot be written, or a picture cannot be read.
    """
    rows = []
    for one in people:
        pictures = [
            {"track": picture.track, "data": _as_data(picture.path)} for picture in one.pictures
        ]
        rows.append({**asdict(one), "pictures": pictures})
    data = {"people": rows, "steps": [asdict(step) for step in steps(people)]}
    # Nothing in a name may end the script that it is in.
    encoded = json.dumps(data).replace("<", "\\u003c")
    template = resources.files("indexer").joinpath("page.html").read_text(encoding="utf-8")
    with disk.explained(path), disk.replacing(path) as file:
        file.write(Template(template).substitute(data=encoded).encode())


def _as_data(path: Path) -> str:
    with disk.explained(path):
        return base64.b64encode(path.read_bytes()).decode()
