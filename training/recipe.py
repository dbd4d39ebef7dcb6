"""A recipe: everything that a run depends on except its data, in a TOML file.

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
    """The people to train on and those held out for measuring: the table ``[data]``."""

    validation: Share = 0.1
    """Share of the people, as is ``test``."""
    test: Share = 0.3
    least: Annotated[int, Field(ge=1)] = 2
    """Photos that a person must have to be trained on."""
    most: Annotated[int, Field(ge=1)] = 40
    """Photos of one person that are trained on, at most."""
    faces: Annotated[int, Field(ge=0)] = 0
    """Faces to train on, at most; 0 takes all."""
    without: str = ""
    """A file of people not to train on since another test uses them: names, one per line, or LFW's
    pairs. It may be in the folder of the faces."""
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            shares = f"{self.validation} and {self.test}"
            raise ValueError(f"validation and test: expected less than 1 together, got {shares}")


@dataclass(config=_STRICT)
class Start:
    """What the encoder starts from: the table ``[start]``."""

    weights: str = ""
    """As ``embed.weights``, or ``scratch``; a run's folder means the encoder it exported."""
    network: str = "resnet18"
    """If from scratch: resnet18, resnet50, resnet29, or sface at 112 px."""
    size: Annotated[int, Field(ge=32)] = 112
    """Side of its crops if from scratch, in pixels."""
    frozen: Annotated[int, Field(ge=0)] = 0
    """Blocks, from the input on, whose weights and normalisation statistics are not trained."""
    settled: bool = False
    """Whether batch normalisation is frozen and dropout off: its statistics are of the many faces
    that the encoder was trained on before, and a few distorted ones would make them worse."""
    kept: Share = 0.0
    """Share of the starting weights in the final average with the trained ones, which forgets less
    (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, eq. 1)."""


@dataclass(config=_STRICT)
class Recipe:
    """All settings of a run."""

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
    """Return a recipe, given the name of a shipped one or the path of its file.

    Raises:
        ConfigError: there is no such recipe, or it is not valid.
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
    """Return a recipe as JSON with all its settings, without the tables of other methods."""
    tables: dict[str, Any] = TypeAdapter(Recipe).dump_python(recipe)
    methods = set(Recipe.__annotations__) - {"method", "fit", "data", "start", "views"}
    said = {k: v for k, v in tables.items() if k not in methods - {recipe.method}}
    return json.dumps(said, indent=1) + "\n"


def says(text: str, recipe: Recipe) -> bool:
    """Return whether a text, as of `as_json`, describes this recipe.

    In a text from before some setting existed, that setting counts as its default.
    """
    try:
        return as_json(TypeAdapter(Recipe).validate_json(text)) == as_json(recipe)
    except ValidationError:
        return False
