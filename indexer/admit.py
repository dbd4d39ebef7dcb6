"""An episode's tracks in, the library with that episode out, judged by who is known by then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from indexer import again, config, evidence, judging, reuse
from indexer.diff import NO_DIFF, Change, Diff
from indexer.errors import StoreError
from indexer.identify import Cast, Heard, identify
from indexer.judging import Accept, Judged, People
from indexer.looking import Looker
from indexer.progress import Say, mute
from indexer.records import Identity, Track
from indexer.store import decisions, read
from indexer.store import library as libraries
from indexer.store.decisions import Decision
from indexer.store.library import Library
from indexer.store.write import EpisodeWriter, StagedEpisode


def admit(  # noqa: PLR0913 - the last by name
    library: Library,
    writer: EpisodeWriter,
    manifest: Mapping[str, Any],
    tracks: Sequence[Track],
    looker: Looker,
    accept: Accept,
    *,
    say: Say = mute,
) -> tuple[Library, Diff]:
    """Return the library with the episode, judged by who is known now, and what that changed.

    Args:
        library: where to.
        writer: which has all of the episode.
        manifest: of the episode.
        tracks: of the episode.
        looker: who looked.
        accept: whether tracks that had a name may get another; the library is free meanwhile.
        say: told when another run is using the library, which may take any time.

    Raises:
        StoreError: the library cannot be read or written; or as `check_decisions`.
    """
    staged = writer.finish(manifest)

    def attempt(answer: Accept) -> tuple[Library, Diff]:
        with libraries.awaited(library, looker.settings.store.lock_wait_s, say) as now:
            return _admitted(now, staged, tracks, looker, answer)

    return judging.answered(accept, attempt)


def _admitted(
    now: Library, staged: StagedEpisode, tracks: Sequence[Track], looker: Looker, accept: Accept
) -> tuple[Library, Diff]:
    """Return what `admit` does, of the library as it is under its lock."""
    stick, settings, episode = looker.models.encoder.yardstick, looker.settings, staged.episode
    shown = reuse.repeated(now, staged, settings.repeats)
    staged = dataclasses.replace(staged, repeats=tuple(shown))
    rest = reuse.repeated_by(now, staged, settings.repeats)
    staged = dataclasses.replace(staged, repeated_by=rest)
    taken = reuse.known_from(shown, reuse.identities_of(now, shown))
    log = decisions.read_decisions(now)
    found = _found(now, staged, tracks, accept)
    about, entry = again.decided(log, episode), again.moved(log, staged, found)
    log += [entry] if entry else []
    decided = reuse.carried(decisions.constraints(log), shown)
    earlier = again.said(now, episode, found)
    known = _known(now, episode)
    stick = evidence.among(stick, read.read_strangers(now))

    def judge(held: Mapping[int, int]) -> Judged:
        heard = Heard(decided=judging.holding(decided, held), taken=taken)
        cast = identify(tracks, known, stick, settings, heard)
        rows = judging.kept(cast.identities, earlier, held)
        return Judged(cast.characters, {episode: rows}, {episode: cast.audit}, cast.next_id)

    before = People.of(now, [episode]).at(found)
    # Names given when only a part of the video was indexed were provisional.
    accept = judging.always if _is_partial(now, episode) else accept
    judged, changed = judging.settled(judge, before, {episode: tracks}, accept)
    changed = dataclasses.replace(changed, decided=len(about), lost=len(about - found.keys()))
    return judged.published(now, [staged], log if entry else None), changed


def check_decisions(library: Library, episode: str, accept: Accept, coverage: float = 1.0) -> None:
    """Check that decisions about an episode's tracks outlive that it is indexed again.

    Tracks of an index that cannot be read are known by their uids alone, which mean other tracks
    in an index by other settings.

    Args:
        library: as it is now, with the settings of the new index.
        episode: its id; one that is not in the library loses nothing.
        accept: asked whether the decisions may be lost.
        coverage: of the new index.

    Raises:
        StoreError: they would be lost, and that is not accepted.
    """
    if episode not in read.episodes(library):
        return
    log = decisions.read_decisions(library)
    about = again.decided(log, episode)
    if not about or again.can_be_read(library, episode):
        return
    if again.is_alike(library, episode, coverage) or accept(_lost(library, episode, log)):
        return
    problem = (
        f"cannot be read, so the decisions about {len(about)} of its tracks would be lost with "
        "other settings"
    )
    remedy = "index it with the settings it was made with, restore it from a copy, or add --accept"
    raise StoreError(library.episode(episode), problem, remedy)


def _lost(library: Library, episode: str, log: Sequence[Decision]) -> Diff:
    """Return the diff in which the tracks with decisions lose whom they were decided to show."""
    labels = {one.id: one.label for one in read.read_characters(library)}
    pinned = decisions.constraints(log).pinned
    seen, why = People.of(library, [episode]).tracks, "the decision would be lost"
    changes = [
        Change(uid, episode, seen[uid].seconds, labels.get(who, "unknown"), "unknown", why)
        for uid in sorted(again.decided(log, episode) & seen.keys())
        for who in [pinned.get(uid, seen[uid].character)]
    ]
    return Diff({}, {}, 0.0, changes)


def _found(
    library: Library, staged: StagedEpisode, tracks: Sequence[Track], accept: Accept
) -> dict[int, int]:
    """Return the new uid of each track that the library has already, by old uid.

    Raises:
        StoreError: as `check_decisions`.
    """
    if staged.episode not in read.episodes(library):
        return {}
    found = again.places(library, staged)
    if found is not None:
        return found
    coverage = float(read.manifest_in(staged.folder).get("coverage", 1.0))
    if again.is_alike(library, staged.episode, coverage):
        return {one.uid: one.uid for one in tracks}
    check_decisions(library, staged.episode, accept, coverage)
    return {}


def judged_anew(
    library: Library, episode: str, looker: Looker, accept: Accept
) -> tuple[Library, Diff]:
    """Return the library, an episode re-judged if by other settings before, and the changes."""

    def attempt(answer: Accept) -> tuple[Library, Diff]:
        with libraries.locked(library, looker.settings.store.lock_wait_s) as now:
            return _judged_anew(now, episode, looker, answer)

    return judging.answered(accept, attempt)


def _judged_anew(
    now: Library, episode: str, looker: Looker, accept: Accept
) -> tuple[Library, Diff]:
    """Return what `judged_anew` does, of the library as it is under its lock."""
    settings, stick = looker.settings, looker.models.encoder.yardstick
    judged_by, _ = read.read_judgement(now, episode)
    if config.of_judging(judged_by) == config.of_judging(config.that_matter(settings)):
        return now, NO_DIFF
    stick = evidence.among(stick, read.read_strangers(now))
    cast = _known(now, episode)

    def judge(held: Mapping[int, int]) -> Judged:
        return judging.judge(now, cast, stick, settings, episodes=[episode], held=held)

    judged, changed = judging.settled(judge, People.of(now, [episode]), {}, accept)
    return judged.published(now), changed


def _known(library: Library, but: str) -> Cast:
    """Return everybody known, unnamed people by all of their tracks in other episodes."""
    people = evidence.known_anew(read.read_characters(library), _shown(library, but))
    return Cast(people, [], library.next_character_id, next_person=library.next_person)


def _shown(library: Library, but: str) -> Iterator[tuple[Sequence[Track], Sequence[Identity]]]:
    """Yield tracks and identities of all other episodes, without tracks that are repeats."""
    for one in read.episodes(library):
        if one != but:
            with suppress(StoreError):  # a damaged episode is no evidence
                shown = {uid for part in read.read_repeats(library, one) for uid in part.tracks}
                tracks = [each for each in read.read_tracks(library, one) if each.uid not in shown]
                yield tracks, read.read_identities(library, one)


def _is_partial(library: Library, episode: str) -> bool:
    """Return whether an index is known to be of a part of its video; a damaged one is not."""
    with suppress(StoreError):
        return float(read.read_manifest(library, episode).get("coverage", 1.0)) < 1
    return False


def coverage(library: Library, episode: str) -> float:
    """Return the share of an episode that was looked at, in [0, 1]; 0 if it cannot be read."""
    try:
        if not episode:
            return 0.0
        read.check_tables(library, episode)
        return float(read.read_manifest(library, episode).get("coverage", 1.0))
    except StoreError:
        return 0.0
