"""Where photos of people come from: LFW's archive, or a folder of stills per person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from indexer import stills
from indexer.errors import ImageError
from indexer.progress import Progress
from training import lfw
from training.synthesize.heads import Detect, Head, head_of, read_head
from training.synthesize.truth import Skipped


def names(source: Path) -> dict[str, list[str]]:
    """Return the names of everybody's photos; none is decoded.

    Raises:
        ImageError: the source is neither LFW's archive nor a folder of people, or holds nobody.
    """
    if lfw.archive_of(source).is_file():
        return lfw.people(source)
    people = stills.people(source)
    return {one.folder.name: [path.name for path in one.paths] for one in people if one.paths}


def read_heads(
    source: Path, wanted: Mapping[str, Collection[str]], detect: Detect, progress: Progress
) -> tuple[dict[str, list[Head]], list[Skipped]]:
    """Return the heads in some photos, and the photos that were skipped as unusable.

    Args:
        source: as of `names`.
        wanted: the photos of each person.
        detect: finds the faces in a photo.
        progress: shows how far it is.
    """
    heads: dict[str, list[Head]] = {name: [] for name in wanted}
    skipped = []
    count = sum(map(len, wanted.values()))
    archive = lfw.archive_of(source).is_file()
    every_name = {photo for group in wanted.values() for photo in group}
    every = (
        ((photo.person, photo.name, photo.pixels) for photo in lfw.some_photos(source, every_name))
        if archive
        else ((name, photo, None) for name, group in wanted.items() for photo in sorted(group))
    )
    for name, photo, pixels in progress(every, total=count, what="photos"):
        try:
            heads[name].append(
                read_head(source / name / photo, name, detect)
                if pixels is None
                else head_of(pixels, f"{name}/{photo}", detect)
            )
        except ImageError as error:
            skipped.append(Skipped(f"{name}/{photo}", error.problem))
    return heads, skipped
