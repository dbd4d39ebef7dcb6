"""Whether a library is whole: what opening a file does not check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from indexer import labels
from indexer.errors import StoreError
from indexer.records import UNKNOWN
from indexer.store import appearances, decisions, nearest, read, schema, tables
from indexer.store.library import Library


def verify(library: Library) -> list[str]:
    """Return what is wrong with the library, a line each; none if it is whole."""
    problems = [*_tried(_check_library, library, ""), *_tried(_check_appearances, library, "")]
    for episode in read.episodes(library):
        for check in _CHECKS:
            problems += _tried(check, library, episode)
    return list(dict.fromkeys(problems))  # a file that several checks read is one problem


def _tried(check: Callable[[Library, str], Iterator[str]], library: Library, one: str) -> list[str]:
    """Return the problems that a check finds; a file that it cannot read is one of them."""
    where = library.episode(one) if one else library.root
    found = []
    try:
        for problem in check(library, one):
            found.append(f"{where}: {problem}")
    except StoreError as error:
        found.append(str(error))
    return found


def _check_library(library: Library, _: str) -> Iterator[str]:
    owners = Counter(schema.id_digits(one) for one in read.episodes(library))
    for digits, count in owners.items():
        if count > 1:
            yield f"{count} episodes whose ids end with {digits} have the same track uids"
    people = read.read_characters(library)
    ids = [one.id for one in people]
    if len(set(ids)) < len(ids) or max(ids, default=0) >= library.next_character_id:
        yield f"{schema.CHARACTERS}: ids are not unique, or not below the next one"
    if labels.next_person((one.label for one in people), 1) > library.next_person:
        yield f"{schema.CHARACTERS}: numbers of people without a name are not below the next one"
    decisions.read_decisions(library)
    uids = tables.integers_of(appearances.of_library(library)["track"])
    if library.revision and not nearest.agrees(library, uids):
        yield f"{schema.INDEX} does not match the tracks; delete it, and it will be rebuilt"


def _check_appearances(library: Library, _: str) -> Iterator[str]:
    if not appearances.agrees(library):
        yield f"{schema.APPEARANCES} does not match the tracks; delete it, and it will be rebuilt"


def _check_manifest(library: Library, episode: str) -> Iterator[str]:
    manifest = read.read_manifest(library, episode)
    if manifest.get("episode") != episode or manifest.get("encoder_id") != library.encoder_id:
        yield f"{schema.MANIFEST} is of another episode or encoder"


def _check_frames(library: Library, episode: str) -> Iterator[str]:
    frames = read.read_table(library, library.episode(episode) / schema.FRAMES)
    expected = read.read_manifest(library, episode)["video"]["frames"]
    if not np.array_equal(tables.integers_of(frames["frame"]), np.arange(expected)):
        yield f"{schema.FRAMES}: frames are not numbered from 0 to {expected - 1}"
    if np.any(np.diff(frames["time_s"].to_numpy()) < 0):
        yield f"{schema.FRAMES}: time runs backwards"
    shots = read.read_shots(library, episode)
    ends = [-1, *(one.end_frame for one in shots)]
    starts = [*(one.start_frame for one in shots), expected]
    if any(end + 1 != start for end, start in zip(ends, starts, strict=True)):
        yield f"{schema.SHOTS}: shots do not follow one another from the first frame to the last"
    if any(one.shot + 1 != two.shot for one, two in pairwise(shots)):
        yield f"{schema.SHOTS}: shots are not numbered in their order"


def _check_tracks(library: Library, episode: str) -> Iterator[str]:
    tracks = read.read_table(library, library.episode(episode) / schema.TRACKS)
    uids = tracks["uid"].to_pylist()
    if len(set(uids)) < len(uids):
        yield f"{schema.TRACKS}: a uid occurs twice"
    if any(schema.uid_digits(uid) != schema.id_digits(episode) for uid in uids):
        yield f"{schema.TRACKS}: a uid is not this episode's"
    missing = [uid for uid in uids if not library.thumbnail(episode, uid).is_file()]
    if missing:
        yield f"{schema.THUMBNAILS}: {len(missing)} are missing, the first is {missing[0]}.jpg"


def _check_faces(library: Library, episode: str) -> Iterator[str]:
    folder = library.episode(episode)
    for column in ("box", "landmarks", "score", "detected"):
        read.read_table(library, folder / schema.FACES, [column])  # read for its checksums
    wrong = read.ask(
        """
        SELECT count(*) AS tracks FROM (
            SELECT track, min(frame) AS start_frame, max(frame) AS end_frame,
                   count(DISTINCT frame) AS faces
            FROM faces GROUP BY track
        ) AS seen FULL JOIN tracks ON uid = track
        WHERE uid IS NULL OR track IS NULL OR seen.start_frame <> tracks.start_frame
           OR seen.end_frame <> tracks.end_frame OR faces <> seen.end_frame - seen.start_frame + 1
        """,
        faces=read.read_table(library, folder / schema.FACES, ["track", "frame"]),
        tracks=read.read_table(
            library, folder / schema.TRACKS, ["uid", "start_frame", "end_frame"]
        ),
    )["tracks"][0].as_py()
    if wrong:
        yield f"{schema.FACES}: {wrong} tracks do not have a face in each of their frames"


def _check_names(library: Library, episode: str) -> Iterator[str]:
    identities = read.read_identities(library, episode)
    path = library.episode(episode) / schema.TRACKS
    uids = read.read_table(library, path, ["uid"])["uid"].to_pylist()
    if sorted(one.track for one in identities) != sorted(uids):
        yield f"{schema.IDENTITIES}: not every track has one identity"
    known = {UNKNOWN, *(one.id for one in read.read_characters(library))}
    gone = sorted({one.character for one in identities} - known)
    if gone:
        yield f"{schema.IDENTITIES}: the library has no characters {gone}"


def _check_repeats(library: Library, episode: str) -> Iterator[str]:
    shots = {one.shot: one for one in read.read_shots(library, episode)}
    known, last = set(read.episodes(library)), -1
    for one in read.read_repeats(library, episode):
        if one.episode not in known:
            yield f"{schema.REPEATS}: the library has no {one.episode}; index this one again"
        shot = shots.get(one.shot)
        if (
            shot is None
            or not shot.start_frame <= one.start_frame <= one.end_frame <= shot.end_frame
        ):
            yield f"{schema.REPEATS}: a stretch from frame {one.start_frame} is not in its shot"
        if one.start_frame <= last:
            yield f"{schema.REPEATS}: a stretch from frame {one.start_frame} overlaps another"
        last = one.end_frame


_CHECKS = (
    _check_manifest,
    _check_frames,
    _check_tracks,
    _check_faces,
    _check_names,
    _check_repeats,
)
