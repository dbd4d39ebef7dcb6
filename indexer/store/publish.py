"""Episodes, characters and identities become visible: all of them at once, or none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from indexer import labels
from indexer.errors import StoreError
from indexer.records import NO_AUDIT, UNKNOWN, Audit, Character, Float32, Identity, Int64, Repeat
from indexer.store import appearances, disk, journal, nearest, read, schema, tables
from indexer.store import decisions as log
from indexer.store.appearances import Source
from indexer.store.decisions import Decision
from indexer.store.journal import Move
from indexer.store.library import UNTOLD, Library, Log, encoded, locked
from indexer.store.write import StagedEpisode

_NO_AUDITS: Mapping[str, Audit] = MappingProxyType({})
_NOTHING_MORE: Mapping[str, str] = MappingProxyType({})


def publish(  # noqa: PLR0913 - all but one by name
    library: Library,
    *,
    episodes: Sequence[StagedEpisode],
    characters: Sequence[Character],
    identities: Mapping[str, Sequence[Identity]],
    next_character_id: int,
    audits: Mapping[str, Audit] = _NO_AUDITS,
    decisions: Sequence[Decision] | None = None,
    strangers: Float32 | None = None,
    wait_s: float = 60.0,
) -> Library:
    """Return the library with new episodes (or new versions of them), characters, identities.

    Args:
        library: as `locked` yields it; what is published replaces what was read from it.
        episodes: finished, inside the blocks of their writers.
        characters: everybody, old and new.
        identities: of every track of each staged episode, and of any other episode that was
            recognised again, by episode id.
        next_character_id: the id that the next new character gets.
        audits: of the episodes that were judged with the library's settings; where only a
            person's decision changed identities, the earlier audit and settings are kept.
        decisions: the whole log of people's decisions, if something was added to it.
        strangers: unit rows (M, D) that replace those in the library, if given.
        wait_s: seconds to wait for the lock, if it is not held already.

    Raises:
        StoreError: the disk fails (the library is unchanged, unless the error says that all is
            published), another run published since `library` was read, or a video is in the
            library under another name.
    """
    with locked(library, wait_s) as current:
        if current.revision != library.revision:
            problem = "another run has changed the library in the meantime"
            raise StoreError(library.root, problem, "run again")
        _check_people(current, characters, next_character_id)
        _check_episodes(current, episodes)
        _check_identities(current, episodes, identities, {one.id for one in characters})
        _check_repeats(current, episodes)
        new = replace(
            current,
            next_character_id=next_character_id,
            revision=current.revision + 1,
            next_person=labels.next_person((one.label for one in characters), current.next_person),
            decisions=_told(current, decisions),
        )
        with disk.explained(library.root):
            _commit(
                current,
                new,
                _Change(episodes, characters, identities, audits, decisions, strangers),
            )
        try:
            with disk.explained(library.root):
                journal.roll_forward(library.root)
                journal.clean(library.root)
        except StoreError as error:
            problem = f"{error.problem}; the change is saved, but not all files are in place yet"
            remedy = f"{error.remedy}; the next command puts them there"
            raise StoreError(error.path, problem, remedy) from error
    return new


def _told(library: Library, decisions: Sequence[Decision] | None) -> Log:
    """Return the expected state of the log, which an older library does not store."""
    if decisions is not None:
        return Log.of(log.encoded(decisions))
    return Log.of(log.content(library)) if library.decisions == UNTOLD else library.decisions


@dataclass(frozen=True, slots=True)
class _Change:
    """What is published: the arguments of `publish`."""

    episodes: Sequence[StagedEpisode]
    characters: Sequence[Character]
    identities: Mapping[str, Sequence[Identity]]
    audits: Mapping[str, Audit]
    decisions: Sequence[Decision] | None
    strangers: Float32 | None


def _commit(old: Library, new: Library, change: _Change) -> None:
    episodes, characters, identities = change.episodes, change.characters, change.identities
    (new.root / journal.WORKSHOP).mkdir()
    try:
        moves = _move_in(new, episodes)
        moves += _write_repeats(new, episodes)
        moves += _write_people(new, characters)
        moves += _write_identities(new, change)
        if change.decisions is not None:
            moves.append(_move(schema.DECISIONS))
            disk.write_file(new.root / moves[-1].source, log.encoded(change.decisions))
        if change.strangers is not None:
            moves.append(_move(schema.STRANGERS))
            columns = schema.table_schema(schema.STRANGERS, new.dimension)
            facts = schema.stamp(new.encoder_id, new.settings)
            batch = tables.batch_of(columns.with_metadata(facts), {"embedding": change.strangers})
            tables.write_table(new.root / moves[-1].source, batch)
        rows = _write_appearances(old, new, episodes, identities)
        moves.append(_move(schema.APPEARANCES))
        if episodes or not (new.root / schema.INDEX).exists():
            uids = tables.integers_of(rows["track"])
            moves.append(_write_index(old, episodes, uids))
        journal.commit(new.root, moves)
    except BaseException:
        journal.clean(new.root)
        raise


def _move_in(library: Library, episodes: Sequence[StagedEpisode]) -> list[Move]:
    """Move the episodes out of their writers' staging folders, which will be removed."""
    moves = []
    for staged in episodes:
        move = _move(f"{schema.EPISODES}/{staged.episode}")
        (library.root / move.source).parent.mkdir(exist_ok=True)
        staged.folder.rename(library.root / move.source)
        moves.append(move)
    return moves


def _write_repeats(library: Library, episodes: Sequence[StagedEpisode]) -> list[Move]:
    """Write the repeats of new episodes, and the changed ones of episodes that repeat them."""
    tables_of = {name: rows for one in episodes for name, rows in one.repeated_by.items()}
    tables_of |= {one.episode: one.repeats for one in episodes}
    staged, moves = {one.episode for one in episodes}, []
    for episode, rows in sorted(tables_of.items()):
        move = _move(f"{schema.EPISODES}/{episode}/{schema.REPEATS}")
        if episode not in staged:  # that of a new episode moves with its folder
            (library.root / move.source).parent.mkdir(parents=True, exist_ok=True)
            moves.append(move)
        _write_table(library, library.root / move.source, rows)
    return moves


def _write_index(library: Library, episodes: Sequence[StagedEpisode], uids: Int64) -> Move:
    """Write the index of all tracks; the new ones' tables are in the journal's workshop."""
    workshop = library.root / journal.WORKSHOP / schema.EPISODES
    folders = {one: library.episode(one) for one in read.episodes(library)}
    folders |= {one.episode: workshop / one.episode for one in episodes}
    tracks = [folder / schema.TRACKS for _, folder in sorted(folders.items())]
    move = _move(schema.INDEX)
    changed = [one.episode for one in episodes]
    index = nearest.successor(library, tracks, uids, changed)
    nearest.write(library.root / move.source, index)
    return move


def _write_people(library: Library, characters: Sequence[Character]) -> list[Move]:
    moves = [_move(schema.CHARACTERS), _move(schema.LIBRARY)]
    people = sorted(characters, key=lambda one: one.id)
    _write_table(library, library.root / moves[0].source, people)
    disk.write_file(library.root / moves[1].source, encoded(library))
    return moves


def _write_identities(library: Library, change: _Change) -> list[Move]:
    staged, moves = {one.episode for one in change.episodes}, []
    for episode in sorted(change.identities):
        move = _move(f"{schema.EPISODES}/{episode}/{schema.IDENTITIES}")
        source = library.root / move.source
        if episode not in staged:  # that of a new episode moves with its folder
            source.parent.mkdir(parents=True, exist_ok=True)
            moves.append(move)
        settings, audit = library.settings, change.audits.get(episode, NO_AUDIT)
        if episode not in change.audits and episode in read.episodes(library):
            settings, audit = read.read_judgement(library, episode)
        rows = sorted(change.identities[episode], key=lambda one: one.track)
        stamped = replace(library, settings=settings)
        _write_table(stamped, source, rows, {schema.AUDIT: json.dumps(asdict(audit))})
    return moves


def _write_appearances(
    old: Library,
    new: Library,
    episodes: Sequence[StagedEpisode],
    identities: Mapping[str, Sequence[Identity]],
) -> pa.Table:
    """Write the appearances of all episodes; new tables are in the journal's workshop."""
    workshop = new.root / journal.WORKSHOP / schema.EPISODES
    staged = {one.episode for one in episodes}
    sources = [
        Source(
            workshop / one if one in staged else new.episode(one),
            workshop / one / schema.IDENTITIES,
        )
        for one in sorted(identities)
    ]
    ids = sorted({*read.episodes(old), *staged})
    rows = appearances.successor(old, ids, sorted(identities), sources)
    appearances.write(new.root / _move(schema.APPEARANCES).source, new, ids, rows)
    return rows


def _write_table(
    library: Library,
    path: Path,
    records: Sequence[Character] | Sequence[Identity] | Sequence[Repeat],
    more: Mapping[str, str] = _NOTHING_MORE,
) -> None:
    columns = schema.table_schema(path.name, library.dimension)
    facts = {**schema.stamp(library.encoder_id, library.settings), **more}
    tables.write_table(path, tables.batch_of_records(columns.with_metadata(facts), records))


def _move(target: str) -> Move:
    return Move(f"{journal.WORKSHOP}/{target}", target)


def _check_people(library: Library, characters: Sequence[Character], next_id: int) -> None:
    ids, labels = [one.id for one in characters], [one.label for one in characters]
    if len(set(ids)) < len(ids) or len(set(labels)) < len(labels):
        raise ValueError(f"characters: expected no id or label twice, got {ids}, {labels}")
    if not max([*ids, library.next_character_id - 1]) < next_id:
        raise ValueError(f"next_character_id: expected one never used, got {next_id}")
    for one in characters:
        if not one.label.strip():
            raise ValueError(f"label: expected a name for character {one.id}, got {one.label!r}")
        if one.prototypes.shape[1] != library.dimension:
            expected = (len(one.prototypes), library.dimension)
            raise ValueError(f"prototypes: expected {expected}, got {one.prototypes.shape}")


def _check_episodes(library: Library, episodes: Sequence[StagedEpisode]) -> None:
    """Check that no two episodes would have the same track uids."""
    owners = {schema.id_digits(one): one for one in read.episodes(library)}
    if len({one.episode for one in episodes}) < len(episodes):
        raise ValueError(f"episodes: expected none twice, got {[one.episode for one in episodes]}")
    for staged in episodes:
        if not staged.folder.is_dir():
            raise ValueError(f"episodes: expected {staged.episode} in its writer's open block")
        owner = owners.setdefault(schema.id_digits(staged.episode), staged.episode)
        if owner != staged.episode:
            raise StoreError(
                library.episode(owner),
                f"has the same track uids as {staged.episode} would have",
                "it is probably the same video: use that one, or index into another library",
            )


def _check_identities(
    library: Library,
    episodes: Sequence[StagedEpisode],
    identities: Mapping[str, Sequence[Identity]],
    known: set[int],
) -> None:
    """Check that every track has one identity, and that every identity's character exists."""
    folders = {one: library.episode(one) for one in read.episodes(library)}
    staged = {one.episode: one.folder for one in episodes}
    unknown = (set(staged) | set(identities)) - (set(identities) & set(folders | staged))
    if unknown:
        raise ValueError(f"identities: expected those of every new episode, got {unknown}")
    for episode, folder in (folders | staged).items():
        rows = identities.get(episode)
        if rows is None:
            table = read.read_table(library, folder / schema.IDENTITIES, ["character"])
            used = set(table["character"].to_pylist())
        else:
            used = {one.character for one in rows}
            uids = read.read_table(library, folder / schema.TRACKS, ["uid"])["uid"]
            if sorted(one.track for one in rows) != sorted(uids.to_pylist()):
                raise ValueError(f"identities: expected one for each track of {episode}")
        if used - known - {UNKNOWN}:
            gone = sorted(used - known - {UNKNOWN})
            raise ValueError(f"characters: expected also {gone}, whom {episode} shows")


def _check_repeats(library: Library, episodes: Sequence[StagedEpisode]) -> None:
    """Check that repeats refer to other episodes that are in the library."""
    known = set(read.episodes(library))
    for staged in episodes:
        if gone := {one.episode for one in staged.repeats} - (known - {staged.episode}):
            raise ValueError(f"repeats: expected {staged.episode} to repeat others, got {gone}")
        if gone := staged.repeated_by.keys() - (known - {staged.episode}):
            raise ValueError(f"repeats: expected others to repeat {staged.episode}, got {gone}")
