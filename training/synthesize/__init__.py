"""Synthetic episodes: real H.264 videos with exact ground truth, from photos of people.

One episode, plain::

    folder per person ──▶ heads ──▶ script ──▶ sprites over places ──▶ ep.mp4, ep.truth.json

A season, as hard as television::

    photos ──▶ company ──▶ story: scenes, shots, takes ──▶ film ──▶ ep01.mp4, its truth, …

photos       LFW's archive, or a folder of stills per person
heads        a picture → the head in it
sprites      a head → a person, cut out and dressed; pasted into a frame (shape: their outline)
places       painted rooms, a camera that pans in them, light and grain
truth        what is on screen; truth_file: as JSON and for MOT tools
encode       frames → MP4

script       settings, stills → the truth of a plain episode; episode: all of it, in order

company      photos → cast, strangers, gallery
scene        who stands where; scenario: which shots a scene has
staging      a shot → who is where in each of its frames; obstacles: what comes between
takes        the records of a staged shot; reel: takes joined, and their truth
story        all takes of a season; film: its frames; season: all of it, in order
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
