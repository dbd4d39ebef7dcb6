"""Frames worth looking at in, their faces out: what the workers do, in the order of the video."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

from indexer import clothes, detect, embed, parallel, sample
from indexer.config import Settings
from indexer.models import Models
from indexer.progress import Stopwatch
from indexer.records import Detections, Faces, Float32, Frame, UInt8
from indexer.sample import Stretch

_GPU_BATCH = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a stretch; its pictures are let go."""

    look: int
    """The index of the frame that was looked at."""
    shot: int
    faces: tuple[Faces, ...]
    """Of the frames glanced at, in order, and of the look itself, which is the last."""
    filled: bool
    """Whether the frames before the look are settled; False if the look before was not made."""


@dataclass(frozen=True, slots=True)
class Looker:
    """What looks at frames: the networks, the settings, and a stopwatch for the time it takes."""

    models: Models
    settings: Settings
    watch: Stopwatch

    def follow(
        self, stretches: Iterable[Stretch], known: Mapping[int, Faces]
    ) -> Generator[Seen, None, None]:
        """Yield what is seen in each stretch, in order; a GPU looks at several together.

        Args:
            stretches: in the video's order, with frames that are still held.
            known: looks made before, by frame; they are not made again.
        """
        size = _GPU_BATCH if self.models.detector.batched else 1
        waiting = iter(stretches)
        batches = iter(lambda: list(islice(waiting, size)), [])
        with parallel.Workers(self.models.workers) as workers:
            look = partial(self._look, known)
            ahead = 2 if size == 1 else 1  # those that wait hold their stretch's frames
            found = parallel.in_order(workers, look, batches, ahead=ahead)
            looked = chain.from_iterable(found)
            pairs = _after_another(looked, known)
            # Pairs that wait hold all frames of their stretch: no more of them than needed.
            yield from parallel.in_order(workers, self._fill, pairs, ahead=1)

    def _look(
        self, known: Mapping[int, Faces], batch: Sequence[Stretch]
    ) -> list[tuple[Stretch, Faces]]:
        """Return the faces of whole frames, with aligned crops."""
        unseen = [one.look for one in batch if one.look.index not in known]
        with self.watch.beside("convert"):
            images = [frame.pixels() for frame in unseen]
        with self.watch.beside("detect"):
            found = detect.detect(self.models.detector, images, self.settings.detect)
        with self.watch.beside("align"):
            faces = map(self._aligned, unseen, images, found)
            new = {frame.index: one for frame, one in zip(unseen, faces, strict=True)}
        return [(one, new.get(one.look.index) or known[one.look.index]) for one in batch]

    def _fill(self, looked: tuple[Faces | None, Stretch, Faces]) -> Seen:
        """Return the faces glanced at between two looks, and those of the second."""
        before, stretch, after = looked
        if before is None:
            return Seen(after.frame, after.shot, (after,), filled=stretch.since is None)
        settings = self.settings.detect
        faces = sample.between(before, after, stretch.between, self._glance, settings)
        return Seen(after.frame, after.shot, (*faces, after), filled=True)

    def _glance(self, frame: Frame, expected: Float32, patches: UInt8) -> Faces:
        """Return the faces of a frame that look as expected, about where they are expected."""
        settings = self.settings.detect
        with self.watch.beside("convert"):
            image = frame.pixels()
        with self.watch.beside("glance"):
            found = detect.find_again(self.models.detector, image, expected, patches, settings)
        with self.watch.beside("align"):
            return self._aligned(frame, image, found)

    def _aligned(self, frame: Frame, image: UInt8, found: Detections) -> Faces:
        facts = self.models.encoder.facts
        chips = embed.align(image, found.landmarks, facts)
        quality, patches = embed.quality(found, chips, facts), detect.patches(image, found.boxes)
        worn = clothes.colours(image, found.boxes)
        return Faces(frame.index, frame.time_s, frame.shot, found, chips, quality, patches, worn)


def _after_another(
    looked: Iterable[tuple[Stretch, Faces]], known: Mapping[int, Faces]
) -> Iterator[tuple[Faces | None, Stretch, Faces]]:
    """Yield each look with the one before, if that was made."""
    last: Faces | None = None
    for stretch, faces in looked:
        before = None
        if stretch.since is not None:
            before = last if last and last.frame == stretch.since else known.get(stretch.since)
        yield before, stretch, faces
        last = faces
