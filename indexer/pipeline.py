"""The one place that knows the order of the stages.

Every stage is a generator that takes from the one before, so that no more than a window of
frames is ever held.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NoReturn

from indexer import config, decode, detect, embed, link, parallel, sample, shots
from indexer.config import Settings
from indexer.errors import StoreError
from indexer.identify import Cast, identify
from indexer.models import Models
from indexer.progress import Progress, Stopwatch, silent
from indexer.records import (
    UNKNOWN,
    DecodeReport,
    Detections,
    Faces,
    Float32,
    Frame,
    Shot,
    Track,
    UInt8,
)
from indexer.sample import Stretch
from indexer.store import library as libraries
from indexer.store import read, schema
from indexer.store.library import Library
from indexer.store.publish import publish
from indexer.store.write import EpisodeWriter

_READ_BYTES = 1 << 22
_FRAMES_PER_WRITE = 256
_GPU_BATCH = 16


@dataclass(frozen=True, slots=True)
class Indexed:
    """What indexing a video came to."""

    episode: str
    unchanged: bool
    """True if the library held it already, of the same video, weights and settings."""
    duration_s: float
    report: DecodeReport
    shots: int
    tracks: int
    people: int
    """How many different people its tracks show."""
    named: int
    """How many of them have a name."""
    wall_s: float
    """Seconds that it took; 0 if nothing was done."""
    seconds: Mapping[str, float]
    """Seconds for each stage, over all threads; "wait" is for the others."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What all stages of one run share."""

    models: Models
    settings: Settings
    progress: Progress
    watch: Stopwatch


def open_or_create(root: Path, models: Models, settings: Settings) -> Library:
    """Return the library in `root` for the encoder; a new one is made by what is published.

    Raises:
        StoreError: what is there is no library, or one of another encoder or a newer version.
    """
    facts = models.encoder.facts
    return libraries.open_or_create(
        root, facts.encoder_id, facts.dimension, config.that_matter(settings)
    )


def index(
    path: Path, library: Library, models: Models, settings: Settings, progress: Progress = silent
) -> Indexed:
    """Put a video into a library and return what was found in it.

    Args:
        path: the video.
        library: where to; it changes in one step at the very end, or not at all.
        models: detector and encoder.
        settings: of all stages.
        progress: shows how far it is.

    Raises:
        VideoError: the video cannot be read.
        StoreError: the library cannot be written.
    """
    run = _Run(models, settings, progress, Stopwatch())
    with decode.open_video(path, settings.decode) as video:
        with run.watch.on("hash"):
            sha256 = _sha256(path, progress)
        known = read.find_by_sha256(library, sha256)
        if known and _is_unchanged(library, known, settings):
            return _summary(library, known, None)
        # A renamed copy stays the episode that it is.
        episode = known or schema.episode_id(path, sha256)
        with EpisodeWriter(library, episode, sha256) as writer:
            book = _Book(writer, 1 / float(video.facts.rate))
            tracks = list(_follow(video, book, sha256, run))
            manifest = _manifest(path, sha256, video, book)
            with run.watch.on("publish"):
                library = _publish(library, writer, manifest, tracks, run)
    return _summary(library, writer.episode, run.watch)


def _publish(
    library: Library,
    writer: EpisodeWriter,
    manifest: Mapping[str, Any],
    tracks: Sequence[Track],
    run: _Run,
) -> Library:
    """Return the library with the episode in it, its people judged by who is known right now."""
    calibration = run.models.encoder.facts.calibration
    with libraries.locked(library, run.settings.store.lock_wait_s) as now:
        cast = Cast(read.read_characters(now), [], now.next_character_id)
        cast = identify(tracks, {}, cast, calibration, run.settings)
        return publish(
            now,
            episodes=[writer.finish(manifest)],
            characters=cast.characters,
            identities={writer.episode: cast.identities},
            next_character_id=cast.next_id,
        )


def _manifest(path: Path, sha256: str, video: decode.Video, book: _Book) -> dict[str, Any]:
    facts, report = video.facts, video.report()
    return {
        "video": {
            "path": str(path.resolve()),
            "sha256": sha256,
            "width": facts.width,
            "height": facts.height,
            "rotation": facts.rotation,
            "frames": report.frames,
            "duration_s": book.end_s(report.frames - 1),
            "time_base": str(facts.time_base),
        },
        "decode": dataclasses.asdict(report),
    }


def _sha256(path: Path, progress: Progress) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        parts = iter(lambda: file.read(_READ_BYTES), b"")
        count = path.stat().st_size // _READ_BYTES + 1
        for part in progress(parts, total=count, what="hash"):
            total.update(part)
    return total.hexdigest()


def _follow(video: decode.Video, book: _Book, sha256: str, run: _Run) -> Iterator[Track]:
    """Yield the tracks of a video as they end, each written down already."""
    watch, settings = run.watch, run.settings
    frames = watch.over("decode", video)
    frames = watch.over("shots", shots.split(frames, video.facts.rate, settings.shots))
    counted = run.progress(frames, total=video.facts.expected_frames, what="frames")
    stretches = sample.stretches(book.kept(counted), settings.detect)
    faces = watch.over("wait", _faces(stretches, run))
    keep, apart_s = settings.embed.best_faces, settings.embed.apart_s
    tracklets = link.link(faces, book.times, settings.link, keep=keep, apart_s=apart_s)
    for ordinal, tracklet in enumerate(watch.over("link", tracklets)):
        with watch.on("embed"):
            uid = schema.track_uid(sha256, ordinal)
            end_s = book.end_s(int(tracklet.trace.frames[-1]))
            track = embed.embed(run.models.encoder, tracklet, uid, end_s)
        with watch.on("store"):
            book.writer.add_track(track, tracklet.trace, tracklet.chips[0])
        yield track


def _faces(stretches: Iterable[Stretch], run: _Run) -> Iterator[Faces]:
    """Yield the faces of each frame looked or glanced at; a GPU looks at several together."""
    size = _GPU_BATCH if run.models.detector.batched else 1
    waiting = iter(stretches)
    batches = iter(lambda: list(islice(waiting, size)), [])
    with parallel.Workers(run.models.workers) as workers:
        looked = chain.from_iterable(parallel.in_order(workers, partial(_look, run), batches))
        for found in parallel.in_order(workers, partial(_fill, run), _with_the_one_before(looked)):
            yield from found


def _with_the_one_before(
    looked: Iterable[tuple[Stretch, Faces]],
) -> Iterator[tuple[Faces | None, Stretch, Faces]]:
    before: Faces | None = None
    for stretch, faces in looked:
        yield (before if before is not None and before.shot == faces.shot else None), stretch, faces
        before = faces


def _look(run: _Run, batch: Sequence[Stretch]) -> list[tuple[Stretch, Faces]]:
    """Return the faces of whole frames, with aligned crops."""
    models, watch = run.models, run.watch
    with watch.beside("convert"):
        images = [stretch.look.pixels() for stretch in batch]
    with watch.beside("detect"):
        found = detect.detect(models.detector, images, run.settings.detect)
    with watch.beside("align"):
        return [
            (stretch, _aligned(models, stretch.look, image, one))
            for stretch, image, one in zip(batch, images, found, strict=True)
        ]


def _fill(run: _Run, looked: tuple[Faces | None, Stretch, Faces]) -> list[Faces]:
    """Return the faces glanced at between two looks, and those of the second."""
    before, stretch, after = looked
    if before is None:
        return [after]
    glance, settings = partial(_glance, run), run.settings.detect
    return [*sample.between(before, after, stretch.between, glance, settings), after]


def _glance(run: _Run, frame: Frame, expected: Float32, patches: UInt8) -> Faces:
    """Return the faces of a frame that look as expected, about where they are expected."""
    models, watch = run.models, run.watch
    with watch.beside("convert"):
        image = frame.pixels()
    with watch.beside("glance"):
        found = detect.find_again(models.detector, image, expected, patches, run.settings.detect)
    with watch.beside("align"):
        return _aligned(models, frame, image, found)


def _aligned(models: Models, frame: Frame, image: UInt8, found: Detections) -> Faces:
    chips = embed.align(image, found.landmarks, models.encoder.facts)
    quality, patches = embed.quality(found, chips), detect.patches(image, found.boxes)
    return Faces(frame.index, frame.time_s, frame.shot, found, chips, quality, patches)


class _Book:
    """What is written down of every frame on its way: times, shots, and rows of the store."""

    def __init__(self, writer: EpisodeWriter, frame_s: float) -> None:
        self.writer = writer
        self.times = array.array("d")
        """The time of each frame so far, in seconds, by index."""
        self._frame_s = frame_s
        self._shot = Shot(0, 0, -1, 0.0, 0.0)
        self._waiting: list[Frame] = []

    def kept(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames, each written down before it is passed on."""
        for frame in frames:
            if not self.times:
                self._shot = Shot(0, 0, -1, frame.time_s, frame.time_s)
            self.times.append(frame.time_s)
            if frame.shot != self._shot.shot:
                self._end_shot(frame.index)
            # Without its picture, which would keep the decoder's buffers alive.
            self._waiting.append(dataclasses.replace(frame, render=_gone))
            if len(self._waiting) == _FRAMES_PER_WRITE:
                self._write()
            yield frame
        if self.times:
            self._end_shot(len(self.times))
        self._write()

    def end_s(self, index: int) -> float:
        """Return when a frame leaves the screen: the time of the next, or a frame later."""
        following = index + 1
        return self.times[following] if following < len(self.times) else self._after_last()

    def _after_last(self) -> float:
        return self.times[-1] + self._frame_s if self.times else 0.0

    def _end_shot(self, following: int) -> None:
        end_s = self.end_s(following - 1)
        ended = dataclasses.replace(self._shot, end_frame=following - 1, end_s=end_s)
        self.writer.add_shot(ended)
        self._shot = Shot(ended.shot + 1, following, following - 1, end_s, end_s)

    def _write(self) -> None:
        self.writer.add_frames(self._waiting)
        self._waiting = []


def _gone(width: int, height: int) -> NoReturn:
    raise ValueError(f"expected a frame that is still held, got one let go ({width}x{height})")


def _is_unchanged(library: Library, episode: str, settings: Settings) -> bool:
    """Return whether an episode was made with these settings and can still be read."""
    try:
        manifest = read.read_manifest(library, episode)
        read.check_tables(library, episode)
    except StoreError:
        return False  # what is damaged is made anew
    return bool(manifest["settings"] == config.that_matter(settings))


def _summary(library: Library, episode: str, watch: Stopwatch | None) -> Indexed:
    manifest = read.read_manifest(library, episode)
    named = {c.id for c in read.read_characters(library) if c.named}
    shown = {i.character for i in read.read_identities(library, episode)} - {UNKNOWN}
    return Indexed(
        episode=episode,
        unchanged=watch is None,
        duration_s=manifest["video"]["duration_s"],
        report=DecodeReport(**manifest["decode"]),
        shots=manifest["counts"]["shots"],
        tracks=manifest["counts"]["tracks"],
        people=len(shown),
        named=len(shown & named),
        wall_s=watch.wall_s if watch else 0.0,
        seconds=watch.seconds if watch else {},
    )
