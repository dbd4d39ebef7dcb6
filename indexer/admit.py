"""An episode's tracks in, the library with that episode out, judged by who is known by then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from indexer import again, config, evidence, judging, reuse
from indexer.diff import NO_DIFF, Diff
from indexer.errors import StoreError
from indexer.identify import Cast, Heard, identify
from indexer.judging import Accept, Judged, People
from indexer.looking import Looker
from indexer.records import Identity, Track
from indexer.store import decisions, read
from indexer.store import library as libraries
from indexer.store.library import Library
from indexer.store.write import EpisodeWriter


def admit(
    library: Library,
    writer: EpisodeWriter,
    manifest: Mapping[str, Any],
    tracks: Sequence[Track],
    looker: Looker,
    accept: Accept,
) -> tuple[Library, Diff]:
    """Return the library with the episode, judged by who is known now, and what that changed."""
    stick, settings, episode = looker.models.encoder.yardstick, looker.settings, writer.episode
    with libraries.locked(library, settings.store.lock_wait_s) as now:
        staged = writer.finish(manifest)
        shown = reuse.repeated(now, staged, settings.repeats)
        rest = reuse.repeated_by(now, staged)
        staged = dataclasses.replace(staged, repeats=tuple(shown), repeated_by=rest)
        taken = reuse.known_from(shown, reuse.identities_of(now, shown))
        log = decisions.read_decisions(now)
        found = again.places(now, staged) if episode in read.episodes(now) else {}
        entry = again.moved(log, staged, found)
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
        accept = accept if coverage(now, episode) == 1 else judging.always
        judged, changed = judging.settled(judge, before, {episode: tracks}, accept)
        return judged.published(now, [staged], log if entry else None), changed


def judged_anew(
    library: Library, episode: str, looker: Looker, accept: Accept
) -> tuple[Library, Diff]:
    """Return the library, an episode re-judged if by other settings before, and the changes."""
    settings, stick = looker.settings, looker.models.encoder.yardstick
    stick = evidence.among(stick, read.read_strangers(library))
    with libraries.locked(library, settings.store.lock_wait_s) as now:
        judged_by, _ = read.read_judgement(now, episode)
        if config.of_judging(judged_by) == config.of_judging(config.that_matter(settings)):
            return library, NO_DIFF
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


def coverage(library: Library, episode: str) -> float:
    """Return the share of an episode that was looked at, in [0, 1]; 0 if it cannot be read."""
    try:
        if not episode:
            return 0.0
        read.check_tables(library, episode)
        return float(read.read_manifest(library, episode).get("coverage", 1.0))
    except StoreError:
        return 0.0
