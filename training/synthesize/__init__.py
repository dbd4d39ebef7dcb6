"""Made episodes: a real H.264 video with exact truth, from any folder of faces.

folder per person ──▶ heads ──▶ script ──▶ sprites over places ──▶ ep.mp4, ep.truth.json

stills    Path → the head in a picture
script    settings, stills → the truth: who is where in every frame
truth     the records of it, and its JSON file
sprites   a head → a person, cut out and dressed; pasted into a frame
places    painted rooms, a camera that pans in them, light and grain
episode   all of it, in order
"""

from training.synthesize.episode import (
    People,
    draw_frames,
    make_episode,
    read_people,
    synthesize,
)
from training.synthesize.heads import Detect, Head, locate_face
from training.synthesize.spec import EpisodeSpec
from training.synthesize.truth import (
    FrameFaces,
    Skipped,
    TrueFace,
    TrueShot,
    Truth,
)
from training.synthesize.truth_file import (
    mot_path,
    read_truth,
    truth_path,
    write_mot,
    write_truth,
)

__all__ = [
    "Detect",
    "EpisodeSpec",
    "FrameFaces",
    "Head",
    "People",
    "Skipped",
    "TrueFace",
    "TrueShot",
    "Truth",
    "draw_frames",
    "locate_face",
    "make_episode",
    "mot_path",
    "read_people",
    "read_truth",
    "synthesize",
    "truth_path",
    "write_mot",
    "write_truth",
]
