"""A synthetic episode, start to finish: a folder of faces in, an MP4 and its truth out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from indexer import stills
from indexer.errors import ImageError
from indexer.records import UInt8
from indexer.stills import Person
from training.synthesize.encode import Format, encode
from training.synthesize.heads import Detect, Head, read_head
from training.synthesize.places import add_grain, camera, grain, light, paint_place
from training.synthesize.script import Look, write_script
from training.synthesize.spec import EpisodeSpec
from training.synthesize.sprites import Sprite, cut_out, paste
from training.synthesize.truth import Skipped, TrueFace, TrueShot, Truth
from training.synthesize.truth_file import truth_path, write_truth


@dataclass(frozen=True, slots=True)
class People:
    """Who can be on screen."""

    heads: Mapping[str, Sequence[Head]]
    """By name, at least one each."""
    skipped: tuple[Skipped, ...]
    """The pictures that could not be used."""


@dataclass(frozen=True, slots=True)
class _View:
    """What is in front of and behind the people."""

    place: UInt8
    noise: UInt8


def synthesize(
    faces: Path, video: Path, spec: EpisodeSpec, detect: Detect, strangers: Collection[str] = ()
) -> Truth:
    """Return the truth of an episode made from a folder per person of stills.

    Writes the video and, beside it, the truth: ``ep.mp4`` and ``ep.truth.json``.

    Args:
        faces: holds ``Name/*.jpg``, or pictures of another format.
        video: where the MP4 goes.
        spec: length, size, who and how.
        detect: finds the faces in a still.
        strangers: names of people who are not of the cast.

    Raises:
        ImageError: the folder holds no people, or a person has no usable still.
        ValueError: a stranger has no folder.
    """
    return make_episode(read_people(stills.people(faces), detect), video, spec, strangers)


def read_people(persons: Iterable[Person], detect: Detect) -> People:
    """Return the heads in each person's stills; unusable stills are listed as skipped.

    Raises:
        ImageError: none of a person's stills is usable.
        ValueError: two stills of a person have the same file name, or two people the same name.
    """
    heads: dict[str, list[Head]] = {}
    skipped = []
    for person in persons:
        if person.name in heads or len({path.name for path in person.paths}) < len(person.paths):
            raise ValueError(f"expected names and file names to differ, got {person} again")
        heads[person.name] = []
        for path in person.paths:
            try:
                heads[person.name].append(read_head(path, person.name, detect))
            except ImageError as error:
                skipped.append(Skipped(f"{person.name}/{path.name}", error.problem))
        if not heads[person.name]:
            problem = skipped[-1].problem if person.paths else "there is none"
            raise ImageError(person.name, f"has no usable still: {problem}", "add one of the face")
    return People(heads, tuple(skipped))


def make_episode(
    people: People, video: Path, spec: EpisodeSpec, strangers: Collection[str] = ()
) -> Truth:
    """Return the truth of an episode, and write both it and the video, or neither.

    Raises:
        ValueError: a stranger is not among `people`, or there is nobody to show.
    """
    unknown = sorted(set(strangers) - set(people.heads))
    if unknown:
        raise ValueError(f"strangers: expected names among {sorted(people.heads)}, got {unknown}")
    looks = {
        name: [Look(head.label, float(head.face[0] / head.face[1])) for head in heads]
        for name, heads in people.heads.items()
    }
    truth = replace(write_script(spec, looks, strangers), skipped=people.skipped)
    unfinished = video.with_suffix(".unfinished.mp4")
    try:
        how = Format(spec.width, spec.height, spec.fps, spec.crf)
        encode(unfinished, how, draw_frames(spec, truth, people))
        write_truth(truth_path(video), truth)
        unfinished.replace(video)
    finally:
        unfinished.unlink(missing_ok=True)
    return truth


def draw_frames(spec: EpisodeSpec, truth: Truth, people: People) -> Iterator[UInt8]:
    """Yield every frame of an episode, (H, W, 3) RGB; one shot's sprites are held at a time."""
    heads = {head.label: head for group in people.heads.values() for head in group}
    noise = grain(spec)
    places: dict[int, UInt8] = {}
    for shot in truth.shots:
        if shot.place not in places:
            places[shot.place] = paint_place(spec, shot.place)
        faces = [face for face in truth.faces if face.shot == shot.shot]
        actors = [(face, _dress(spec, face, heads[face.still])) for face in faces]
        yield from _draw_shot(spec, shot, _View(places[shot.place], noise), actors)


def _dress(spec: EpisodeSpec, face: TrueFace, head: Head) -> Sprite:
    """Return the person's sprite, in the clothes that this name wears in this place."""
    heights = face.boxes[:, 3] - face.boxes[:, 1]
    below = (spec.height - (face.boxes[:, 1] + face.boxes[:, 3]) / 2) / heights
    rng = np.random.default_rng([spec.seed, 1, face.clothes, *face.name.encode()])
    return cut_out(head, float(heights.max()), float(below.max()) + 0.3, rng)


def _draw_shot(
    spec: EpisodeSpec, shot: TrueShot, view: _View, actors: Sequence[tuple[TrueFace, Sprite]]
) -> Iterator[UInt8]:
    rng = np.random.default_rng([spec.seed, 2, shot.shot])
    levels = light(rng)
    path = camera(spec, rng, shot.end_frame - shot.start_frame + 1)
    for row, matrix in enumerate(path):
        frame = cv2.warpAffine(view.place, matrix, (spec.width, spec.height)).astype(np.uint8)
        for face, sprite in actors:
            box = face.boxes.astype(np.float64)
            step = box[row] - box[max(row - 1, 0)]
            paste(frame, sprite, box[row], float(face.angles[row]), (step[:2] + step[2:]) / 2)
        yield add_grain(cv2.LUT(frame, levels).astype(np.uint8), view.noise, rng)
