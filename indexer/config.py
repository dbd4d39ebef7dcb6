"""Every setting, its default and its range, stated once: a frozen dataclass for each stage.

A TOML file has a table for each stage (``[detect]``, ``every_s = 0.2``); ``--set
detect.every_s=0.2`` does the same for one value and wins. An unknown name is refused with the
names that exist.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from indexer.errors import ConfigError

_STRICT = ConfigDict(extra="forbid", frozen=True)
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Method = Literal["yunet", "mtcnn"]
"""What finds faces."""


@dataclass(config=_STRICT)
class DecodeSettings:
    """How a video is read."""

    backend: Literal["pyav", "decord"] = "pyav"
    """PyAV, or decord, which refuses what it cannot read correctly."""
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Decoder threads."""
    frames: Literal["all", "reference"] = "all"
    """All frames, or only reference frames, those that others are decoded from, in about a fifth
    less time."""

    @model_validator(mode="after")
    def _can_choose(self) -> Self:
        if self.frames != "all" and self.backend != "pyav":
            raise ValueError("decord decodes all frames: set decode.backend=pyav")
        return self


@dataclass(config=_STRICT)
class ShotSettings:
    """PySceneDetect's adaptive detector, and what counts as a frame worth looking at."""

    adaptive_threshold: Positive = 3.0
    """At a cut, the least ratio of a frame's change to the average change of its neighbours."""
    min_change: Positive = 10.0
    """At a cut, the least mean change of hue, saturation and value, in levels of 255."""
    window: Count = 2
    """Frames on each side that are averaged."""
    min_length_s: Positive = 0.2
    """A shot is at least this long."""
    min_contrast: NotNegative = 4.0
    """A frame whose grey levels have a lower standard deviation (of 255) is blank: not usable."""


@dataclass(config=_STRICT)
class DetectSettings:
    """What finds faces, and when it runs."""

    method: Method = "yunet"
    """YuNet, which sees small, turned and half-hidden faces better, or MTCNN's cascade."""
    every_s: Positive = 0.3
    """Seconds between the frames looked at; the ends of a shot are looked at as well."""
    agree_iou: Share = 0.5
    """A face whose boxes in two looks have a lower IoU, or that one lacks, is sought in between."""
    min_face: Annotated[float, Field(gt=0, le=1)] = 0.04
    """The smallest face sought, as a share of the frame's height."""
    min_score: Share = 0.6
    """The least score of a face that YuNet finds."""
    pyramid_factor: Annotated[float, Field(gt=0.3, lt=1)] = 0.709
    """Of MTCNN: ratio of one pyramid level to the one before."""
    propose_threshold: Share = 0.65
    """Of MTCNN: the least score of a window that the first net proposes."""
    max_overlap: Share = 0.6
    """Of MTCNN: of two windows that overlap more, only the surer goes on to the next net."""
    refine_threshold: Share = 0.7
    """Of MTCNN: the least score of a window that the second net keeps."""
    locate_threshold: Share = 0.7
    """Of MTCNN: the least score of a face that the third net places landmarks in."""
    again_threshold: Share = 0.5
    """The least score of a face that is known from a frame nearby."""
    precision: Literal["f32", "bf16"] = "f32"
    """How a CPU multiplies: in 32 bits, or in bfloat16 if it can, in four fifths of the time."""
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Threads that look at frames; 0 for one a core, or two beside a GPU."""


@dataclass(config=_STRICT)
class LinkSettings:
    """How detections become tracks."""

    min_iou: Share = 0.25
    """The least IoU of a detection with the last or the expected box of its track."""
    max_gap_s: Positive = 1.0
    """A track that was not detected for longer has ended."""
    min_score: Share = 0.7
    """A track whose best detection scores less is dropped as no face; 0.9 suits MTCNN."""


@dataclass(config=_STRICT)
class EmbedSettings:
    """How the faces of a track are encoded."""

    weights: str = ""
    """A weights file; empty for the default encoder, or "sface", "dlib" or "vggface2"."""
    mirrored: bool = True
    """Encode each face and its mirror image: surer, in twice the time."""
    head: str = ""
    """A head's file, learnt from a show's tracks; empty for none."""
    best_faces: Annotated[int, Field(ge=3, le=8)] = 5
    """Faces of a track that are encoded: the best, apart in time."""
    apart_s: NotNegative = 0.35
    """Seconds between two faces that are kept, so that they do not show the same look."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks run; auto takes a GPU if there is one."""


@dataclass(config=_STRICT)
class ClusterSettings:
    """How tracks that nobody named become people."""

    method: Literal["finch", "c1c", "hac"] = "finch"
    """How tracks are joined: each with its nearest, in rounds, those on screen together separated
    at the end (finch) or never joined (c1c); or by average linkage (hac)."""
    min_log_odds: Finite = 1.5
    """Two groups of an episode's tracks are joined if the mean log-odds between them are at least
    this."""
    min_group_log_odds: Finite = 3.0
    """And if the log-odds by all that was seen of each are at least this; likewise a group and an
    unnamed person of an earlier episode."""


@dataclass(config=_STRICT)
class RecognizeSettings:
    """When a name is given."""

    max_wrong_names: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """The promise: the largest share of the named time that may be wrong, and the largest
    probability that a single name is; 6 % of it is aimed at."""
    min_probability: Annotated[float, Field(gt=0, le=1)] = 0.5
    """No name is given whose probability is less, whatever the promise."""
    evidence: Literal["face", "track", "apart", "clothes", "joint"] = "joint"
    """What names rest on: one face; + its track; + who is on screen with it; + the clothes and
    places of a scene; all together."""
    stranger_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the tracks expected to show none of the gallery: the prior of "unknown"."""


@dataclass(config=_STRICT)
class RepeatSettings:
    """What counts as a shot that was shown before."""

    min_length_s: Positive = 0.5
    """A repeat is at least this long."""
    max_distance: Annotated[float, Field(ge=0, le=7)] = 4.0
    """The most bits, of 63, by which the pictures of a repeated shot differ on average."""


@dataclass(config=_STRICT)
class StoreSettings:
    """How the library is kept."""

    lock_wait_s: NotNegative = 60.0
    """How long a run waits for another that is publishing into the same library; one that has
    indexed a video says so then, and waits on."""


@dataclass(config=_STRICT)
class Settings:
    """All settings, a table for each stage."""

    decode: DecodeSettings = DecodeSettings()
    shots: ShotSettings = ShotSettings()
    detect: DetectSettings = DetectSettings()
    link: LinkSettings = LinkSettings()
    embed: EmbedSettings = EmbedSettings()
    cluster: ClusterSettings = ClusterSettings()
    recognize: RecognizeSettings = RecognizeSettings()
    repeats: RepeatSettings = RepeatSettings()
    store: StoreSettings = StoreSettings()


def load(path: Path | None, overrides: Sequence[str] = ()) -> Settings:
    """Return the settings of a TOML file (or the defaults) with ``stage.key=value`` on top.

    Raises:
        ConfigError: the file cannot be read, or names or values are not valid.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(path, error.strerror or "cannot be read", "check --config") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(path, f"is not TOML: {error}", "correct the file") from error
        _check(path, tables)
    for override in overrides:
        one = _parse_override(override)
        _check(f"--set {override}", one)
        for stage, values in one.items():
            tables[stage] = {**tables.get(stage, {}), **values}
    return _check("combined settings", tables)


def as_tables(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the settings as plain tables: all of them, by stage and name."""
    return dataclasses.asdict(settings)


def that_matter(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the settings that affect what is written: all but threads, device and waiting."""
    tables = as_tables(settings)
    del tables["store"], tables["decode"]["threads"]
    del tables["detect"]["workers"], tables["embed"]["device"]
    return tables


_JUDGING = ("cluster", "recognize")


def of_looking(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of settings for which, when they change, a video must be looked at again.

    The others only affect who tracks are, which is judged from what is stored of them.
    """
    return {name: table for name, table in tables.items() if name not in _JUDGING}


def of_judging(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other tables: those that only affect who tracks are."""
    return {name: tables[name] for name in _JUDGING if name in tables}


def _parse_override(text: str) -> dict[str, dict[str, Any]]:
    name, equals, value = text.partition("=")
    stage, dot, key = name.strip().partition(".")
    if not (equals and dot and stage and key):
        raise ConfigError(f"--set {text}", "is not STAGE.KEY=VALUE", "as in detect.every_s=0.2")
    try:
        return {stage: {key: tomllib.loads(f"value = {value.strip()}")["value"]}}
    except tomllib.TOMLDecodeError:
        return {stage: {key: value.strip()}}


def _check(where: Path | str, tables: dict[str, Any]) -> Settings:
    try:
        return TypeAdapter(Settings).validate_python(tables)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] != "unexpected_keyword_argument":
            raise ConfigError(
                where,
                f"{name}: {first['msg'].removeprefix('Value error, ')}",
                "see README, Settings",
            ) from error
        names = valid_names()
        if "." not in name:
            names = sorted({known.partition(".")[0] for known in names})
        near = get_close_matches(name, names, n=len(names), cutoff=0.0)
        raise ConfigError(
            where, f"unknown setting {name}", f"settings are: {', '.join(near)}"
        ) from error


def valid_names() -> list[str]:
    """Return every ``stage.key`` there is, sorted."""
    return sorted(f"{stage}.{key}" for stage, keys in as_tables(Settings()).items() for key in keys)
