"""Answers: scenes of a character, tracks that look like a face, and screen time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from indexer.records import UNKNOWN, Character, Float32, Hit
from indexer.store import appearances as seen
from indexer.store import read, schema, tables
from indexer.store.appearances import Appearance
from indexer.store.library import Library

BRIDGE_S = 1.0
"""A character gone for less than this, within a shot, counts as on screen throughout."""

_TOLERANCE_S = 1e-6  # differences of two times are not exact
_SCORE_DIGITS = 2  # scores closer than this are alike: the longer scene comes first


@dataclass(frozen=True, slots=True)
class SceneQuery:
    """Which scenes are wanted; all names are labels of characters, whatever the case."""

    character: str
    with_: tuple[str, ...] = ()
    """All of them on screen at the same time."""
    without: tuple[str, ...] = ()
    """None of them on screen."""
    min_seconds: float = 0.0
    episode: str = ""
    """Only this episode, by a name that `find_episode` accepts; all of them if empty."""
    repeats: bool = True
    """Whether to include what an earlier episode showed already."""


@dataclass(frozen=True, slots=True)
class ScreenTime:
    """A character and their screen time in the library."""

    id: int
    label: str
    named: bool
    screen_time_s: float
    """Seconds in which they are on screen at least once."""
    expected_s: float | None
    """Seconds of the tracks, weighted by the probability that each shows the character, tracks
    without a name included; None for an unnamed character. What a name that a user gave weighs
    there is known once tracks are judged anew."""
    tracks: int
    episodes: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A time in one shot in which somebody is on screen, short gaps bridged."""

    start_s: float
    end_s: float
    tracks: tuple[Appearance, ...]


@dataclass(frozen=True, slots=True)
class _Scene:
    """A time in one shot in which everybody asked for is on screen."""

    start_s: float
    end_s: float
    stretches: tuple[_Stretch, ...]
    """One for each asked-for character, the main one's first; the scene lies in all of them."""


def scenes(library: Library, query: SceneQuery) -> list[Hit]:
    """Return the stretches of a shot in which everybody asked for is on screen, best first.

    A character is on screen where their tracks are, gaps under `BRIDGE_S` within a shot bridged.
    A scene's score is the lowest of the asked-for characters' probabilities, each the
    duration-weighted mean over the tracks of the bridged stretch that the scene lies in. Order:
    score (to two decimals), then duration, then episode and start.

    Raises:
        StoreError: a name or the episode is not in the library.
    """
    asked = [read.find_character(library, name) for name in (query.character, *query.with_)]
    barred = [read.find_character(library, name) for name in query.without]
    owners = {schema.id_digits(one): one for one in read.episodes(library)}
    everywhere = _shown(library, repeats=query.repeats)
    rows = seen.where(everywhere, "character", [one.id for one in (*asked, *barred)])
    if query.episode:
        wanted = read.find_episode(library, query.episode)
        owners = {schema.id_digits(wanted): wanted}
    by_shot: dict[tuple[str, int], list[Appearance]] = {}
    for one in seen.records(rows):
        if episode := owners.get(schema.uid_digits(one.track), ""):
            by_shot.setdefault((episode, one.shot), []).append(one)
    hits = []
    for (episode, _), here in sorted(by_shot.items(), key=lambda item: item[0]):
        for scene in _scenes_of_shot(here, asked, barred):
            if scene.end_s - scene.start_s >= query.min_seconds - _TOLERANCE_S:
                hits.append(_hit(episode, scene, asked[0].label))
    return sorted(hits, key=_best_first)


def similar(library: Library, embedding: Float32, count: int, *, repeats: bool = True) -> list[Hit]:
    """Return the `count` tracks most like an embedding, (D,), nearest first.

    The score is the cosine similarity; the character's label is empty for an unknown face. Without
    `repeats`, tracks that an earlier episode showed already are left out.

    Raises:
        StoreError: the index cannot be read, or does not agree with the tables.
    """
    from indexer.store import nearest  # noqa: PLC0415 - only likeness needs faiss

    if embedding.shape != (library.dimension,):
        raise ValueError(f"embedding: expected ({library.dimension},), got {embedding.shape}")
    labels = {one.id: one.label for one in read.read_characters(library)} | {UNKNOWN: ""}
    owners = {schema.id_digits(one): one for one in read.episodes(library)}
    everywhere = seen.of_library(library)
    index = nearest.read(library, tables.integers_of(everywhere["track"]))
    found = nearest.search(library, index, embedding, count)
    if not repeats:
        again = seen.repeated(everywhere)
        wanted = count
        while sum(uid not in again for uid, _ in found) < count and len(found) == wanted:
            wanted *= 2
            found = nearest.search(library, index, embedding, wanted)
        found = [(uid, score) for uid, score in found if uid not in again][:count]
    rows = seen.where(everywhere, "track", [uid for uid, _ in found])
    tracks = {one.track: one for one in seen.records(rows)}
    return [
        Hit(
            episode=owners[schema.uid_digits(uid)],
            shot=one.shot,
            track=uid,
            start_s=one.start_s,
            end_s=one.end_s,
            score=score,
            screen_share=_share(one.start_s, one.end_s, one),
            character=labels[one.character],
        )
        for uid, score in found
        for one in [tracks[uid]]
    ]


def people(library: Library, *, repeats: bool = True) -> list[ScreenTime]:
    """Return every character with their screen time in the library, longest first.

    Unnamed people without a track, as after an undone split or a merge, are left out. Without
    `repeats`, what an earlier episode showed already does not count.
    """
    if library.revision == 0:
        return []
    everybody = screen_times(library, _shown(library, repeats=repeats))
    return [one for one in everybody if one.named or one.tracks]


def _shown(library: Library, *, repeats: bool) -> pa.Table:
    everywhere = seen.of_library(library)
    return everywhere if repeats else seen.without_repeats(everywhere)


def repeated_s(library: Library, episode: str) -> float:
    """Return how many seconds of an episode an earlier one showed already."""
    stretches = read.read_repeats(library, episode)
    if not stretches:
        return 0.0
    path = library.episode(episode) / schema.FRAMES
    times = read.read_table(library, path, ["time_s"])["time_s"].to_pylist()
    times.append(read.read_manifest(library, episode)["video"]["duration_s"])
    return round(sum(times[one.end_frame + 1] - times[one.start_frame] for one in stretches), 6)


def screen_times(library: Library, appearances: pa.Table) -> list[ScreenTime]:
    """Return every character with their screen time in some appearances, longest first."""
    everybody = read.read_table(library, library.root / schema.CHARACTERS, ["id", "label", "named"])
    from indexer.store import decisions  # noqa: PLC0415 - scenes need no pydantic

    ends = decisions.read_constraints(library).merged
    merged = pa.table(
        {"one": pa.array(list(ends), "i8"), "other": pa.array(list(ends.values()), "i8")}
    )
    rows = read.ask(
        _SCREEN_TIMES,
        appearances=seen.by_start(appearances),
        characters=everybody,
        merged=merged,
    )
    return [ScreenTime(**row) for row in rows.to_pylist()]


# Overlapping tracks count once: of each, only the time after the end of all earlier ones is new.
# The high bits of a uid are the episode's.
_SCREEN_TIMES = """
    WITH new AS (
        SELECT character, track, probability, end_s, greatest(start_s, coalesce(max(end_s) OVER (
            PARTITION BY track >> 20, character ORDER BY start_s, track
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), start_s)) AS start_s
        FROM appearances),
    weighed AS (
        SELECT who, sum(seconds) AS expected FROM (
            SELECT character AS who, probability * greatest(end_s - start_s, 0) AS seconds FROM new
            UNION ALL
            SELECT coalesce(other, likely), chance * (end_s - start_s)
            FROM appearances LEFT JOIN merged ON likely = one)
        GROUP BY who)
    SELECT id, label, named,
           round(coalesce(sum(greatest(end_s - start_s, 0)), 0), 6) AS screen_time_s,
           count(track) AS tracks, count(DISTINCT track >> 20) AS episodes,
           CASE WHEN named THEN round(coalesce(any_value(expected), 0), 6) END AS expected_s
    FROM characters LEFT JOIN new ON character = id LEFT JOIN weighed ON who = id
    GROUP BY id, label, named ORDER BY screen_time_s DESC, id
"""


def _scenes_of_shot(
    here: Sequence[Appearance], asked: Sequence[Character], barred: Sequence[Character]
) -> list[_Scene]:
    found = [_Scene(-math.inf, math.inf, ())]
    for character in asked:
        stretches = _stretches(here, character)
        found = [
            _Scene(max(one.start_s, two.start_s), min(one.end_s, two.end_s), (*one.stretches, two))
            for one in found
            for two in stretches
            if min(one.end_s, two.end_s) > max(one.start_s, two.start_s)
        ]
    for character in barred:
        for hole in _stretches(here, character):
            found = [
                _Scene(start_s, end_s, one.stretches)
                for one in found
                for start_s, end_s in (
                    (one.start_s, min(one.end_s, hole.start_s)),
                    (max(one.start_s, hole.end_s), one.end_s),
                )
                if end_s > start_s
            ]
    return found


def _stretches(here: Sequence[Appearance], character: Character) -> list[_Stretch]:
    """Return when a character is on screen; `here` are a shot's appearances by start."""
    found: list[_Stretch] = []
    for one in here:
        if one.character != character.id:
            continue
        last = found[-1] if found else None
        if last and one.start_s - last.end_s < BRIDGE_S - _TOLERANCE_S:
            end_s = max(last.end_s, one.end_s)
            found[-1] = _Stretch(last.start_s, end_s, (*last.tracks, one))
        else:
            found.append(_Stretch(one.start_s, one.end_s, (one,)))
    return found


def _hit(episode: str, scene: _Scene, label: str) -> Hit:
    def weight(one: Appearance) -> tuple[float, float, int]:
        shown_s = min(one.end_s, scene.end_s) - max(one.start_s, scene.start_s)
        return round(max(shown_s, 0), 6), round(one.end_s - one.start_s, 6), -one.track

    main = max(scene.stretches[0].tracks, key=weight)
    return Hit(
        episode=episode,
        shot=main.shot,
        track=main.track,
        start_s=scene.start_s,
        end_s=scene.end_s,
        score=min(seen.mean_probability(one.tracks) for one in scene.stretches),
        screen_share=_share(scene.start_s, scene.end_s, main),
        character=label,
    )


def _best_first(hit: Hit) -> tuple[float, float, str, float]:
    duration_s = round(hit.end_s - hit.start_s, 6)
    return (-round(hit.score, _SCORE_DIGITS), -duration_s, hit.episode, hit.start_s)


def _share(start_s: float, end_s: float, track: Appearance) -> float:
    return min(1.0, (end_s - start_s) / (track.shot_end_s - track.shot_start_s))
