"""What people are called: "Person 3" without a name, and what can be a name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_PERSON = "Person"
NOBODY = "unknown"
"""What a track is said to be whose face is nobody's of the gallery."""


def person(number: int) -> str:
    """Return what the so manieth person without a name is called."""
    return f"{_PERSON} {number}"


def is_person(label: str) -> bool:
    """Return whether `label` is what a person without a name is called."""
    word, _, number = label.partition(" ")
    return word.casefold() == _PERSON.casefold() and number.isdecimal()


def number_of(label: str) -> int:
    """Return the number of somebody without a name, 0 of anybody else."""
    return int(label.partition(" ")[2]) if is_person(label) else 0


def next_person(labels: Iterable[str], least: int) -> int:
    """Return the number of the next person without a name: after all of these, `least` or more."""
    return max([least, *(number_of(one) + 1 for one in labels)])


def folded(label: str) -> str:
    """Return the same for all labels that are one name: whatever the case, however composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", label).casefold())


def called(name: str, labels: Sequence[str]) -> list[int]:
    """Return the places of those who are called `name`: spelt just so, else whatever the case."""
    found = [place for place, one in enumerate(labels) if folded(one) == folded(name)]
    return [place for place in found if labels[place] == name] or found


def against(name: str) -> str:
    """Return why nobody can have a name, as in "… is reserved", empty if somebody can."""
    if not name.strip():
        return "is blank"
    if is_person(name.strip()):
        return "is what somebody without a name is called"
    if folded(name.strip()) == NOBODY:
        return "is what a track is called that shows nobody of the gallery"
    return "" if name.isprintable() else "is a name that cannot be shown"
