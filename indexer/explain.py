"""An episode and a time in, why everybody on screen is who they are out: text, rows, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer import affinity, evidence, likeness, scene
from indexer.affinity import Affinity
from indexer.config import RecognizeSettings
from indexer.records import UNKNOWN, Character, Float32, Float64, Identity, Track, Yardstick
from indexer.sheet import LINE, SIDE, Sheet
from indexer.store import decisions, read
from indexer.store.library import Library

_MOST = 3
"""Candidates, links and exemplars that are shown."""
_GAP, _WORDS = 8, 260


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A face of a track that its vector is made of."""

    time_s: float
    quality: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody of the gallery, and how near the track is."""

    label: str
    similarity: float
    """Cosine to the centre of the stills, without what all faces of the show have in common."""
    stills: Sequence[float]
    """Cosines to the nearest stills, the nearest first."""
    log_odds: float
    """Of this one against a stranger, by the track's own faces."""


@dataclass(frozen=True, slots=True)
class Link:
    """Another track of the episode that may show the same person."""

    track: int
    start_s: float
    label: str
    face: float
    """Log-odds of one person by the faces,"""
    clothes: float
    """what clothes add to them,"""
    place: float
    """and what places do."""


@dataclass(frozen=True, slots=True)
class Because:
    """Why a track is who it is."""

    track: int
    box: tuple[float, float, float, float]
    """Where it is at that time, as shares of the picture's width and height."""
    label: str
    """Whom it is said to show, or "unknown"."""
    named: bool
    probability: float
    margin: float
    by_face: float
    """What the probability would be by its own faces alone."""
    reason: str
    """Why it has no name."""
    maybe: Sequence[str]
    """Who it may be, where it has no name: the likeliest first."""
    decided: str
    """What a person said of it, if anybody did."""
    width_px: float
    exemplars: Sequence[Exemplar]
    candidates: Sequence[Candidate]
    links: Sequence[Link]
    helper: int
    """Uid of the track that helped most, 0 if none did."""
    beside: Sequence[str]
    """Who is in the same frames, so is somebody else."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Why everybody at one time is who they are."""

    episode: str
    time_s: float
    frame: int
    encoder_id: str
    """Digest of the weights that made the vectors."""
    settings: Mapping[str, Any]
    """By which it was judged."""
    faces: Sequence[Because]
    """From left to right."""


def explain(library: Library, episode: str, time_s: float, stick: Yardstick) -> Explained:
    """Return why everybody on screen at a time is who they are.

    Args:
        library: that holds the episode.
        episode: its id.
        time_s: in seconds, from where the video starts.
        stick: of the encoder that made the library.

    Raises:
        StoreError: the episode cannot be read, or ends before.
    """
    frame, times = read.frame_at(library, episode, time_s)
    tracks = read.read_tracks(library, episode)
    places = read.places_in(library, library.episode(episode), frame, frame)
    settings, _ = read.read_judgement(library, episode)
    stick = evidence.among(stick, read.read_strangers(library))
    made = _Evidence.of(library, episode, tracks, stick, settings)
    order = np.argsort(places.boxes[:, 0], kind="stable").tolist()
    rows = {track.uid: n for n, track in enumerate(tracks)}
    faces = [
        made.of_track(rows[int(places.tracks[n])], places.boxes[n], times)
        for n in order
        if int(places.tracks[n]) in rows
    ]
    return Explained(episode, time_s, frame, library.encoder_id, settings, faces)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """All that the tracks of an episode were judged by."""

    tracks: Sequence[Track]
    said: Mapping[int, Identity]
    people: Mapping[int, Character]
    log: Sequence[decisions.Decision]
    related: Affinity
    clothes: Float32
    """(N, N), log-odds."""
    places: Float32
    """(N, N), log-odds."""
    stick: Yardstick

    @staticmethod
    def of(
        library: Library,
        episode: str,
        tracks: Sequence[Track],
        stick: Yardstick,
        settings: Mapping[str, Any],
    ) -> _Evidence:
        people = {one.id: one for one in read.read_characters(library)}
        gallery = [one for one in people.values() if one.named]
        asked = RecognizeSettings(**settings["recognize"])
        related = evidence.related(tracks, gallery, stick, asked)
        worn = scene.clothes_odds(tracks, affinity.cooccurring(tracks))
        placed = scene.place_odds(tracks)
        if not evidence.sees_scenes(asked):
            worn, placed = 0 * worn, 0 * placed
        said = {one.track: one for one in read.read_identities(library, episode)}
        log = decisions.in_force(decisions.read_decisions(library))
        return _Evidence(
            tracks,
            said,
            people,
            log,
            related,
            worn.astype(np.float32),
            placed.astype(np.float32),
            stick,
        )

    def label(self, person: int) -> str:
        return self.people[person].label if person in self.people else "unknown"

    def of_track(self, n: int, box: Float32, times: Float64) -> Because:
        track, said = self.tracks[n], self.said[self.tracks[n].uid]
        whose = self.people.get(said.character)
        named = whose is not None and whose.named
        maybe = () if named else (said.runner_up, said.second)
        spoken = [one.says for one in self.log if track.uid in one.tracks]
        beside = np.flatnonzero(self.related.odds[n] <= affinity.NEVER)
        x0, y0, x1, y1 = box.tolist()
        return Because(
            track=track.uid,
            box=(x0, y0, x1, y1),
            label=self.label(said.character),
            named=named,
            probability=said.probability,
            margin=said.margin,
            by_face=said.by_face,
            reason=said.reason,
            maybe=[self.label(one) for one in maybe if one != UNKNOWN],
            decided=spoken[-1] if spoken else "",
            width_px=track.width_px,
            exemplars=[
                Exemplar(float(times[frame]), float(quality))
                for frame, quality in zip(track.exemplar_frames, track.quality, strict=True)
            ][:_MOST],
            candidates=self._candidates(n),
            links=self._links(n),
            helper=said.link,
            beside=[self.label(self.said[self.tracks[m].uid].character) for m in beside.tolist()],
        )

    def _candidates(self, n: int) -> list[Candidate]:
        gallery = [one for one in self.people.values() if one.named]
        if not gallery:
            return []
        own, shared = self.related.vectors[n : n + 1], self.related.common
        middles = evidence.centres(gallery, shared)
        widths = self.related.widths[n : n + 1]
        odds = likeness.name_odds(own, widths, middles, shared, self.stick)[0]
        cosines = own[0] @ middles.T
        found = []
        for place in np.argsort(-odds, kind="stable")[:_MOST].tolist():
            stills = affinity.without(gallery[place].prototypes, shared) @ own[0]
            found.append(
                Candidate(
                    label=gallery[place].label,
                    similarity=float(cosines[place]),
                    stills=np.sort(stills)[::-1][:_MOST].tolist(),
                    log_odds=float(odds[place]),
                )
            )
        return found

    def _links(self, n: int) -> list[Link]:
        odds = self.related.odds[n].copy()
        odds[n] = affinity.NEVER
        found = []
        for m in np.argsort(-odds, kind="stable")[:_MOST].tolist():
            if odds[m] <= affinity.NEVER:
                break
            other, clothes = self.tracks[m], float(self.clothes[n, m])
            place = float(self.places[n, m])
            label = self.label(self.said[other.uid].character)
            face = float(odds[m]) - clothes - place
            found.append(Link(other.uid, other.start_s, label, face, clothes, place))
        return found


def as_text(found: Explained) -> str:
    """Return it for people."""
    asked = found.settings["recognize"]
    lines = [
        f"{found.episode} at {found.time_s:.3f} s (frame {found.frame}): {len(found.faces)} faces",
        f"  weights {found.encoder_id}",
        f"  at most {asked['max_wrong_names']:.1%} of the named time wrong; names rest on: "
        f"{asked['evidence']}",
    ]
    for one in found.faces:
        lines += ["", *_lines(one)]
    return "\n".join(lines)


def _lines(one: Because) -> list[str]:
    sure = f"{one.probability:.1%}, {one.margin:+.1%} before the next"
    sure += f", by its face alone {one.by_face:.1%}" * one.named
    lines = [f"{one.label} ({sure}), track {one.track}, {one.width_px:.0f} px wide"]
    if one.decided:
        lines.append(f"  as a person said: {one.decided}")
    if one.reason:
        maybe = f": {' or '.join(one.maybe)}?" if one.maybe else ""
        lines.append(f"  no name, {one.reason}{maybe}")
    if one.beside:
        lines.append(f"  in one frame with {', '.join(one.beside)}, so none of them")
    best = ", ".join(f"{face.time_s:.1f} s ({face.quality:.2f})" for face in one.exemplars)
    lines.append(f"  its best faces are at {best}")
    for who in one.candidates:
        stills = ", ".join(f"{cosine:.2f}" for cosine in who.stills)
        lines.append(
            f"  {who.label}: log-odds {who.log_odds:+.1f} against a stranger by its own faces, "
            f"similarity {who.similarity:.2f}, nearest stills {stills}"
        )
    for link in one.links:
        helped = ", which helped most" if link.track == one.helper else ""
        lines.append(
            f"  like the track at {link.start_s:.1f} s ({link.label}): log-odds {link.face:+.1f} "
            f"by face, {link.clothes:+.1f} by clothes, {link.place:+.1f} by place{helped}"
        )
    return lines


def _signed(*some: float) -> str:
    return ", ".join(f"{one:+.1f}" for one in some)


def write_picture(path: Path, library: Library, found: Explained) -> None:
    """Write it as a picture, a row for each face: its track, then those it is linked with; a PNG.

    Raises:
        StoreError: it cannot be written, or a track's picture cannot be read.
    """
    step, down, right = SIDE + 7 * _GAP, SIDE + 3 * LINE + _GAP, (1 + _MOST) * (SIDE + 7 * _GAP)
    sheet = Sheet(right + _WORDS, max(len(found.faces), 1) * down + _GAP)
    for row, one in enumerate(found.faces):
        top = _GAP + row * down
        shown = [(one.track, [one.label, f"{one.probability:.1%}", f"{one.width_px:.0f} px"])]
        shown += [
            (x.track, [x.label, f"at {x.start_s:.1f} s", _signed(x.face, x.clothes, x.place)])
            for x in one.links
        ]
        for column, (uid, words) in enumerate(shown):
            left = _GAP + column * step
            sheet.picture(library.thumbnail(found.episode, uid), left, top)
            sheet.words(words, left, top + SIDE, step - _GAP)
        names = [f"{x.label}: {x.log_odds:+.1f}, {x.similarity:.2f}" for x in one.candidates]
        sheet.words([one.reason or "named", *names], _GAP + right, top, _WORDS - 2 * _GAP)
    sheet.write(path)
