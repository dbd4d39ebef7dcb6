"""The decisions that users ask for about who is who, and the file that the people page makes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from indexer.errors import StoreError

_STRICT = ConfigDict(extra="forbid", frozen=True)
SCHEMA: Literal["decisions/1"] = "decisions/1"


@checked(config=_STRICT)
class Name:
    """Somebody gets a name."""

    person: str
    as_: Annotated[str, Field(alias="as")]
    do: Literal["name"] = "name"


@checked(config=_STRICT)
class Merge:
    """Two people are one."""

    person: str
    into: str
    do: Literal["merge"] = "merge"


@checked(config=_STRICT)
class Split:
    """Some tracks of a person show somebody else, all of them the same."""

    person: str
    tracks: tuple[int, ...]
    do: Literal["split"] = "split"


@checked(config=_STRICT)
class Move:
    """A track shows somebody; "unknown" for nobody of the gallery."""

    track: int
    to: str
    do: Literal["move"] = "move"


@checked(config=_STRICT)
class NotThis:
    """A track does not show somebody."""

    track: int
    person: str
    do: Literal["not-this"] = "not-this"


Request = Name | Merge | Split | Move | NotThis


@checked(config=_STRICT)
class File:
    """Decisions, as the people page gives them back."""

    decisions: tuple[Annotated[Request, Field(discriminator="do")], ...]
    people: dict[str, int] = field(default_factory=dict)
    """Label when the file was written → id, of the people that the decisions mention."""
    schema: Literal["decisions/1"] = SCHEMA


def read_file(path: Path) -> File:
    """Return a file of decisions.

    Raises:
        StoreError: it cannot be read, or holds something that is no decision.
    """
    try:
        return TypeAdapter(File).validate_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise StoreError(path, problem, "check the path") from error
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{_where(first['loc'])}: {first['msg']}"
        raise StoreError(path, problem, "use the file that the people page saves") from error


def _where(place: Sequence[int | str]) -> str:
    """Return where in a file something is, as in "decision 3: tracks.0"; decisions count from 1."""
    match place:
        case ["decisions", int(number), *rest]:
            inside = ".".join(str(part) for part in rest[1:])  # the first is its kind
            return f"decision {number + 1}" + f": {inside}" * bool(inside)
        case _:
            return ": ".join(
                ["is not a file of decisions", *[".".join(map(str, place))] * bool(place)]
            )
