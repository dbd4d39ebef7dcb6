"""Tracking metrics, HOTA, IDF1 and MOTA, by trackeval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity

from indexer import geometry
from indexer.records import Bool, Float32, Int64

_SAME_FACE_IOU = 0.5
"""The least IoU of a match in MOTChallenge, for IDF1 and MOTA."""


@dataclass(frozen=True, slots=True)
class TrackBoxes:
    """N boxes of one video."""

    frames: Int64
    """(N,)."""
    ids: Int64
    """(N,), track ids: any numbers, each at most once in a frame."""
    boxes: Float32
    """(N, 4)."""

    def __post_init__(self) -> None:
        count = len(self.frames)
        got = (self.frames.shape, self.ids.shape, self.boxes.shape)
        if got != ((count,), (count,), (count, 4)):
            raise ValueError(f"frames, ids, boxes: expected (N,), (N,), (N, 4), got {got}")
        places = np.stack([self.frames, self.ids], axis=1)
        if len(np.unique(places, axis=0)) != count:
            raise ValueError("a track has two boxes in one frame")

    def only(self, kept: Bool) -> TrackBoxes:
        """Return the boxes for which `kept`, (N,), is true."""
        return TrackBoxes(self.frames[kept], self.ids[kept], self.boxes[kept])


@dataclass(frozen=True, slots=True)
class Tracking:
    """Metrics of one video; shares unless said otherwise."""

    hota: float
    """Luiten et al., "HOTA", IJCV 2021, eq. 17: mean over 19 IoU thresholds from 0.05 to 0.95."""
    det_a: float
    """Detection accuracy, eq. 18; the same mean."""
    ass_a: float
    """Association accuracy, eq. 19; the same mean."""
    idf1: float
    """Ristani et al., "Performance measures", ECCVW 2016, eq. 11."""
    mota: float
    """Bernardin and Stiefelhagen, "CLEAR MOT", 2008, sec. 2.1.3; can be below 0."""
    recall: float
    precision: float
    switches: int
    """Identity switches: how often a true track continues under another id."""
    faces: int
    """True boxes."""
    true_tracks: int
    predicted_tracks: int


def compare_tracks(truth: TrackBoxes, predicted: TrackBoxes) -> Tracking:
    """Return how predicted tracks agree with the true ones; shares are 0 if either is empty."""
    data = _sequence(truth, predicted)
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": _SAME_FACE_IOU}
    hota = HOTA().eval_sequence(data)
    clear: Mapping[str, Any] = CLEAR(quiet).eval_sequence(data)
    identity: Mapping[str, Any] = Identity(quiet).eval_sequence(data)
    return Tracking(
        hota=float(np.mean(hota["HOTA"])),
        det_a=float(np.mean(hota["DetA"])),
        ass_a=float(np.mean(hota["AssA"])),
        idf1=float(identity["IDF1"]),
        mota=float(clear["MOTA"]),
        recall=float(clear["CLR_Re"]),
        precision=float(clear["CLR_Pr"]),
        switches=int(clear["IDSW"]),
        faces=len(truth.frames),
        true_tracks=data["num_gt_ids"],
        predicted_tracks=data["num_tracker_ids"],
    )


def leave_out(
    truth: TrackBoxes, predicted: TrackBoxes, ignored: Bool
) -> tuple[TrackBoxes, TrackBoxes]:
    """Return both without the ignored true boxes and without the predictions matched to them.

    As MOTChallenge does with its distractors: predictions are matched to all true boxes, and those
    matched to an ignored one are neither right nor wrong.

    Args:
        truth: N boxes.
        predicted: M boxes.
        ignored: (N,).
    """
    kept = np.ones(len(predicted.frames), bool)
    for mine, theirs in _by_frame(truth, predicted):
        overlap = geometry.iou(truth.boxes[mine], predicted.boxes[theirs])
        rows, columns = geometry.pair(overlap, overlap >= _SAME_FACE_IOU)
        kept[theirs[columns[ignored[mine[rows]]]]] = False
    return truth.only(~ignored), predicted.only(kept)


def _by_frame(truth: TrackBoxes, predicted: TrackBoxes) -> list[tuple[Int64, Int64]]:
    """Return the rows of both in each frame that has a box in either."""
    frames = np.union1d(truth.frames, predicted.frames)
    return list(zip(*(_rows(one.frames, frames) for one in (truth, predicted)), strict=True))


def _rows(of: Int64, frames: Int64) -> list[Int64]:
    order = np.argsort(of, kind="stable")
    return np.split(order, np.searchsorted(of[order], frames[1:])) if len(frames) else []


def _sequence(truth: TrackBoxes, predicted: TrackBoxes) -> dict[str, Any]:
    """Return both in the form that trackeval's metrics take, with ids from 0 on."""
    true_ids, true_id = np.unique(truth.ids, return_inverse=True)
    found_ids, found_id = np.unique(predicted.ids, return_inverse=True)
    rows = _by_frame(truth, predicted)
    return {
        "num_timesteps": len(rows),
        "num_gt_dets": len(truth.frames),
        "num_tracker_dets": len(predicted.frames),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(found_ids),
        "gt_ids": [true_id[mine] for mine, _ in rows],
        "tracker_ids": [found_id[theirs] for _, theirs in rows],
        "similarity_scores": [
            geometry.iou(truth.boxes[mine], predicted.boxes[theirs]).astype(np.float64)
            for mine, theirs in rows
        ],
    }
