"""Six synthetic people for demos and tests, made from two public-domain portraits.

The portraits are Eileen Collins (NASA; comes with scikit-image) and Grace Hopper (US Navy; comes
with matplotlib). Each person here is a mixture of the two with the features moved: a little for the
first two, for the others until they resemble nobody real. The recipes are the result of a search
for people whom encoders tell apart and MTCNN finds: by the default encoder, stills of two people
have cosines of at most 0.45 and those of one person above 0.97.

    ada, ben, *_ = write_people(folder, stills=4, seed=0)   # folder/Ada/0.png, folder/Ada/1.png, …
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.interpolate import RBFInterpolator

from indexer.geometry import similarity_transform
from indexer.records import Float32, Float64, UInt8


@cache
def collins() -> UInt8:
    """Return Eileen Collins's portrait, (512, 512, 3): NASA, public domain; of scikit-image."""
    import skimage.data  # noqa: PLC0415  (only synthetic people need it)

    return np.asarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]


@cache
def hopper() -> UInt8:
    """Return Grace Hopper's portrait, (606, 512, 3): US Navy, public domain; of matplotlib."""
    from matplotlib import cbook  # noqa: PLC0415

    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return np.asarray(Image.open(path).convert("RGB"))


_WIDTH, _HEIGHT = 192, 224
"""The frame that portraits are drawn in, in units; a unit has _UNIT pixels."""
_UNIT = 1.5
_STEP = 4
"""Units between the nodes at which warps are computed."""

# Eyes; outer and inner corners from left to right; brows; nose tip, wings, bridge; mouth corners,
# top, bottom; chin; jaw, left and right; beside the chin; cheeks; temples; hairline.
_COLLINS = ((203, 100), (246, 103), (191, 102), (213, 104), (237, 106), (258, 104), (200, 89),
            (250, 93), (223, 128), (214, 129), (234, 130), (224, 106), (203, 140), (244, 141),
            (224, 141), (224, 153), (224, 178), (190, 157), (257, 158), (204, 171), (244, 172),
            (181, 128), (267, 132), (183, 95), (270, 95), (224, 65))  # fmt: skip
_HOPPER = ((220, 188), (304, 186), (196, 190), (244, 192), (282, 190), (330, 188), (212, 168),
           (308, 164), (266, 234), (242, 240), (292, 240), (262, 192), (230, 278), (302, 276),
           (266, 274), (266, 286), (266, 330), (200, 300), (330, 300), (232, 322), (304, 322),
           (172, 250), (354, 246), (172, 184), (360, 180), (264, 136))  # fmt: skip
_FIVE = [0, 1, 8, 12, 13]
"""The eyes, the tip of the nose and the corners of the mouth."""
_TEMPLATE = np.array([(75, 96), (117, 96), (96, 120), (78, 140), (114, 140)], np.float32)
_FRAME = [(x, y) for x in (0, 64, 128, 192) for y in (0, 224)]
_FRAME += [(x, y) for x in (0, 192) for y in (75, 150)]

# The points that each number of `features` moves: {point: (right, down)}, times three units.
_FEATURES: tuple[dict[int, tuple[float, float]], ...] = (
    {0: (-1, 0), 2: (-1, 0), 3: (-1, 0), 6: (-1, 0), 1: (1, 0), 4: (1, 0), 5: (1, 0), 7: (1, 0)},
    {2: (-1, 0), 3: (1, 0), 4: (-1, 0), 5: (1, 0)},  # wide eyes
    {6: (0, 1), 7: (0, 1)},  # low brows
    {9: (-1, 0), 10: (1, 0)},  # a broad nose
    {8: (0, 1), 9: (0, 1), 10: (0, 1)},  # a long nose
    {12: (-1, 0), 13: (1, 0)},  # a wide mouth
    {12: (0, 1), 13: (0, 1), 14: (0, 1), 15: (0, 1)},  # a low mouth
    {14: (0, -0.7), 15: (0, 1)},  # full lips
    {16: (0, 1), 19: (0, 1), 20: (0, 1)},  # a long chin
    {17: (-1, 0), 18: (1, 0), 19: (-0.6, 0), 20: (0.6, 0)},  # a broad jaw
    {21: (-1, 0), 22: (1, 0)},  # broad cheeks
    {23: (-1, 0), 24: (1, 0)},  # broad temples
    {25: (0, 1)},  # a low hairline
    {2: (0, -1), 5: (0, -1), 6: (0, -0.6), 7: (0, -0.6)},  # slanted eyes
)


@dataclass(frozen=True)
class _Recipe:
    shape: float
    """1 for Collins's proportions, -1 for Hopper's; beyond, a caricature."""
    skin: float
    """Share of Collins's portrait in the mixture of pixels."""
    features: tuple[float, ...]
    tint: tuple[float, float, float]
    gamma: float
    smooth: float
    beard: float


_RECIPES = {
    "Ada": _Recipe(
        shape=1.0,
        skin=1.0,
        features=(-0.2, 0.1, 0.9, -0.7, -0.9, 0.9, 0.1, -0.9, 0.9, -0.2, -0.5, 0.7, -0.8, -0.9),
        tint=(0.0, 0.0, 0.0),
        gamma=0.0,
        smooth=0.0,
        beard=0.0,
    ),
    "Ben": _Recipe(
        shape=-0.6,
        skin=0.0,
        features=(0.4, -0.3, 0.6, 0.7, -0.8, -0.5, 0.6, -0.9, 0.1, -0.1, -0.1, 0.4, -0.4, -0.1),
        tint=(0.0, 0.0, 0.0),
        gamma=0.0,
        smooth=0.0,
        beard=0.0,
    ),
    "Cleo": _Recipe(
        shape=-1.4,
        skin=1.0,
        features=(-1.3, -0.5, 1.5, -0.1, 1.0, 0.5, 1.3, -0.2, 0.9, 0.4, 1.7, -1.7, 0.4, 0.3),
        tint=(0.2, 0.6, 0.3),
        gamma=-0.4,
        smooth=0.0,
        beard=0.0,
    ),
    "Dora": _Recipe(
        shape=1.4,
        skin=0.3,
        features=(0.8, 0.0, 0.3, -0.9, -1.2, -0.2, -0.3, 1.7, 0.0, 0.5, -1.4, 1.1, -1.7, 0.7),
        tint=(-0.3, 0.3, 0.0),
        gamma=1.0,
        smooth=0.0,
        beard=0.7,
    ),
    "Emil": _Recipe(
        shape=-0.1,
        skin=0.5,
        features=(-1.7, -0.6, 0.2, 1.3, 0.4, -1.6, -0.9, -0.3, 0.7, 1.0, -0.2, -1.7, 0.1, -0.7),
        tint=(0.5, -0.6, -0.2),
        gamma=0.4,
        smooth=0.7,
        beard=0.5,
    ),
    "Finn": _Recipe(
        shape=1.1,
        skin=1.0,
        features=(-1.3, 1.7, -0.9, 1.7, -1.7, 0.8, 1.2, 1.7, -0.1, 1.2, -0.4, -1.1, -0.3, 1.7),
        tint=(0.6, -0.3, 0.2),
        gamma=1.0,
        smooth=0.8,
        beard=0.4,
    ),
}
NAMES = tuple(_RECIPES)


def write_people(
    folder: Path, *, stills: int, seed: int, names: Sequence[str] = NAMES
) -> list[str]:
    """Write ``Name/0.png`` and so on, the first as drawn, the rest varied; return the names."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, *name.encode()])
        for still in range(stills):
            image = portrait(name) if still == 0 else _photographed(portrait(name), rng)
            Image.fromarray(image).save(folder / name / f"{still}.png", compress_level=1)
    return list(names)


@cache
def portrait(name: str) -> UInt8:
    """Return a synthetic person's face with its surroundings, (336, 288, 3)."""
    recipe = _RECIPES[name]
    first, second = (_aligned(points) for points in (_COLLINS, _HOPPER))
    features = np.zeros((len(first), 2))
    for amount, moves in zip(recipe.features, _FEATURES, strict=True):
        for point, move in moves.items():
            features[point] += 3 * amount * np.array(move)
    target = (first + second) / 2 + recipe.shape * (first - second) / 2 + features
    image = np.zeros((round(_UNIT * _HEIGHT), round(_UNIT * _WIDTH), 3), np.float32)
    if recipe.skin > 0:
        image += recipe.skin * _warped(collins(), _COLLINS, target)
    if recipe.skin < 1:
        image += (1 - recipe.skin) * _warped(hopper(), _HOPPER, target)
    if recipe.smooth > 0:
        image += recipe.smooth * (cv2.bilateralFilter(image, 9, 45, 6) - image)
    lit = 255 * (np.clip(image, 0, 255) / 255) ** np.exp(0.3 * recipe.gamma)
    face = _bearded(lit * np.exp(0.15 * np.array(recipe.tint)), target, recipe.beard)
    return np.clip(face, 0, 255).astype(np.uint8)


def _to_units(points: Sequence[tuple[int, int]]) -> Float64:
    """Return the affine map from a photograph's pixels to units, (2, 3)."""
    return similarity_transform(np.array(points, np.float32)[None, _FIVE], _TEMPLATE)[0]


def _aligned(points: Sequence[tuple[int, int]]) -> Float64:
    to_units = _to_units(points)
    return np.array(points) @ to_units[:, :2].T + to_units[:, 2]


def _warped(photo: UInt8, points: Sequence[tuple[int, int]], target: Float64) -> Float32:
    """Return a photograph whose points are warped to `target`: a thin-plate spline backwards."""
    spline = RBFInterpolator(
        np.vstack([target, _FRAME]), np.vstack([_aligned(points), _FRAME]), smoothing=10.0
    )
    xs, ys = np.meshgrid(np.arange(0, _WIDTH + _STEP, _STEP), np.arange(0, _HEIGHT + _STEP, _STEP))
    nodes = spline(np.stack([xs, ys], axis=-1).reshape(-1, 2)).reshape(*xs.shape, 2)
    size = round(_UNIT * _WIDTH), round(_UNIT * _HEIGHT)
    at = np.meshgrid(*(np.arange(side, dtype=np.float32) / _UNIT / _STEP for side in size))
    units = cv2.remap(nodes.astype(np.float32), at[0], at[1], cv2.INTER_LINEAR)
    back = cv2.invertAffineTransform(_to_units(points))
    shrink = max(1, int(np.hypot(*back[:, 0]) / _UNIT))  # so that no pixel is skipped
    small = cv2.resize(photo, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    source = ((units @ back[:, :2].T + back[:, 2] + 0.5) / shrink - 0.5).astype(np.float32)
    maps = source[..., 0], source[..., 1]
    picture = cv2.remap(small, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return picture.astype(np.float32)


def _bearded(image: Float64, points: Float64, strength: float) -> Float64:
    low_cheeks = 0.3 * points[[21, 22]] + 0.7 * points[[17, 18]]
    upper_lip = (points[[12, 9, 10, 13]] + points[[9, 9, 10, 10]]) / 2 + (0, 3)
    rim = [low_cheeks[0], *points[[17, 19, 16, 20, 18]], low_cheeks[1], points[13] + (4, 0)]
    rim += [*upper_lip[::-1], points[12] - (4, 0)]
    mask = np.zeros(image.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round(_UNIT * np.array(rim)).astype(np.int32)], 1.0)
    lips = np.array([points[12], points[14] - (0, 1), points[13], points[15] + (0, 2)])
    cv2.fillPoly(mask, [np.round(_UNIT * lips).astype(np.int32)], 0.0)
    cover = strength * cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
    return image + cover * (0.25 * image + (25, 18, 14) - image)


def _photographed(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Return another picture of the same face: turned, cropped, lit and compressed otherwise."""
    if rng.integers(2):
        image = np.ascontiguousarray(image[:, ::-1])
    height, width = image.shape[:2]
    scale = rng.uniform(0.7, 1.05)
    size = np.round(scale * rng.uniform(0.86, 1.0, 2) * (width, height)).astype(int)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-7, 7)), scale)
    turn[:, 2] += size / 2 - (width / 2, height / 2) + rng.uniform(-0.03, 0.03, 2) * size
    picture = cv2.warpAffine(
        cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.7 / scale))),
        turn,
        (int(size[0]), int(size[1])),
        borderMode=cv2.BORDER_REFLECT_101,
    )
    light = rng.uniform(0.8, 1.15) * rng.uniform(0.96, 1.04, 3)
    lit = 255 * light * (picture / 255) ** rng.uniform(0.8, 1.25)
    levels = np.clip(lit, 0, 255).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(levels).save(jpeg, "JPEG", quality=int(rng.integers(60, 96)))
    return np.asarray(Image.open(jpeg))
