"""The report of `bench-identity`: one table, what stands behind it, and all of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any

import numpy as np
from tabulate import tabulate

from training.bench.identity import DBSCAN, NEAREST, WHISPERS, Goal, Number
from training.bench.real_clip import OnClip
from training.evaluate.clips import PeopleByShot
from training.evaluate.naming_scores import OfWidth, WrongNames
from training.evaluate.recognition import Reliability

_NONE = "–"  # noqa: RUF001
_REAL_GOALS = ((0.99, 0.90), (0.97, 0.80))
"""Share of names that are right, and recall: at the clip's own height, and at half of it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of one season."""

    season: str
    numbers: Sequence[Number]
    naive: Mapping[str, Sequence[Number]]
    wrong: WrongNames
    widths: Sequence[OfWidth]
    reliability: Reliability | None
    stale: bool
    """Whether it was judged by another version of the code."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    goal: Goal | None
    values: tuple[float, ...]
    """One for each season."""
    naive: Mapping[str, float]
    """Mean over the seasons, by name of the naive baseline."""
    percent: bool


def rows(measured: Sequence[Measured]) -> list[Row]:
    """Return a row for each metric."""
    plain = {
        (name, one.what): [
            other.value for m in measured for other in m.naive[name] if other.what == one.what
        ]
        for name in (measured[0].naive if measured else ())
        for one in measured[0].naive[name]
    }
    return [
        Row(
            what=one.what,
            goal=one.goal,
            values=tuple(m.numbers[place].value for m in measured),
            naive={name: _mean(v) for (name, what), v in plain.items() if what == one.what},
            percent=one.percent,
        )
        for place, one in enumerate(measured[0].numbers if measured else ())
    ]


def on_clip(results: Sequence[OnClip]) -> list[Row]:
    """Return the rows of the real clip."""
    found = []
    for one, (right, recalled) in zip(results, _REAL_GOALS, strict=False):
        for what, share, goal in (
            ("named right", one.right, Goal(f"≥ {right:.0%}", low=right)),
            ("recall", one.recalled, Goal(f"≥ {recalled:.0%}", low=recalled)),
            ("faces of others that are named", one.strangers, None),
        ):
            title = f"real clip at {one.lines} lines: {what}"
            found.append(Row(title, goal, (share.value,), {}, percent=True))
    return found


def on_crowds(results: Sequence[PeopleByShot]) -> list[Row]:
    """Return the rows of the real clip of a crowd, in which nobody has a name."""
    rows = []
    for one in results:
        goal = Goal("0.9-1.2", low=0.9, high=1.2)
        share, kept = one.predicted / one.true, float(one.recurring_kept)
        rows.append(Row("real clip of a crowd: people predicted / true", goal, (share,), {}, False))  # noqa: FBT003
        what = "real clip of a crowd: those who come back are one person"
        rows.append(Row(what, Goal("all", low=1), (kept,), {}, True))  # noqa: FBT003
    return rows


def markdown(
    measured: Sequence[Measured],
    clip: Sequence[OnClip],
    variants: Mapping[str, Sequence[Sequence[Number]]],
    crowds: Sequence[PeopleByShot] = (),
) -> str:
    """Return the report: the table, then what stands behind it."""
    parts = [_table([*rows(measured), *on_clip(clip), *on_crowds(crowds)])]
    parts += [_by_season(measured), _by_width([one.widths for one in measured])]
    parts += [f"Real clip at {one.lines} lines.\n\n{_by_width([one.widths])}" for one in clip]
    if variants:
        parts.append(_variants(variants))
    if any(one.stale for one in measured):
        parts.append(
            "Some libraries were made by another version of the code: delete them to start over."
        )
    return "\n\n".join(parts) + "\n"


def as_json(
    measured: Sequence[Measured],
    clip: Sequence[OnClip],
    variants: Mapping[str, Sequence[Sequence[Number]]],
    crowds: Sequence[PeopleByShot] = (),
) -> str:
    """Return everything that was measured, as JSON; null where there was nothing to measure."""
    table = [
        {
            "what": row.what,
            "target": row.goal.text if row.goal else None,
            "met": row.goal.met(row.values) if row.goal else None,
            "values": row.values,
            "naive": row.naive,
        }
        for row in [*rows(measured), *on_clip(clip), *on_crowds(crowds)]
    ]
    content = {
        "table": table,
        "seasons": [asdict(one) for one in measured],
        "real_clip": [asdict(one) for one in clip],
        "ablation": {k: [[asdict(n) for n in one] for one in v] for k, v in variants.items()},
    }
    return json.dumps(_plain(content), ensure_ascii=False, indent=1) + "\n"


def _table(some: Sequence[Row]) -> str:
    naive = (NEAREST, WHISPERS, DBSCAN)
    lines = [
        [
            row.what,
            row.goal.text if row.goal else "",
            _shown(_mean(row.values), percent=row.percent),
            _range(row),
            _verdict(row),
            *(_shown(row.naive.get(name, nan), percent=row.percent) for name in naive),
        ]
        for row in some
    ]
    return _github(lines, ["what", "target", "mean", "min to max", "", *naive])


def _by_season(measured: Sequence[Measured]) -> str:
    lines = [
        [
            one.season,
            one.wrong.faces.of,
            _shown(one.wrong.faces.value, percent=True),
            f"{one.wrong.drawn.low:.2%} to {one.wrong.drawn.high:.2%}",
            f"{one.wrong.tracks.some} of {one.wrong.tracks.of}",
            f"{one.wrong.exact.low:.2%} to {one.wrong.exact.high:.2%}",
        ]
        for one in measured
    ]
    return _github(
        lines,
        ["season", "named faces", "wrong", "95 %, tracks drawn", "wrong tracks", "95 %, exact"],
    )


def _by_width(seasons: Sequence[Sequence[OfWidth]]) -> str:
    lines = []
    for same in zip(*seasons, strict=True):
        asked = sum(one.found.of for one in same)
        found, right = (sum(getattr(one, n).some for one in same) for n in ("found", "right"))
        lines.append(
            [
                f"{same[0].low:.0f}-{same[0].high:.0f} px".replace("-inf", " and more"),
                asked,
                _shown(found / asked if asked else nan, percent=True),
                _shown(right / asked if asked else nan, percent=True),
                _shown(right / found if found else nan, percent=True),
            ]
        )
    headers = ["width at 360p", "faces of the enrolled", "found", "recalled", "recalled of found"]
    return _github(lines, headers)


def _variants(variants: Mapping[str, Sequence[Sequence[Number]]]) -> str:
    lines, headers = [], ["ablation"]
    for name, seasons in variants.items():
        each = [list(same) for same in zip(*seasons, strict=True)]
        headers = ["ablation", *(same[0].what for same in each)]
        means = [(_mean([one.value for one in same]), same[0].percent) for same in each]
        lines.append([name, *(_shown(value, percent=percent) for value, percent in means)])
    return _github(lines, headers)


def _github(lines: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def _shown(value: float, *, percent: bool) -> str:
    if isnan(value):
        return _NONE
    return f"{100 * value:.2f} %" if percent else f"{value:.3f}"


def _range(row: Row) -> str:
    known = [value for value in row.values if not isnan(value)]
    if len(known) < 2:  # noqa: PLR2004
        return ""
    return " to ".join(_shown(edge(known), percent=row.percent) for edge in (min, max))


def _verdict(row: Row) -> str:
    met = row.goal.met(row.values) if row.goal else None
    return "" if met is None else "met" if met else "missed"


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return float(np.mean(known)) if known else nan


def _plain(content: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return content with arrays as lists, and what is not a finite number as null."""
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, np.ndarray):
        return _plain(content.tolist())
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content
