"""A recipe: everything that a run depends on but its data, in a TOML file.

The table ``[fit]`` is `training.fit.Schedule`, ``[views]`` `training.views.ViewSettings`, and the
table named like the method is that method's own settings. An unknown name is refused.
"""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from indexer.config import Share
from indexer.errors import ConfigError
from training.fit import Schedule
from training.methods.arcface import ArcFaceSettings
from training.methods.contrastive import ContrastiveSettings
from training.methods.distil import DistilSettings
from training.methods.landmarks import LandmarkSettings
from training.methods.multilabel import MultiLabelSettings
from training.methods.siamese import SiameseSettings
from training.methods.simclr import SimClrSettings
from training.methods.tracks import TrackSettings
from training.views import ViewSettings

_STRICT = ConfigDict(extra="forbid", frozen=True)
_SHIPPED = resources.files("training") / "recipes"


@dataclass(config=_STRICT)
class Data:
    """Which people are trained on, and which are kept for measuring: the table ``[data]``."""

    validation: Share = 0.1
    """Of the people."""
    test: Share = 0.3
    least: Annotated[int, Field(ge=1)] = 2
    """Photos that somebody needs to be trained on."""
    most: Annotated[int, Field(ge=1)] = 40
    """Photos of one person that are taken."""
    faces: Annotated[int, Field(ge=0)] = 0
    """To train on, at most; 0 takes all."""
    without: str = ""
    """A file of people not to be trained on, as they are another test's: names, one in a line, or
    LFW's pairs. It may be in the folder of the faces."""
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            shares = f"{self.validation} and {self.test}"
            raise ValueError(f"validation and test: expected less than 1 together, got {shares}")


@dataclass(config=_STRICT)
class Start:
    """What the encoder begins with: the table ``[start]``."""

    weights: str = ""
    """As ``embed.weights``, or ``scratch``; a run's folder means the encoder it exported."""
    network: str = "resnet18"
    """Of one from scratch: resnet18, resnet50, resnet29, or sface at 112 px."""
    size: Annotated[int, Field(ge=32)] = 112
    """Side of its crops, in pixels."""
    frozen: Annotated[int, Field(ge=0)] = 0
    """Blocks from the input on that are not trained, nor are the statistics of their
    normalisation."""
    settled: bool = False
    """Whether normalisation stays as it was, and nothing is dropped: the faces that an encoder
    learnt from tell more of both than a few spoilt ones."""
    kept: Share = 0.0
    """Of the first weights, in those that come out: the mean of both forgets less of what it knew
    (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, eq. 1)."""


@dataclass(config=_STRICT)
class Recipe:
    """One run."""

    method: Literal[
        "simclr",
        "arcface",
        "contrastive",
        "distil",
        "siamese",
        "landmarks",
        "multilabel",
        "tracks",
    ]
    fit: Schedule
    data: Data = Data()
    start: Start = Start()
    views: ViewSettings = ViewSettings()
    simclr: SimClrSettings = SimClrSettings()
    arcface: ArcFaceSettings = ArcFaceSettings()
    contrastive: ContrastiveSettings = ContrastiveSettings()
    distil: DistilSettings = DistilSettings()
    siamese: SiameseSettings = SiameseSettings()
    landmarks: LandmarkSettings = LandmarkSettings()
    multilabel: MultiLabelSettings = MultiLabelSettings()
    tracks: TrackSettings = TrackSettings()


def shipped() -> list[str]:
    """Return the names of the recipes that come with the project."""
    return sorted(file.name[:-5] for file in _SHIPPED.iterdir() if file.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """Return a recipe by the name of a shipped one, or by its file.

    Raises:
        ConfigError: there is no such recipe, or it does not say what a recipe says.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in shipped():
            raise ConfigError(name, "no such recipe", f"name a file or {', '.join(shipped())}")
        path = Path(str(_SHIPPED / f"{name}.toml"))
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(Recipe).validate_python(tables)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(path, f"cannot be read: {error}", "name a recipe's TOML file") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        remedy = "see training/recipe.py"
        raise ConfigError(path, f"{where}: {first['msg']}", remedy) from error


def as_json(recipe: Recipe) -> str:
    """Return what a recipe says, in full: its tables but those of other methods."""
    tables: dict[str, Any] = TypeAdapter(Recipe).dump_python(recipe)
    methods = set(Recipe.__annotations__) - {"method", "fit", "data", "start", "views"}
    said = {k: v for k, v in tables.items() if k not in methods - {recipe.method}}
    return json.dumps(said, indent=1) + "\n"


def says(text: str, recipe: Recipe) -> bool:
    """Return whether a text is what `as_json` says of a recipe.

    Or said before there were all settings, if those since are as if they were not there.
    """
    try:
        return as_json(TypeAdapter(Recipe).validate_json(text)) == as_json(recipe)
    except ValidationError:
        return False
