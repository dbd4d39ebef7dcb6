"""Everybody of a library in, a contact sheet out, or an offline page to name them on."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from indexer import crowd
from indexer.crowd import FACES, Picture, Somebody
from indexer.labels import counted
from indexer.records import Character
from indexer.sheet import SIDE, Sheet
from indexer.store import disk, read

_GAP, _TEXT = 6, 190
_MOST_BYTES = 24 << 20
"""Most bytes of pictures on a page; tracks beyond that have their times alone."""


def write_sheet(path: Path, people: Sequence[Somebody]) -> None:
    """Write a contact sheet, a row for each person: a PNG.

    Raises:
        StoreError: it cannot be written, or a picture cannot be read.
    """
    step = SIDE + _GAP
    sheet = Sheet(_TEXT + FACES * step, max(len(people), 1) * step + _GAP)
    room = _TEXT - 2 * _GAP
    for row, one in enumerate(people):
        top = _GAP + row * step
        sheet.words([one.label], _GAP, top + 12, room, size=20)
        count = f"{counted(one.tracks, 'track')}, {counted(one.episodes, 'episode')}"
        sheet.words([f"{one.seconds:.1f} s on screen", count], _GAP, top + 44, room)
        for place, picture in enumerate(one.pictures):
            sheet.picture(picture.path, _TEXT + place * step, top)
    sheet.write(path)


def write_page(
    path: Path,
    people: Sequence[Somebody],
    known: Sequence[Character] = (),
    *,
    library: Path,
    unnamed: bool = False,
) -> None:
    """Write the page on which people are named: one HTML file that needs no network.

    Args:
        path: of the file.
        people: everybody who is on screen, in the order of the page.
        known: everybody of the library, whether on screen or not: their names are taken.
        library: where it is, for the command that carries the page's decisions out.
        unnamed: whether only those without a name are shown.

    Raises:
        StoreError: it cannot be written, or a picture cannot be read.
    """
    shown = [one for one in people if not (unnamed and one.named)]
    episodes = sorted({x.episode for one in people for x in (*one.pictures, *one.rest)})
    places = {episode: place for place, episode in enumerate(episodes)}
    found = crowd.steps(people)
    seen = {one.id for one in people}
    data = {
        "people": [{**_row(one, places), "shown": not (unnamed and one.named)} for one in people],
        "others": [{"id": c.id, "label": c.label} for c in known if c.named and c.id not in seen],
        "episodes": episodes,
        "pictures": _as_data(shown),
        "steps": [asdict(step) for step in found],
        "words": crowd.in_words(found),
    }
    words = ["python", "-m", "indexer", "name", "--from", "decisions.json", "--library"]
    command = html.escape(shlex.join([*words, str(library)]), quote=False)
    # Nothing in a name may end the script that it is in.
    encoded = json.dumps(data).replace("<", "\\u003c")
    page, script = (
        resources.files("indexer").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html", "page.js")
    )
    with disk.explained(path), disk.written(path) as file:
        filled = Template(page).substitute(data=encoded, script=script, command=command)
        file.write(filled.encode())


def _row(one: Somebody, places: Mapping[str, int]) -> dict[str, Any]:
    """Return a person in the form that the page's script takes; `places` index the episodes."""
    return {
        "id": one.id,
        "label": one.label,
        "named": one.named,
        "seconds": one.seconds,
        "count": one.tracks,
        "episodes": one.episodes,
        "like": list(one.like),
        "faces": len(one.pictures),  # how many of the tracks, from the first, are the best
        "tracks": [_track(picture, places) for picture in (*one.pictures, *one.rest)],
    }


def _track(picture: Picture, places: Mapping[str, int]) -> list[int | float]:
    """Return a track's uid, episode, start and length in seconds, and 1 if it counts."""
    times = round(picture.start_s, 6), round(picture.seconds, 6)  # pages compare them
    return [picture.track, places[picture.episode], *times, int(picture.counts)]


def _as_data(people: Sequence[Somebody]) -> dict[str, str]:
    """Return the pictures of tracks in base64, by uid: everybody's best, then as many as fit."""
    found: dict[str, str] = {}
    left = _MOST_BYTES
    for some in ([one.pictures for one in people], [one.rest for one in people]):
        for picture in (picture for pictures in some for picture in pictures):
            content = read.read_thumbnail(picture.path)
            left -= len(content)
            if left < 0:
                return found
            found[str(picture.track)] = base64.b64encode(content).decode()
    return found
