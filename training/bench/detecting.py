"""The indexer's detector against facenet-pytorch's, on the same frames at the same settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from facenet_pytorch import MTCNN

from indexer import detect, geometry, parallel
from indexer.config import DetectSettings, Method, Settings
from indexer.models import load_models
from indexer.nets.runtime import Precision
from indexer.records import Float32, UInt8

AS_FACENET = DetectSettings(method="mtcnn", propose_threshold=0.6, max_overlap=0.7)
"""The settings of facenet-pytorch's detector, but for the smallest face."""
_ROUNDS = 3
_SMALLEST = 40 / 1080  # of the height: 40 pixels at 1080p


@dataclass(frozen=True, slots=True)
class Detecting:
    """How long two detectors take per frame, and whether they find the same faces."""

    height: int
    peer_ms: float
    """Per frame, by facenet-pytorch with the number of threads that is fastest."""
    peer_threads: int
    ours_ms: float
    """Per frame, by ours with one worker per core."""
    alone_ms: float
    """Per frame, by ours with one worker."""
    found: float
    """Share of the peer's faces that ours finds, IoU at least 0.5,"""
    exactly: float
    """and at least 0.9."""

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is."""
        return self.peer_ms / self.ours_ms


def compare(
    video: Path,
    height: int,
    method: Method = "mtcnn",
    precision: Precision = "f32",
    every: int = 15,
) -> Detecting:
    """Return the comparison on one in `every` frames of a video, scaled to a height."""
    images = frames(video, height, every)
    settings = replace(AS_FACENET, method=method, min_face=_SMALLEST, precision=precision)
    models = load_models(Settings(detect=settings))
    peer = MTCNN(keep_all=True, min_face_size=round(_SMALLEST * height))

    def ours(workers: int) -> list[Float32]:
        def look(image: UInt8) -> Float32:
            return detect.detect(models.detector, [image], settings)[0].boxes

        with parallel.Workers(workers) as pool:
            return list(parallel.in_order(pool, look, images))

    def theirs(threads: int) -> list[Float32]:
        torch.set_num_threads(threads)
        return [_boxes(peer, image) for image in images]

    cores = parallel.cores()
    runs: list[Callable[[], list[Float32]]] = [
        lambda: ours(cores),
        lambda: ours(1),
        *(lambda threads=threads: theirs(threads) for threads in range(1, cores + 1)),
    ]
    seconds = best_of(runs)
    per_frame = [1000 * one / len(images) for one in seconds]
    best = int(np.argmin(per_frame[2:]))
    torch.set_num_threads(1)
    return Detecting(
        height=height,
        peer_ms=per_frame[2 + best],
        peer_threads=best + 1,
        ours_ms=per_frame[0],
        alone_ms=per_frame[1],
        found=_found(theirs(1), ours(1), 0.5),
        exactly=_found(theirs(1), ours(1), 0.9),
    )


def best_of(runs: Sequence[Callable[[], object]], rounds: int = _ROUNDS) -> list[float]:
    """Return the least seconds of each run: in each round all run in turn, one round warms up."""
    seconds = np.full((rounds + 1, len(runs)), np.inf)
    for turn in range(rounds + 1):
        for i, run in enumerate(runs):
            started = time.perf_counter()
            run()
            seconds[turn, i] = time.perf_counter() - started
    return [float(one) for one in seconds[1:].min(axis=0)]


def frames(video: Path, height: int, every: int) -> list[UInt8]:
    """Return one in `every` frames, RGB (H, W, 3), resized by area averaging to a height."""
    with av.open(str(video)) as container:
        images = [
            frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            for i, frame in enumerate(container.decode(video=0))
            if i % every == 0
        ]
    scale = height / images[0].shape[0]
    if scale == 1:
        return images
    return [
        cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
        for one in images
    ]


def _boxes(peer: MTCNN, image: UInt8) -> Float32:
    boxes, _ = peer.detect(image)
    return np.zeros((0, 4), np.float32) if boxes is None else boxes.astype(np.float32)


def _found(theirs: Sequence[Float32], ours: Sequence[Float32], iou: float) -> float:
    best = [geometry.iou(a, b).max(axis=1, initial=0) for a, b in zip(theirs, ours, strict=True)]
    return float(np.mean(np.concatenate(best) >= iou))
