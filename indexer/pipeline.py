"""A video in, a library that has it out: all stages in their order.

Every stage is a generator that takes from the one before, so that no more than a window of
frames is ever held.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer import admit, config, decode, embed, instalments, judging, link, sample, shots
from indexer.book import Book
from indexer.config import Settings
from indexer.diff import NO_DIFF, Diff
from indexer.errors import StoreError
from indexer.judging import Accept, never
from indexer.looking import Looker
from indexer.models import Models, check_encoder
from indexer.progress import Progress, Say, Stopwatch, mute, silent
from indexer.records import (
    UNKNOWN,
    Audit,
    DecodeReport,
    Faces,
    Frame,
    Track,
    VideoFacts,
)
from indexer.store import disk, read, schema, unfinished
from indexer.store import library as libraries
from indexer.store.library import Library
from indexer.store.unfinished import Unfinished
from indexer.store.write import EpisodeWriter

_READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Indexed:
    """The outcome of indexing a video."""

    episode: str
    unchanged: bool
    """True if the library held it already, of the same video, weights and settings."""
    duration_s: float
    report: DecodeReport
    coverage: float
    """Share of the video that was looked at as the settings ask, in [0, 1]: 1 without a budget."""
    published: bool
    """False if the library holds a better index of the video, which stays until the rest is seen:
    then the fields below, except times, describe that index."""
    shots: int
    tracks: int
    people: int
    """How many different people its tracks show."""
    named: int
    """How many of them have a name."""
    wall_s: float
    """Seconds that it took; 0 if nothing was done."""
    audit: Audit
    """How good its people are, as far as can be told without a label."""
    diff: Diff
    """What it changed for the library's people."""
    seconds: Mapping[str, float]
    """Seconds for each stage, over all threads; "wait" is waiting for the worker threads."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A video as a stream: its frames, the faces in them, and a report at the end."""

    path: Path
    sha256: str
    facts: VideoFacts
    frames: Iterable[Frame]
    """Each knowing its shot."""
    look: Callable[[Iterable[Frame]], Iterator[Faces]]
    """The frames, recorded as they pass → the faces of those looked at, in order."""
    report: Callable[[], DecodeReport]
    """Called after the last frame."""
    coverage: float


def open_or_create(root: Path, models: Models, settings: Settings) -> Library:
    """Return the library in `root` for the encoder; a new one is on disk only once published.

    Raises:
        StoreError: what is there is no library, or one of another encoder or a newer version.
    """
    facts = models.encoder.facts
    with disk.explained(root):
        known = (root / schema.LIBRARY).exists()
    if known:
        check_encoder(libraries.open_library(root), facts)
    return libraries.open_or_create(
        root, facts.encoder_id, facts.dimension, config.that_matter(settings)
    )


def index(  # noqa: PLR0913 - the last by name
    path: Path,
    library: Library,
    models: Models,
    settings: Settings,
    progress: Progress = silent,
    budget_s: float | None = None,
    *,
    accept: Accept = never,
    say: Say = mute,
) -> Indexed:
    """Put a video into a library and return what was found in it.

    Args:
        path: the video.
        library: where to; it changes in one step at the very end, or not at all.
        models: detector and encoder.
        settings: of all stages.
        progress: shows how far it is.
        budget_s: about how many seconds it may take; what is missing then is looked at by the
            next run, with a budget or without.
        accept: whether tracks that had a name may get another, where a video is indexed again.
        say: told when the video is indexed, but another run is using the library.

    Raises:
        VideoError: the video cannot be read.
        StoreError: the library cannot be written.
    """
    looker = Looker(models, settings, Stopwatch())
    with decode.open_video(path, settings.decode) as video:
        with looker.watch.on("hash"):
            sha256 = _sha256(path, progress)
        known = read.find_by_sha256(library, sha256)
        if known and _is_unchanged(library, known, settings):
            unfinished.forget(library, sha256)  # of a run killed after publishing
            now, changed = admit.judged_anew(library, known, looker, accept)
            return _summary(now, known, None, changed)
        admit.check_decisions(library, known, accept)  # before hours of looking
        # A renamed copy stays the same episode.
        episode = known or schema.episode_id(path, sha256)
        if budget_s is None and not unfinished.exists(library, sha256):
            source = _whole(path, sha256, video, looker, progress)
            now, changed = _write(source, episode, library, looker, accept, say=say)
            return _summary(now, episode, looker.watch, changed)
    with unfinished.resumed(library, sha256) as work:
        instalments.go_on(path, work, looker, budget_s, progress)
        seen = work.coverage
        if seen < admit.coverage(library, known):
            # The library has a more complete index, with other settings: that stays for now.
            done = _summary(library, known, looker.watch, NO_DIFF)
            return dataclasses.replace(done, coverage=seen, published=False)
        source = _so_far(path, sha256, video.facts, work)
        now, changed = _write(source, episode, library, looker, accept, say=say)
    if seen == 1:
        unfinished.forget(now, sha256)
    return _summary(now, episode, looker.watch, changed)


def _whole(
    path: Path, sha256: str, video: decode.Video, looker: Looker, progress: Progress
) -> _Source:
    """Return a video that is read and looked at from beginning to end, in one go."""
    watch, settings = looker.watch, looker.settings
    frames = watch.over("decode", video)
    frames = watch.over("shots", shots.split(frames, video.facts.rate, settings.shots))
    counted = progress(frames, total=video.facts.expected_frames, what="frames")

    def look(kept: Iterable[Frame]) -> Iterator[Faces]:
        stretches = sample.stretches(kept, settings.detect)
        for seen in watch.over("wait", looker.follow(stretches, {})):
            yield from seen.faces

    return _Source(path, sha256, video.facts, counted, look, video.report, 1.0)


def _so_far(path: Path, sha256: str, facts: VideoFacts, work: Unfinished) -> _Source:
    """Return a video of which this run and those before have seen a part."""

    def look(kept: Iterable[Frame]) -> Iterator[Faces]:
        for _ in kept:  # so that they are recorded
            pass
        yield from work.faces()

    return _Source(path, sha256, facts, work.frames(), look, lambda: work.report, work.coverage)


def _write(
    source: _Source, episode: str, library: Library, looker: Looker, accept: Accept, *, say: Say
) -> tuple[Library, Diff]:
    """Admit a video to the library, and return what `admit.admit` returns."""
    with EpisodeWriter(library, episode, source.sha256) as writer:
        book = Book(writer, 1 / float(source.facts.rate))
        tracks = list(_tracks(source, book, looker))
        manifest = _manifest(source, book)
        with looker.watch.on("publish"):
            return admit.admit(library, writer, manifest, tracks, looker, accept, say=say)


def _manifest(source: _Source, book: Book) -> dict[str, Any]:
    facts, report = source.facts, source.report()
    return {
        "video": {
            "path": str(source.path.resolve()),
            "sha256": source.sha256,
            "width": facts.width,
            "height": facts.height,
            "rotation": facts.rotation,
            "frames": report.frames,
            "duration_s": book.end_s(report.frames - 1),
            "time_base": str(facts.time_base),
        },
        "decode": dataclasses.asdict(report),
        "coverage": source.coverage,
    }


def _sha256(path: Path, progress: Progress) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        parts = iter(lambda: file.read(_READ_BYTES), b"")
        count = path.stat().st_size // _READ_BYTES + 1
        for part in progress(parts, total=count, what="hash"):
            total.update(part)
    return total.hexdigest()


def _tracks(source: _Source, book: Book, looker: Looker) -> Iterator[Track]:
    """Yield the tracks of a video as they end, each already written."""
    watch, settings = looker.watch, looker.settings
    faces = source.look(book.kept(source.frames))
    keep, apart_s = settings.embed.best_faces, settings.embed.apart_s
    tracklets = link.link(faces, book.times, settings.link, keep=keep, apart_s=apart_s)
    ordinals = itertools.count()
    for tracklet in watch.over("link", tracklets):
        with watch.on("embed"):
            parts = embed.embed(looker.models.encoder, tracklet)
        for part in parts:
            trace = part.tracklet.trace
            uid = schema.track_uid(source.sha256, next(ordinals))
            track = embed.track(part, uid, book.end_s(int(trace.frames[-1])))
            track = book.placed(track, trace)
            with watch.on("store"):
                book.writer.add_track(track, trace, part.tracklet.chips[0])
            yield track


def _is_unchanged(library: Library, episode: str, settings: Settings) -> bool:
    """Return whether an episode was fully looked at by these settings and can still be read."""
    try:
        manifest = read.read_manifest(library, episode)
        read.check_tables(library, episode)
    except StoreError:
        return False  # what is damaged is made anew
    before = config.of_looking(manifest["settings"])
    alike = before == config.of_looking(config.that_matter(settings))
    return bool(alike and manifest.get("coverage", 1) == 1)


def _summary(library: Library, episode: str, watch: Stopwatch | None, changed: Diff) -> Indexed:
    manifest = read.read_manifest(library, episode)
    named = {c.id for c in read.read_characters(library) if c.named}
    shown = {i.character for i in read.read_identities(library, episode)} - {UNKNOWN}
    return Indexed(
        episode=episode,
        unchanged=watch is None,
        duration_s=manifest["video"]["duration_s"],
        report=DecodeReport(**manifest["decode"]),
        coverage=manifest.get("coverage", 1.0),
        published=True,
        shots=manifest["counts"]["shots"],
        tracks=manifest["counts"]["tracks"],
        people=len(shown),
        named=len(shown & named),
        audit=read.read_judgement(library, episode)[1],
        diff=dataclasses.replace(changed, proposed=judging.proposed(library, [episode])),
        wall_s=watch.wall_s if watch else 0.0,
        seconds=watch.seconds if watch else {},
    )
