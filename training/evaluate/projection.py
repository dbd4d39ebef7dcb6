"""Two-dimensional maps of embeddings, by UMAP and t-SNE, coloured by person."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.manifold import TSNE

from indexer.records import Float32, Float64, Int64
from training.batches import several
from training.evaluate import plots
from training.evaluate.gallery import Encode
from training.faces import FaceSet
from training.views import plain

COLOURED = 10
"""How many people have a colour: the palette has no more that can be told apart."""
_NEIGHBOURS = 15
"""Of UMAP; its own default."""
_PERPLEXITY = 30.0
"""Of t-SNE; its own default. It must be less than the number of vectors."""
_LEAST = 4
"""The fewest vectors of a map: fewer have no neighbourhoods to keep."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How many faces are on a map, so that it is quick to make and can be read."""

    each: int = 20
    """Faces of one coloured person, at most."""
    most: int = 400
    """Faces in all, at most; those of the coloured people come first."""
    seed: int = 0


def by_umap(vectors: Float32, seed: int) -> Float32:
    """Return a place on the plane for each unit vector, (N, 2).

    McInnes, Healy and Melville, "UMAP", 2018; cosine distance. Fewer than four are put on a line.

    Args:
        vectors: (N, D).
        seed: of the start; the same seed gives the same map.
    """
    if len(vectors) < _LEAST:
        return _line(len(vectors))
    with warnings.catch_warnings():
        # It warns of what is intended here: no tensorflow, one thread because of the seed.
        warnings.simplefilter("ignore")
        from umap import UMAP  # noqa: PLC0415  (takes seconds)

        few = len(vectors) <= _NEIGHBOURS  # too few for its spectral start
        reducer = UMAP(
            n_neighbors=min(_NEIGHBOURS, len(vectors) - 1),
            metric="cosine",
            init="random" if few else "spectral",
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(reducer.fit_transform(vectors), np.float32)


def by_tsne(vectors: Float32, seed: int) -> Float32:
    """Return a place on the plane for each unit vector, (N, 2).

    Van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008; squared Euclidean
    distance, which for unit vectors is twice the cosine's. Fewer than four are put on a line.

    Args:
        vectors: (N, D).
        seed: of the start; the same seed gives the same map.
    """
    if len(vectors) < _LEAST:
        return _line(len(vectors))
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    reducer = TSNE(perplexity=perplexity, init="random", random_state=seed, n_jobs=1)
    return np.asarray(reducer.fit_transform(vectors), np.float32)


def chosen(people: Int64, how: Shown) -> Int64:
    """Return the rows of the faces on a map, ascending.

    Args:
        people: (N,), the person of each face, below 0 for nobody known.
        how: how many.
    """
    groups = [np.flatnonzero(people == one)[: how.each] for one in most_frequent(people)]
    coloured = np.concatenate([np.zeros(0, np.int64), *groups])[: how.most]
    others = np.setdiff1d(np.flatnonzero(~np.isin(people, people[coloured])), coloured)
    drawn = np.random.default_rng(how.seed).permutation(others)[: how.most - len(coloured)]
    return np.sort(np.concatenate([coloured, drawn]))


def most_frequent(people: Int64, count: int = COLOURED) -> Int64:
    """Return the `count` people with most faces, most first; ties by number; nobody left out."""
    who, faces = np.unique(people[people >= 0], return_counts=True)
    return np.asarray(who[np.argsort(-faces, kind="stable")[:count]])


def write_maps(encoders: Mapping[str, Encode], faces: FaceSet, size: int, folder: Path) -> None:
    """Write ``map-umap.png`` and ``map-tsne.png``, a panel for each encoder.

    Args:
        encoders: by name.
        faces: those of people with two photos or more are shown, or all if there are none.
        size: side of the encoders' input, in pixels.
        folder: where to.
    """
    how = Shown()
    shown = several(faces)
    shown = shown if len(shown) else faces
    shown = shown.of(chosen(shown.people, how))
    crops = plain(np.asarray(shown.chips), size)
    vectors = {name: encode(crops) for name, encode in encoders.items()}
    ways: Mapping[str, Callable[[Float32, int], Float32]] = {"umap": by_umap, "tsne": by_tsne}
    top = most_frequent(shown.people)
    colour = np.array([_place(one, top) for one in shown.people.tolist()], np.int64)
    for name, way in ways.items():
        places = {which: way(rows, how.seed) for which, rows in vectors.items()}
        labels = [shown.names[one] for one in top.tolist()]
        plots.maps(places, colour, labels, folder / f"map-{name}.png")


def _place(one: int, top: Int64) -> int:
    found = np.flatnonzero(top == one)
    return int(found[0]) if len(found) else -1


def _line(count: int) -> Float32:
    line: Float64 = np.stack([np.arange(count), np.zeros(count)], axis=1)
    return line.astype(np.float32)
