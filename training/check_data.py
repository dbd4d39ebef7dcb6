"""A folder of data in, all that is wrong with it out; nothing is changed.

Data are annotated pictures in any format of `annotate`, a folder of photos per person, or photos
of nobody in particular.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from indexer import stills
from indexer.errors import ImageError
from indexer.progress import Progress, silent
from training import annotate, duplicates, lfw
from training.annotations import SPLITS, AnnotatedStill, AnnotatedStills
from training.duplicates import Fingerprint
from training.pictures import SUFFIXES, is_picture, visible

_OUTSIDE_PX = 1.0
"""How far a box may reach outside the picture: annotation tools round."""
_SAME_FORMAT = {"MPO": "JPEG"}
_PAPERS = ("readme", "license")
"""Files whose names begin like this accompany data and are not reported."""
_KEPT_FIRST = ("test", "calibration", "val", "train", "")
"""Of a picture in two splits, the copy for measuring is kept, not the one for training."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    path: Path
    problem: str
    remedy: str
    files: tuple[Path, ...]
    """The files to quarantine, which solves the problem; none where that would not help."""


@dataclass(frozen=True, slots=True)
class Member:
    """A picture of the data."""

    path: Path
    group: str
    """Its split, or its person in a folder of people; "" for neither."""
    labels: Path | None
    """The file with its annotations, if it has one of its own."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the picture and its labels, which are useless without each other."""
        return (self.path,) if self.labels is None else (self.path, self.labels)


@dataclass(frozen=True, slots=True)
class Checked:
    """How much data there is, and what is wrong with it."""

    pictures: int
    findings: tuple[Finding, ...]
    """In order of path."""


def check(
    source: Path, least: int, progress: Progress = silent, *, expect_empty: bool = False
) -> Checked:
    """Return what is wrong with the data.

    Args:
        source: of annotated pictures, or a folder of photos.
        least: pictures that each label needs in each split, or each person in all.
        progress: shows how far it is.
        expect_empty: whether pictures annotated as showing nobody are intended.

    Raises:
        ImageError: the source holds no pictures at all, or LFW's archive.
    """
    annotated = annotate.is_annotated(source)
    findings: list[Finding] = []
    if annotated:
        members = _of_annotated(source)
        findings += _annotations(source, members, least, expect_empty=expect_empty)
        findings += _left_over(source, members)
    else:
        _refuse_archive(source)
        members = _of_folder(source)
        findings += [*_ignored(source), *_few_photos(source, members, least)]
    if not members:
        raise ImageError(source, "holds no pictures", f"name a folder of {', '.join(SUFFIXES)}")
    looked, prints = [], []
    for member in progress(members, total=len(members), what="pictures"):
        seen, problems = _look(member)
        findings += problems
        if seen is not None:
            looked.append(member)
            prints.append(seen)
    findings += _copies(looked, prints, people=not annotated)
    return Checked(len(members), tuple(sorted(findings, key=lambda one: (one.path, one.problem))))


def _of_annotated(source: Path) -> list[Member]:
    table = annotate.table_of(source)
    return [
        Member(one.picture, one.split, None if table else one.labels)
        for one in annotate.listed(source)
    ]


def _of_folder(source: Path) -> list[Member]:
    found = sorted(path for path in (*source.glob("*"), *source.glob("*/*")) if is_picture(path))
    groups = ["" if path.parent == source else path.parent.name for path in found]
    return [Member(path, group, None) for path, group in zip(found, groups, strict=True)]


def _refuse_archive(source: Path) -> None:
    """Raise if the photos are in LFW's archive, out of which no file can be moved."""
    archive = lfw.archive_of(source)
    if archive.is_file():
        remedy = f"tar -xf {archive.name}, and name the folder that comes out"
        raise ImageError(
            archive, "is LFW's archive, whose photos are checked when unpacked", remedy
        )


def _ignored(source: Path) -> Iterator[Finding]:
    """Yield the files of a folder of people that would be left out silently.

    Texts in the folder itself, such as LFW's pairs, are about it and are not reported.
    """
    for path in visible(source):
        deep = len(path.relative_to(source).parts)
        if is_picture(path):
            if deep > 2:  # noqa: PLR2004
                remedy = "move it into the folder of a person"
                yield Finding(path, "is left out: its folder is too deep", remedy, (path,))
        elif not (_is_paper(path) or (deep == 1 and path.suffix == ".txt")):
            yield _no_picture(path)


def _left_over(source: Path, members: Sequence[Member]) -> Iterator[Finding]:
    """Yield the files of an annotated folder that do not belong to its annotations."""
    if source.is_file():
        return
    used = [path for member in members for path in member.files] + annotate.own_files(source)
    known = {os.path.realpath(path) for path in used}
    for path in visible(source):
        if os.path.realpath(path) in known or _is_paper(path) or path.suffix == ".cache":
            continue
        if is_picture(path):
            remedy = "annotate it, or put it elsewhere"
            yield Finding(path, "is left out: nothing says who is in it", remedy, (path,))
        elif path.suffix == ".txt":
            remedy = "restore the picture, or put this file elsewhere"
            yield Finding(path, "is left out: no picture has its name", remedy, (path,))
        else:
            yield _no_picture(path)


def _is_paper(path: Path) -> bool:
    return path.name.lower().startswith(_PAPERS)


def _no_picture(path: Path) -> Finding:
    remedy = f"convert it to one of {', '.join(SUFFIXES)}, or put it elsewhere"
    return Finding(path, "is left out: its name is not a picture's", remedy, (path,))


def _few_photos(source: Path, members: Sequence[Member], least: int) -> Iterator[Finding]:
    counts = Counter(member.group for member in members if member.group)
    if counts:  # a folder for each person, and some may be empty
        folders = (one.name for one in source.iterdir() if one.is_dir())
        counts.update({name: 0 for name in folders if not name.startswith(".")})
    for person, count in counts.items():
        if count < least:
            problem = f"has {count} photos, but needs {least}"
            yield Finding(source / person, problem, "add photos, or leave the person out", ())


def _annotations(
    source: Path, members: Sequence[Member], least: int, *, expect_empty: bool
) -> list[Finding]:
    of_file = {path: member for member in members for path in member.files}
    found: list[Finding] = []

    def note(error: ImageError) -> None:
        member = of_file.get(Path(error.path))
        files = member.files if member else ()
        found.append(Finding(Path(error.path), error.problem, error.remedy, files))

    read = annotate.read_source(source, note)
    # Pictures that cannot be opened are left to `_look`, which gives a better reason.
    known = {member.path for member in members}
    found = [one for one in found if one.path not in known]
    for still in read.stills:
        files = of_file[still.path].files
        for problem, remedy in _boxes(read, still, expect_empty=expect_empty):
            found.append(Finding(still.path, problem, remedy, files))
    return [*found, *_few_labels(source, read, least)]


def _boxes(
    read: AnnotatedStills, still: AnnotatedStill, *, expect_empty: bool
) -> Iterator[tuple[str, str]]:
    """Yield each problem with the faces of a picture, and its remedy."""
    if len(still.classes) == 0 and not expect_empty:
        yield "has no label", "annotate it; if nobody is in it, use --expect-empty"
    edges = np.array([still.width, still.height] * 2)
    for number, box in zip(still.classes, still.boxes, strict=True):
        name = read.names[number]
        if (box[2:] <= box[:2]).any():
            yield f"{name}'s box has no area", "draw the box again"
        elif (box < -_OUTSIDE_PX).any() or (box > edges + _OUTSIDE_PX).any():
            yield f"{name}'s box reaches outside the picture", "draw the box again"


def _few_labels(source: Path, read: AnnotatedStills, least: int) -> Iterator[Finding]:
    labels = annotate.label_table(read)
    present = {still.split for still in read.stills}
    for split in (one for one in (*SPLITS, "") if one in present):
        rows = [still.split == split for still in read.stills]
        where = f" of {split}" if split else ""
        for name, count in zip(read.names, labels[rows].sum(axis=0), strict=True):
            if count < least:
                problem = f"{name} is in {count} pictures{where}, but needs {least}"
                yield Finding(source, problem, "annotate more, or leave the label out", ())


def _look(member: Member) -> tuple[Fingerprint | None, list[Finding]]:
    """Return the fingerprint of a picture, None if it cannot be read, and what is wrong with it."""
    path = member.path
    try:
        pixels = stills.read(path)
    except ImageError as error:
        return None, [Finding(path, error.problem, error.remedy, member.files)]
    with Image.open(path) as image:
        found = _SAME_FORMAT.get(str(image.format), str(image.format))
    said = Image.registered_extensions().get(path.suffix.lower(), found)
    wrong = []
    if found != said:
        problem, remedy = f"is a {found} named {path.suffix}", f"rename it to .{found.lower()}"
        wrong = [Finding(path, problem, remedy, member.files)]
    return duplicates.fingerprint(path, pixels), wrong


def _copies(
    members: Sequence[Member], prints: Sequence[Fingerprint], *, people: bool
) -> Iterator[Finding]:
    """Yield the pictures of which there is another copy.

    Identical files are always reported. Pictures that only look the same may be two frames of a
    scene: they are reported across splits or people, or where there are neither.
    """
    files = np.unique([one.sha256 for one in prints], return_inverse=True)[1]
    groups = np.unique([one.group for one in members], return_inverse=True)[1]
    loose = np.array([not one.group for one in members], bool)
    told = np.zeros(len(members), bool)
    for pairs in duplicates.alike(np.array([one.look for one in prints], np.uint8).reshape(-1, 32)):
        first, second = pairs.T
        same, across = files[first] == files[second], groups[first] != groups[second]
        wrong = (same | across | loose[first]) & ~(told[first] & told[second])
        for row in np.flatnonzero(wrong)[np.argsort(~same[wrong], kind="stable")]:
            i, j = pairs[row].tolist()
            how = "is the same file as" if same[row] else "looks the same as"
            both = people and across[row]  # only a human can tell whose it is
            for gone, kept in [(i, j), (j, i)] if both else [_ranked(members, i, j)]:
                if not told[gone]:
                    told[gone] = True
                    yield _copy(members[gone], members[kept], how)


def _ranked(members: Sequence[Member], i: int, j: int) -> tuple[int, int]:
    """Return which of two copies is to go and which to stay."""
    splits = [members[row].group for row in (i, j)]
    first, second = (_KEPT_FIRST.index(one) if one in _KEPT_FIRST else 0 for one in splits)
    return (j, i) if first <= second else (i, j)


def _copy(gone: Member, kept: Member, how: str) -> Finding:
    where = f" of {kept.group}" if kept.group != gone.group and kept.group else ""
    return Finding(gone.path, f"{how} {kept.path}{where}", "keep one of the two", gone.files)
