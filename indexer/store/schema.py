"""What a library folder holds: the names of its files, their columns, and how ids are made."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from indexer.errors import StoreError

SCHEMA_VERSION = 2
"""Raised when older versions of this project could no longer read what is written."""

LIBRARY = "library.json"
CHARACTERS = "characters.parquet"
APPEARANCES = "appearances.parquet"
DECISIONS = "decisions.jsonl"
STRANGERS = "strangers.parquet"
INDEX = "tracks.faiss"
EPISODES = "episodes"
MANIFEST = "manifest.json"
SHOTS = "shots.parquet"
FRAMES = "frames.parquet"
TRACKS = "tracks.parquet"
FACES = "faces.parquet"
IDENTITIES = "identities.parquet"
REPEATS = "repeats.parquet"
EPISODE_TABLES = (SHOTS, FRAMES, TRACKS, FACES, IDENTITIES, REPEATS)
THUMBNAILS = "thumbnails"
AUDIT = "audit"
"""Metadata key of the identities table: the `Audit` of the episode, as JSON."""

VIDEO_KEYS = (
    "path",
    "sha256",
    "width",
    "height",
    "rotation",
    "frames",
    "duration_s",
    "time_base",
)
"""Keys of "video" in a manifest, and in the timeline."""

_COLOURS = 512
"""Bins of the histograms of `indexer.clothes`."""
_MAX_TRACKS = 1 << 20
_DIGITS = 8
_MAX_SLUG = 60  # characters of up to four bytes: a file name may have 255 bytes


def episode_id(path: Path, sha256: str) -> str:
    """Return the episode's id: the slug of the video's stem, "-", 8 digits of its sha256."""
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", path.stem).lower())
    return f"{words.strip('-')[:_MAX_SLUG].strip('-') or 'video'}-{_head(sha256)}"


def track_uid(sha256: str, ordinal: int) -> int:
    """Return the uid of an episode's track: 32 bits of the video's sha256, 20 of the ordinal.

    Raises:
        StoreError: the episode has more tracks than there are uids.
    """
    if ordinal < 0:
        raise ValueError(f"ordinal: expected at least 0, got {ordinal}")
    if ordinal >= _MAX_TRACKS:
        raise StoreError(
            f"sha256 {sha256[:_DIGITS]}",
            f"has more than {_MAX_TRACKS} tracks",
            "cut the video in parts, or raise link.min_score",
        )
    return int(_head(sha256), 16) << 20 | ordinal


def uid_digits(uid: int) -> str:
    """Return the 8 hexadecimal digits that a track's uid shares with its episode's id."""
    return f"{uid >> 20:0{_DIGITS}x}"


def id_digits(episode: str) -> str:
    """Return the 8 digits with which an episode's id ends."""
    return episode[-_DIGITS:]


def _head(sha256: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"sha256: expected 64 lower-case hexadecimal digits, got {sha256!r}")
    return sha256[:_DIGITS]


def table_schema(name: str, dimension: int) -> pa.Schema:
    """Return the columns of the table kept in the file `name`, each with a description.

    Args:
        name: CHARACTERS, APPEARANCES, STRANGERS, SHOTS, FRAMES, TRACKS, FACES, IDENTITIES or
            REPEATS.
        dimension: of the embeddings.
    """
    vector = pa.list_(pa.float32(), dimension)
    fields = []
    for line in _COLUMNS[name].strip().splitlines():
        column, kind, description = (part.strip() for part in line.split("|"))
        arrow = {
            "int64": pa.int64(),
            "float32": pa.float32(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "string": pa.string(),
            "box": pa.list_(pa.float32(), 4),
            "landmarks": pa.list_(pa.float32(), 10),
            "colours": pa.list_(pa.float32(), _COLOURS),
            "ends": pa.list_(pa.float32(), 8),
            "float32s": pa.list_(pa.float32()),
            "int64s": pa.list_(pa.int64()),
            "vector": vector,
            "vectors": pa.list_(vector),
        }[kind]
        fields.append(
            pa.field(column, arrow, nullable=False, metadata={"description": description})
        )
    return pa.schema(fields)


SINCE = {CHARACTERS: {"clear_px": 24.0}}
"""Columns that older tables lack, and the value assumed for them: `clear_px` as of one face at half
of full clarity, since people who were seen more clearly are rarely recognised again wrongly."""


def stamp(encoder_id: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of every table: schema version, encoder id and resolved settings."""
    return {
        "schema_version": str(SCHEMA_VERSION),
        "encoder_id": encoder_id,
        "settings": json.dumps(settings, sort_keys=True),
    }


_COLUMNS = {
    CHARACTERS: """
        id | int64 | counts from 1, never reused; 0 stands for nobody known
        label | string | the name, or Person 3
        named | bool | false for a person nobody has named yet
        prototypes | vectors | unit vectors: a named character's stills, or an unnamed one's mean
        threshold | float64 | minimum similarity at which the name is given
        slope | float64 | log-odds per unit of similarity above the midpoint
        midpoint | float64 | the similarity at which character and stranger are equally likely
        genuine | int64 | held-out genuine scores behind the calibration
        impostors | int64 | impostor scores behind it; not used if the encoder has a yardstick
        clear_px | float64 | clarity of all faces together: the width in px of one equally clear
    """,
    APPEARANCES: """
        track | int64 | uid of the track
        shot | int64 | the shot that the track is in
        start_s | float64 | when the track's first frame is shown, in seconds
        end_s | float64 | when its last frame leaves the screen, in seconds
        character | int64 | id of the character, 0 for nobody known
        probability | float64 | that the character is correct; if it is 0, that it is nobody known
        shot_start_s | float64 | when the shot's first frame is shown, in seconds
        shot_end_s | float64 | when its last frame leaves the screen, in seconds
        repeat | bool | whether an earlier episode showed most of the track already
        likely | int64 | where no name is given, id of the most likely named character, else 0
        chance | float64 | the probability of that character, else 0
    """,
    SHOTS: """
        shot | int64 | counts from 0
        start_frame | int64 | first frame of the shot
        end_frame | int64 | last frame, inclusive
        start_s | float64 | when the first frame is shown, in seconds
        end_s | float64 | when the last frame leaves the screen, in seconds
    """,
    FRAMES: """
        frame | int64 | counts from 0 in presentation order
        pts | int64 | presentation time in ticks of the video's time base
        time_s | float64 | presentation time in seconds, 0 where the container starts
        shot | int64 | the shot that the frame is in
        hash | int64 | perceptual hash of the picture, 63 bits; 0 for a blank one
    """,
    TRACKS: """
        uid | int64 | unique in the library, below 2**53
        shot | int64 | the shot that the track is in
        start_frame | int64 | first frame of the track
        end_frame | int64 | last frame, inclusive
        start_s | float64 | when the first frame is shown, in seconds
        end_s | float64 | when the last frame leaves the screen, in seconds
        detections | int64 | boxes that the detector found; the rest were filled in
        score | float64 | mean detector score of the detections, 0 to 1
        width_px | float64 | median width of the detected boxes, in pixels
        quality | float32s | of each exemplar, 0 to 1, descending
        exemplar_frames | int64s | the frame of each exemplar
        embeddings | vectors | unit vectors, one for each exemplar
        embedding | vector | their weighted mean, a unit vector; faces read poorly weigh less
        clothes | colours | colours of the clothes, as a unit vector; 0 if never seen
        ends | ends | its first and its last box, as shares of the picture's width and height
        views | int64s | perceptual hashes of its first and its last picture
    """,
    FACES: """
        track | int64 | uid of the face's track
        frame | int64 | the frame that the face is in
        box | box | x0, y0, x1, y1 in pixels of the displayed frame; may reach outside it
        landmarks | landmarks | x, y of left eye, right eye, nose, left and right mouth corner
        score | float32 | the detector's score, 0 to 1; interpolated where the box is
        detected | bool | false where the box was filled in between two detections
    """,
    IDENTITIES: """
        track | int64 | uid of the track
        character | int64 | id of the character, 0 for nobody known
        probability | float64 | that the character is correct; if it is 0, that it is nobody known
        similarity | float64 | cosine to the character's prototypes
        margin | float64 | probability of the name, or of no name, minus the next one's
        runner_up | int64 | id of the most likely other named character, 0 for none
        by_face | float64 | the probability by the track's own faces alone
        link | int64 | uid of the track that helped most, by face and clothes, 0 for none
        reason | string | why no name is given; empty if one is
        second | int64 | if no name is given, id of the next likely after runner_up, else 0
        nobody | float64 | the probability, as judged, that the track shows nobody who has a name
    """,
    STRANGERS: """
        embedding | vector | unit vector: a still of somebody not in the gallery
    """,
    REPEATS: """
        shot | int64 | the shot that an earlier episode showed in part or in full
        start_frame | int64 | first frame that it showed
        end_frame | int64 | last frame that it showed, in the same shot
        episode | string | id of the earlier episode
        their_start_frame | int64 | its frame that matches start_frame; the following ones match too
        distance | float64 | mean number of bits, of 63, in which the frame hashes differ
        tracks | int64s | uids of the tracks whose faces are the same in both
        their_tracks | int64s | uids of the same tracks in the earlier episode
    """,
}
