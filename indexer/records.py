"""What the stages hand to each other: frozen records that check their shapes.

Conventions, stated once and for all:

- pixels are RGB, uint8, (H, W, 3);
- boxes are ``(x0, y0, x1, y1)``, float32 pixels of the displayed (rotated) frame, and may reach
  outside it, as faces do;
- landmarks are left eye, right eye, nose, left and right mouth corner as seen in the image,
  (5, 2), float32, x before y, in the same pixels;
- a frame's index counts from 0 in presentation order; time is in seconds from the container's
  pts, 0 where the container starts, never index / rate;
- embeddings are float32 rows of length one;
- N may be 0: "none found" is an empty array, never None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

UNKNOWN = 0
"""The character id of nobody: real ids count from 1."""
BLANK = 0
"""The hash of a picture with nothing on it, which is never compared with others."""


def _check(name: str, array: NDArray[np.generic], shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = tuple("any" if side is None else side for side in shape)
        raise ValueError(f"{name}: expected shape {wanted}, got {array.shape}")


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What is known of a video once its first frame is decoded."""

    width: int
    """Pixels across, as displayed: after rotation."""
    height: int
    rotation: int
    """Degrees clockwise that were applied for display: 0, 90, 180 or 270."""
    time_base: Fraction
    """Seconds per pts tick."""
    start_s: float
    """Time of the container's start on its own clock; subtracted from every frame's time."""
    rate: Fraction
    """Nominal frames per second. Says how many frames to expect, never when one is shown."""
    expected_frames: int
    """Frames that the container promises, 0 where it does not say."""
    expected_s: float
    """Seconds that it promises, 0 where it does not say."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"expected a size of at least 1x1, got {self.width}x{self.height}")
        if self.rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation: expected 0, 90, 180 or 270, got {self.rotation}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture, not yet converted: `render` makes RGB pixels when somebody looks."""

    index: int
    pts: int
    time_s: float
    shot: int
    """Counts from 0; 0 until the shots are known."""
    usable: bool
    """False for a blank picture, as in a fade; True until that is known."""
    hash: int
    """Of what it looks like, 63 bits; BLANK for a blank picture, and until it is known."""
    width: int
    """Pixels across, as displayed."""
    height: int
    render: Callable[[int, int], UInt8]
    """(width, height) → RGB pixels of that size, (height, width, 3), area-averaged if smaller."""

    def pixels(self) -> UInt8:
        """Return the whole frame at its own size, (H, W, 3) RGB uint8."""
        return self.render(self.width, self.height)

    def let_go(self) -> Frame:
        """Return the frame without its picture, which keeps the decoder's buffers alive."""
        return replace(self, render=gone)


def gone(width: int, height: int) -> NoReturn:
    """Stand in for `render` of a frame that was let go: raise, as its picture is gone."""
    raise ValueError(f"expected a frame that is still held, got one let go ({width}x{height})")


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of frames between two cuts."""

    shot: int
    start_frame: int
    end_frame: int
    """The last frame, itself in the shot."""
    start_s: float
    end_s: float
    """When the last frame leaves the screen: the next shot's start."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A stretch of a shot that an earlier episode showed already."""

    shot: int
    start_frame: int
    end_frame: int
    """The last frame, itself in the stretch."""
    episode: str
    """The id of the earlier one."""
    their_start_frame: int
    """The frame of the earlier episode that `start_frame` looks like; the rest follow."""
    distance: float
    """Mean bits, of 63, by which the pictures' hashes differ."""
    tracks: tuple[int, ...] = ()
    """Uids of the tracks whose faces are the same in both."""
    their_tracks: tuple[int, ...] = ()
    """Uids of the same tracks in the earlier episode."""

    def __post_init__(self) -> None:
        if not 0 <= self.start_frame <= self.end_frame or self.their_start_frame < 0:
            raise ValueError(f"frames: expected at least one, from 0 on, got {self}")
        if len(self.tracks) != len(self.their_tracks):
            raise ValueError(f"tracks: expected as many as theirs, got {self}")

    @property
    def delay(self) -> int:
        """What to add to a frame of the stretch to get the earlier one."""
        return self.their_start_frame - self.start_frame


@dataclass(frozen=True, slots=True)
class Places:
    """Where the faces of tracks are, N of them, in any order."""

    tracks: Int64
    """(N,), the uid of each face's track."""
    frames: Int64
    """(N,)."""
    boxes: Float32
    """(N, 4), as shares of the picture's width and height."""

    def __post_init__(self) -> None:
        count = len(self.tracks)
        _check("tracks", self.tracks, (None,))
        _check("frames", self.frames, (count,))
        _check("boxes", self.boxes, (count, 4))


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces found in one picture."""

    boxes: Float32
    """(N, 4)."""
    scores: Float32
    """(N,), the detector's probability of a face, in [0, 1]."""
    landmarks: Float32
    """(N, 5, 2)."""

    def __post_init__(self) -> None:
        count = self.boxes.shape[0]
        _check("boxes", self.boxes, (None, 4))
        _check("scores", self.scores, (count,))
        _check("landmarks", self.landmarks, (count, 5, 2))

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def widths(self) -> Float32:
        """Return how wide each box is, (N,), in pixels."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    def only(self, which: Int64) -> Detections:
        """Return some of them, by index."""
        return Detections(self.boxes[which], self.scores[which], self.landmarks[which])


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one frame with what recognition needs of them."""

    frame: int
    time_s: float
    shot: int
    detections: Detections
    chips: UInt8
    """(N, S, S, 3), aligned crops in the encoder's template."""
    quality: Float32
    """(N,), how well an encoder can read the face, in [0, 1]."""
    patches: UInt8
    """(N, P, P), small and grey, to find the face again in a frame nearby."""
    clothes: UInt8
    """(N, C), the colours worn below the face, as `clothes.colours` has them; 0 if unseen."""

    def __post_init__(self) -> None:
        count = len(self.detections)
        _check("clothes", self.clothes, (count, None))
        _check("patches", self.patches, (count, None, None))
        _check("chips", self.chips, (count, None, None, 3))
        _check("quality", self.quality, (count,))

    def only(self, which: Int64) -> Faces:
        """Return the same with some of its faces, by index."""
        return replace(
            self,
            detections=self.detections.only(which),
            chips=self.chips[which],
            quality=self.quality[which],
            patches=self.patches[which],
            clothes=self.clothes[which],
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one face was, frame by frame, within one shot: every frame from first to last."""

    shot: int
    frames: Int64
    """(T,), consecutive."""
    times: Float64
    """(T,), seconds."""
    boxes: Float32
    """(T, 4), their sizes smoothed over time."""
    landmarks: Float32
    """(T, 5, 2)."""
    scores: Float32
    """(T,), the detector's score; between two detections, interpolated like the box."""
    detected: Bool
    """(T,), False where the box was filled in."""

    def __post_init__(self) -> None:
        count = len(self.frames)
        if count == 0:
            raise ValueError("frames: expected at least one, got none")
        _check("frames", self.frames, (None,))
        _check("times", self.times, (count,))
        _check("boxes", self.boxes, (count, 4))
        _check("landmarks", self.landmarks, (count, 5, 2))
        _check("scores", self.scores, (count,))
        _check("detected", self.detected, (count,))
        if count != self.frames[-1] - self.frames[0] + 1:
            raise ValueError(f"frames: expected consecutive ones, got {self.frames}")


@dataclass(frozen=True, slots=True)
class Tracklet:
    """A face followed through a shot, with its best crops: not yet encoded."""

    trace: Trace
    chips: UInt8
    """(K, S, S, 3), the best aligned crops, best first, K ≥ 1."""
    chip_frames: Int64
    """(K,), the frames that the crops were cut from."""
    quality: Float32
    """(K,), in [0, 1], descending."""
    clothes: UInt8
    """(K, C), the colours worn below each crop's face, 0 where unseen."""

    def __post_init__(self) -> None:
        count = len(self.chips)
        _check("clothes", self.clothes, (count, None))
        if count == 0:
            raise ValueError("chips: expected at least one, got none")
        _check("chips", self.chips, (count, None, None, 3))
        _check("chip_frames", self.chip_frames, (count,))
        _check("quality", self.quality, (count,))

    @property
    def widths(self) -> Float32:
        """Return how wide the face of each crop was, (K,), in pixels."""
        boxes = self.trace.boxes[self.chip_frames - self.trace.frames[0]]
        return boxes[:, 2] - boxes[:, 0]


@dataclass(frozen=True, slots=True)
class Track:
    """A face followed through a shot, and what it looks like to the encoder."""

    uid: int
    """Unique in a library, below 2**53 so that JSON keeps it whole."""
    shot: int
    start_frame: int
    end_frame: int
    """The last frame, itself in the track."""
    start_s: float
    end_s: float
    """When the last frame leaves the screen."""
    detections: int
    """How many of its boxes the detector found; the rest were filled in."""
    score: float
    """Mean detector score of its detections, in [0, 1]."""
    width_px: float
    """Median width of its detected boxes, in pixels of the displayed frame."""
    quality: Float32
    """(K,), quality of each exemplar, in [0, 1], descending."""
    exemplar_frames: Int64
    """(K,), the frame of each exemplar."""
    embeddings: Float32
    """(K, D), unit rows, one for each exemplar."""
    embedding: Float32
    """(D,), unit: their mean, weighted by quality times how likely the encoder recognised each."""
    clothes: Float32
    """(C,), the colours worn below the face, of length one; 0 if they were never seen."""
    ends: Float32 = field(default_factory=lambda: np.zeros(8, np.float32))
    """(8,), its first and its last box, as shares of the picture's width and height."""
    views: Int64 = field(default_factory=lambda: np.full(2, BLANK, np.int64))
    """(2,), the hashes of its first and its last picture."""

    def __post_init__(self) -> None:
        count, width = len(self.embeddings), len(self.embedding)
        _check("ends", self.ends, (8,))
        _check("views", self.views, (2,))
        if not 0 <= self.uid < 1 << 53:
            raise ValueError(f"uid: expected 0 <= uid < 2**53, got {self.uid}")
        _check("embeddings", self.embeddings, (None, width))
        _check("quality", self.quality, (count,))
        _check("exemplar_frames", self.exemplar_frames, (count,))
        _check("clothes", self.clothes, (None,))


@dataclass(frozen=True, slots=True)
class Line:
    """Log-odds as a straight line over a number: ``slope * (number - midpoint)``."""

    midpoint: float
    """Where both outcomes are equally likely."""
    slope: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a cosine of an encoder means: measured once over many people and face widths.

    The log-odds that two faces show one person, for even prior odds, depend on how wide the faces
    are: narrow faces resemble each other.
    """

    widths: tuple[float, ...]
    """Ascending face widths in pixels at which it was measured; the last counts as wide."""
    wide: tuple[Line, ...]
    """At each width, against a wide face."""
    alike: tuple[Line, ...]
    """At each width, against a face as narrow."""
    genuine: float
    """Mean cosine of two wide faces of one person."""
    impostor: float
    """Mean cosine of two wide faces of two people."""
    length: Line | None = None
    """Log-odds that a face is recognised, over the length of its vector before normalisation:
    faces that an encoder cannot read have short ones. None where that was not measured."""

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.wide) == len(self.alike) > 0:
            raise ValueError("expected a line for each width against wide and alike, at least one")
        if list(self.widths) != sorted(self.widths):
            raise ValueError(f"widths: expected ascending ones, got {self.widths}")

    def recognised(self, lengths: Float32) -> Float32:
        """Return how likely faces are recognised, given their vectors' lengths, (N,) in [0, 1].

        1 if that was not measured.
        """
        if self.length is None:
            return np.ones(len(lengths), np.float32)
        odds = self.length.slope * (lengths - self.length.midpoint)
        # The logistic function, which scipy has too: but records are imported by every query.
        return np.asarray((1 + np.tanh(odds / 2)) / 2, np.float32)

    def log_odds(
        self, cosine: Float32, first_px: Float32, second_px: Float32, shift: float = 0.0
    ) -> Float32:
        """Return the log-odds of one person, of the shape of `cosine`.

        Between the measured widths, midpoint and slope are interpolated over log width.

        Args:
            cosine: of two embeddings.
            first_px: width of one face, broadcast against it.
            second_px: width of the other.
            shift: added to the midpoint, where evidence says that this person needs it.
        """
        known = np.log(self.widths)
        first, second = (
            np.log(np.clip(width, self.widths[0], self.widths[-1]))
            for width in (first_px, second_px)
        )
        narrow, other = np.minimum(first, second), np.maximum(first, second)
        room = known[-1] - narrow
        share = np.divide(other - narrow, room, out=np.zeros_like(room), where=room > 0)
        midpoint, slope = (
            (1 - share) * np.interp(narrow, known, [getattr(line, name) for line in self.alike])
            + share * np.interp(narrow, known, [getattr(line, name) for line in self.wide])
            for name in ("midpoint", "slope")
        )
        return (slope * (cosine - midpoint - shift)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a cosine between faces of a video is worth as evidence.

    With coefficients, log-odds are linear in what was measured to matter; without, they are
    those of the calibration. Clarity is the width in pixels of one face seen as clearly.
    """

    calibration: Calibration
    cohort: Float32
    """(M, D), unit rows: M strangers. Whoever is similar to many of them is easily mistaken."""
    pairs: tuple[float, ...] = ()
    """(8,), coefficients of 1, cosine, low, high, cosine * low, cosine * high, near low, near high
    for two tracks, with low and high the logarithms of the lower and the higher clarity, and near
    as below, of the less and the more clear track; or ()."""
    helped: tuple[float, ...] = ()
    """(8,), the same for tracks pooled with those that probably show the same person; or ()."""
    names: tuple[float, ...] = ()
    """(8,), coefficients of 1, cosine, clear, cosine * clear, cosine squared if positive, near,
    near of the character, near * clear for a track and a character, with clear the logarithm of
    the track's clarity and near the mean cosine to the most similar of the cohort; or ()."""

    belief: tuple[float, float] = (1.0, 0.0)
    """Slope and offset that calibrate the log-odds of a name by all evidence."""
    nobody: tuple[float, float] = (1.0, 0.0)
    """The same for its being nobody of the gallery, given that the likeliest name is wrong."""

    def __post_init__(self) -> None:
        _check("cohort", self.cohort, (None, None))
        for name in ("pairs", "helped", "names"):
            if (got := len(getattr(self, name))) not in (0, 8):
                raise ValueError(f"{name}: expected 8 coefficients, or none, got {got}")
        if self.names and len(self.cohort) == 0:
            raise ValueError("cohort: expected somebody, as the coefficients of names need them")

    @staticmethod
    def of(calibration: Calibration, dimension: int) -> Yardstick:
        """Return the yardstick of an encoder of which only the calibration is known."""
        return Yardstick(calibration, np.zeros((0, dimension), np.float32))


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody the library knows: named by the user, or a person nobody has named yet."""

    id: int
    """Counts from 1 and is never reused."""
    label: str
    """The name, or "Person 3"."""
    named: bool
    prototypes: Float32
    """(M, D), unit rows: a named character's stills or best faces, an unnamed one's mean."""
    threshold: float
    """The least similarity at which the character's name is given."""
    slope: float
    """Log-odds per unit of similarity, at the midpoint."""
    midpoint: float
    """The similarity at which the character and a stranger are equally likely."""
    genuine: int
    """How many held-out genuine scores there are for the calibration."""
    impostors: int
    """How many impostor scores there are for it."""
    clear_px: float
    """Clarity of all that the prototypes are made of, as the width in pixels of one face seen as
    clearly; each still counts as a clear face."""

    def __post_init__(self) -> None:
        if self.id < 1:
            raise ValueError(f"id: expected at least 1, got {self.id}")
        if not self.clear_px >= 0:
            raise ValueError(f"clear_px: expected at least 0, got {self.clear_px}")
        _check("prototypes", self.prototypes, (None, None))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a track is."""

    track: int
    """The track's uid."""
    character: int
    """A character's id, or UNKNOWN."""
    probability: float
    """That the character is the right one; for UNKNOWN, that it is none of the gallery."""
    similarity: float
    """Cosine to the mean of the likeliest named character's prototypes; for an unnamed person, to
    the rest of the person's tracks in the episode, 1 if there are none."""
    margin: float
    """Probability of the name minus that of the next likeliest, nobody included; without a name,
    of nobody minus the likeliest name: in [-1, 1], below 0 if that name was not sure enough."""
    runner_up: int
    """The most likely other named character's id, or UNKNOWN if there is none."""
    by_face: float = 0.0
    """What the probability would be by the track's own faces alone."""
    link: int = UNKNOWN
    """The uid of the track that helped most, by face and clothes; UNKNOWN if none did."""
    reason: str = ""
    """Why no name is given; empty if one is."""
    second: int = UNKNOWN
    """Where none is given, the id of the next likely after the runner-up, as in "Ann or Bob"."""
    nobody: float = 0.0
    """The judged probability that it shows nobody of the gallery, whatever users decided."""

    @property
    def chance(self) -> float:
        """Return how likely the runner-up is where no name is given, else 0."""
        return max(self.nobody - self.margin, 0.0) if self.reason else 0.0


@dataclass(frozen=True, slots=True)
class Constraints:
    """What users decided, which no judgement may change."""

    pinned: Mapping[int, int] = field(default_factory=dict)
    """Track uid → id of the character that it shows, or UNKNOWN for nobody of the gallery."""
    barred: frozenset[tuple[int, int]] = frozenset()
    """(track uid, id of a character that it does not show)."""
    merged: Mapping[int, int] = field(default_factory=dict)
    """Id of somebody who was merged → id of whom they were merged into, at the end of the chain."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer to a query: a stretch of an episode."""

    episode: str
    shot: int
    track: int
    """The uid of the (longest) track that the hit rests on."""
    start_s: float
    end_s: float
    score: float
    """Probability of all the asked-for characters, or similarity to the asked-for image."""
    screen_share: float
    """Share of the shot's time that the hit fills, in (0, 1]."""
    character: str
    """The label of the character on screen."""


@dataclass(frozen=True, slots=True)
class DecodeReport:
    """What became of a video's frames: nothing is dropped without being counted."""

    frames: int
    """Decoded and handed on, damaged ones included."""
    corrupt_frames: int
    """Of these, how many the decoder flagged as damaged."""
    lost_packets: int
    """Pieces of the stream that could not be decoded at all."""
    expected_frames: int
    """Frames that the container promises, 0 where it does not say."""
    truncated: bool
    """The file ended clearly before the end that it promises."""


@dataclass(frozen=True, slots=True)
class Audit:
    """How good the people of an episode are, as far as it can be told without a label.

    Shares are of the tracks' screen time, in [0, 1].
    """

    purity: float
    """How much of a person's screen time is expected to be that person's."""
    completeness: float
    """How much of a track's same-person time is expected to be under its person."""
    violations: int
    """Pairs of tracks on screen together that are taken for one person: each is an error."""
    split_half: float
    """Share of the tracks whose two halves are nearest to the same person."""
    tracks: int
    """How many tracks that rests on."""
    named: float = 0.0
    """Share of the screen time of all tracks that has a name."""
    wrong: float = 0.0
    """Share of the named screen time that is expected to be wrong, if names are wrong as often as
    `recognize.AIM` allows for."""
    wrong_at_most: float = 0.0
    """Likewise, the larger of that and the share's upper bound at a confidence of 95 %."""
    kept: float = 1.0
    """Likewise, the probability that no more is wrong than was promised."""


NO_AUDIT = Audit(1.0, 1.0, 0, 1.0, 0)
"""Of an episode in which nobody is seen."""
