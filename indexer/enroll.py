"""Stills in, characters out; every track of the library is then judged by them anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer import affinity, evidence, judging, labels, stills
from indexer.config import Settings
from indexer.diff import Diff
from indexer.errors import ImageError, StoreError
from indexer.identify import Cast
from indexer.judging import Accept, Judged, People, never
from indexer.models import Models, still_faces
from indexer.nets import encoder as encoders
from indexer.progress import Progress, silent
from indexer.records import Character, Float32
from indexer.stills import Person
from indexer.store import library as libraries
from indexer.store import read
from indexer.store.library import Library


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The outcome of enrolling a folder of stills."""

    characters: Sequence[Character]
    """Those of the folder, calibrated."""
    skipped: Sequence[ImageError]
    """An error for each still that could not be used."""
    episodes: int
    """How many episodes were re-judged."""
    diff: Diff
    """What that changed."""


def enroll(  # noqa: PLR0913 - the last by name
    folder: Path,
    library: Library,
    models: Models,
    settings: Settings,
    progress: Progress = silent,
    *,
    accept: Accept = never,
    strangers: Path | None = None,
) -> Enrolled:
    """Make a character of each folder of stills and publish who every track now is.

    An existing character of that name, whatever the case, keeps its id and spelling, and the new
    stills replace its old ones. Nothing changes if any name cannot be enrolled.

    Args:
        folder: a folder for each person, named like the person.
        library: where to.
        models: detector and encoder.
        settings: of all stages.
        progress: shows how far it is.
        accept: whether tracks that had a name may get another; the library is free meanwhile.
        strangers: a folder of stills, in subfolders or not, of people who are not in the gallery:
            whoever looks like several needs more to get a name. They replace those given before.

    Raises:
        ImageError: the folder holds nobody, a name that is not valid, or somebody without a single
            still that can be used, or there is none of strangers; then its notes are what was
            skipped.
        StoreError: the library cannot be written, or has several characters of that name, none of
            them spelt exactly so.
    """
    gallery: dict[str, Float32] = {}
    skipped: list[ImageError] = []
    people = stills.people(folder)
    _check_names(people)
    for person in progress(people, total=len(people), what="people"):
        rows = _all_encoded(person.paths, models, settings, skipped)
        _check_some(rows, person.folder, skipped)
        gallery[person.name] = rows
    others = None
    if strangers is not None:
        paths = progress(found := stills.pictures(strangers), total=len(found), what="strangers")
        others = _all_encoded(paths, models, settings, skipped)
        _check_some(others, strangers, skipped)

    def attempt(answer: Accept) -> tuple[set[int], Judged, Diff]:
        with libraries.locked(library, settings.store.lock_wait_s) as now:
            ids, cast = _with_gallery(now, gallery)
            known = read.read_strangers(now) if others is None else others

            def judge(held: Mapping[int, int]) -> Judged:
                among = evidence.among(models.encoder.yardstick, known)
                return judging.judge(now, cast, among, settings, progress=progress, held=held)

            before = People.of(now, read.episodes(now))
            judged, changed = judging.settled(judge, before, {}, answer)
            judged.published(now, strangers=others)
            return ids, judged, changed

    ids, judged, changed = judging.answered(accept, attempt)
    enrolled = [one for one in judged.characters if one.id in ids]
    return Enrolled(enrolled, skipped, len(judged.identities), changed)


def _check_some(rows: Float32, folder: Path, skipped: Sequence[ImageError]) -> None:
    """Raise if a folder gave no vector, with what was skipped as notes."""
    if len(rows):
        return
    problem = "has no still that can be used, so nobody was enrolled"
    refusal = ImageError(folder, problem, "add better ones")
    for one in skipped:
        refusal.add_note(f"skipped {one}")
    raise refusal


def _check_names(people: Sequence[Person]) -> None:
    first: dict[str, Path] = {}
    for one in people:
        _check_name(one)
        other = first.setdefault(labels.folded(one.name), one.folder)
        if other != one.folder:
            problem = f"is the same name as {other.name}, in another spelling"
            raise ImageError(one.folder, problem, "put their stills into one folder")


def _check_name(person: Person) -> None:
    if problem := labels.against(person.name):
        path = str(person.folder)
        path = path if path.isprintable() else f"{path!a}"
        raise ImageError(path, problem, "rename the folder")


def _all_encoded(
    paths: Iterable[Path], models: Models, settings: Settings, skipped: list[ImageError]
) -> Float32:
    """Return the embeddings of stills, (M, D); errors of unusable ones are added to `skipped`."""
    rows = [np.zeros((0, models.encoder.facts.dimension), np.float32)]
    for path in paths:
        try:
            rows.append(_encoded(path, models, settings))
        except ImageError as problem:
            skipped.append(problem)
    return np.concatenate(rows)


def _encoded(path: Path, models: Models, settings: Settings) -> Float32:
    """Return the embedding of the one face in a still, (1, D)."""
    faces = still_faces(models, stills.read(path), settings)
    sure = faces.detections.scores >= settings.link.min_score
    if not sure.any():
        raise ImageError(path, "shows no face", "crop it around one face, or leave it out")
    if sure.sum() > 1:
        raise ImageError(path, f"shows {sure.sum()} faces", "crop it around one of them")
    return encoders.encode(models.encoder, faces.chips[sure])


def _with_gallery(library: Library, gallery: Mapping[str, Float32]) -> tuple[set[int], Cast]:
    """Return the ids of the gallery's characters, and everybody known, these included."""
    known = {one.id: one for one in read.read_characters(library)}
    ids, next_id = set[int](), library.next_character_id
    for name, prototypes in gallery.items():
        people = list(known.values())
        found = [people[n] for n in labels.called(name, [one.label for one in people])]
        clear = affinity.CLEAR_PX * len(prototypes)
        if len(found) > 1:
            problem = f"more than one character is called {name!r}"
            names = ", ".join(one.label for one in found)
            raise StoreError(library.root, problem, f"spell it as one of them: {names}")
        if found:
            new = dataclasses.replace(found[0], prototypes=prototypes, clear_px=clear)
        else:
            new = Character(next_id, name, True, prototypes, 1.0, 1.0, 1.0, 0, 0, clear)  # noqa: FBT003
            next_id += 1
        known[new.id] = new
        ids.add(new.id)
    return ids, Cast(list(known.values()), [], next_id, next_person=library.next_person)
