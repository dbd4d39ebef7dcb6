"""What people are called: "Person 3" without a name, and what can be a name; how many, in words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_PERSON = "Person"
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
"""Characters without width that names in Persian and in languages of India are spelt with."""
NOBODY = "unknown"
"""The label of a track that shows nobody of the gallery."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return a count and its noun, as in "1 track" and "2 tracks".

    Args:
        count: how many.
        one: the noun for one.
        many: the noun for any other count; by default `one` and an s.
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def person(number: int) -> str:
    """Return the label of an unnamed person, as in "Person 3"."""
    return f"{_PERSON} {number}"


def is_person(label: str) -> bool:
    """Return whether `label` is one of an unnamed person, whatever the case."""
    word, _, number = label.partition(" ")
    return word.casefold() == _PERSON.casefold() and number.isdecimal()


def number_of(label: str) -> int:
    """Return the number in the label of an unnamed person, 0 for any other label."""
    return int(label.partition(" ")[2]) if is_person(label) else 0


def next_person(labels: Iterable[str], least: int) -> int:
    """Return the number of the next unnamed person: above those of all labels, at least `least`."""
    return max([least, *(number_of(one) + 1 for one in labels)])


def folded(label: str) -> str:
    """Return a form that is equal for labels that are one name.

    Case, composition and the number of spaces do not matter.
    """
    text = unicodedata.normalize("NFC", label).casefold()
    return " ".join(unicodedata.normalize("NFC", text).split())


def called(name: str, labels: Sequence[str]) -> list[int]:
    """Return the indices of labels that are `name`: spelt exactly so, else in whatever case."""
    found = [place for place, one in enumerate(labels) if folded(one) == folded(name)]
    return [place for place in found if labels[place] == name] or found


def against(name: str) -> str:
    """Return why a name cannot be given, as in "is blank"; empty if it can."""
    if not name.strip():
        return "is blank"
    if is_person(name.strip()):
        return "is reserved for people without a name"
    if folded(name.strip()) == NOBODY:
        return "is reserved for tracks that show nobody known"
    shown = name.translate(_JOINERS)
    return "" if shown.isprintable() else "contains characters that cannot be shown"
