"""An episode and a time in, why everybody on screen is who they are out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexer import affinity, evidence, identify, recognize, reuse, scene
from indexer.config import RecognizeSettings
from indexer.identify import Weighed
from indexer.records import UNKNOWN, Character, Float32, Float64, Identity, Track, Yardstick
from indexer.store import decisions, read
from indexer.store.library import Library

_MOST = 3
"""Most candidates, stills, links and exemplars that are shown."""
_HARDLY = 0.05
"""Nobody is suggested whose probability is this or less."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A face of a track, one of those that its embedding is the mean of."""

    time_s: float
    quality: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A character of the gallery, and how similar the track is."""

    label: str
    similarity: float
    """Cosine to the character's nearest look, without the component common to all faces."""
    looks: int
    """How many looks of the character are known."""
    stills: Sequence[float]
    """Cosines to the nearest stills, the nearest first."""
    log_odds: float
    """Of this character against a stranger, by the track's own faces."""
    track: int
    """Uid of the character's most similar other track in the episode, 0 if there is none."""
    start_s: float
    """When that track begins."""


@dataclass(frozen=True, slots=True)
class Link:
    """Another track of the episode that may show the same person."""

    track: int
    start_s: float
    label: str
    face: float
    """Log-odds of one person by the faces."""
    clothes: float
    """What clothes add to them."""
    place: float
    """What places add to them."""


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely a track shows a character of the gallery; it shows one of them or nobody."""

    label: str
    probability: float
    """By all that is known of the episode."""
    by_face: float
    """By the track's own faces alone."""


@dataclass(frozen=True, slots=True)
class Because:
    """Why a track is who it is."""

    track: int
    box: tuple[float, float, float, float]
    """Where it is at that time, as shares of the picture's width and height."""
    label: str
    """Of the person it is taken for, or "unknown"."""
    named: bool
    probability: float
    """As it was judged: of the name; without one, of being one person with the label's other
    tracks."""
    chances: Sequence[Chance]
    """Of the two likeliest of the gallery, the likeliest first, by what is known now. Where a
    user decided who it is, by the track's own faces alone."""
    nobody: float
    """The probability, likewise, that it is nobody of the gallery."""
    margin: float
    """By how much the likeliest of them all is likelier than the next."""
    reason: str
    """Why it has no name."""
    maybe: Sequence[str]
    """Who it may be, if it has no name and somebody is likelier than nobody: the likeliest, and
    the next too if it may well be either."""
    taken: str
    """The earlier episode that showed the track already, if the label was taken over from there."""
    taken_track: int
    """The uid that it has there, or 0."""
    decided: str
    """What a user decided about it, in words; empty if nothing."""
    width_px: float
    exemplars: Sequence[Exemplar]
    candidates: Sequence[Candidate]
    links: Sequence[Link]
    helper: int
    """Uid of the track that helped most, 0 if none did."""
    beside: Sequence[str]
    """Labels of who is on screen with it, so is somebody else."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Why everybody at one time is who they are."""

    episode: str
    time_s: float
    frame: int
    encoder_id: str
    """Digest of the weights that made the vectors."""
    settings: Mapping[str, Any]
    """The settings by which it was judged."""
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
    if not tracks:
        return Explained(episode, time_s, frame, library.encoder_id, settings, [])
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
    taken: Mapping[int, tuple[str, Identity]]
    """Tracks that an earlier episode already showed: its id and the identity there, by uid here."""
    people: Mapping[int, Character]
    spoken: Mapping[int, str]
    """The last decision of a user about a track, in words, by uid."""
    known: Weighed
    shares: Float64
    """(N, 1 + C), the probability of nobody and of each of the gallery."""
    alone: Float64
    """(N, 1 + C), the same by the tracks' own faces alone."""
    odds: Float64
    """(N, C), log-odds against a stranger by the tracks' own faces."""
    clothes: Float32
    """(N, N), log-odds."""
    places: Float32
    """(N, N), log-odds."""

    @staticmethod
    def of(
        library: Library,
        episode: str,
        tracks: Sequence[Track],
        stick: Yardstick,
        settings: Mapping[str, Any],
    ) -> _Evidence:
        people = {one.id: one for one in read.read_characters(library)}
        asked = RecognizeSettings(**settings["recognize"])
        stick = evidence.among(stick, read.read_strangers(library))
        log = decisions.read_decisions(library)
        decided = decisions.constraints(log)
        known = identify.weigh(tracks, [*people.values()], stick, asked, decided)
        shares, alone = recognize.probabilities(
            known.seen, known.gallery, known.apart, stick, asked
        )
        by_word = np.array([track.uid in decided.pinned for track in tracks], bool)
        worn = scene.clothes_odds(tracks, affinity.cooccurring(tracks))
        placed = scene.place_odds(tracks)
        if not evidence.sees_scenes(asked):
            worn, placed = 0 * worn, 0 * placed
        own, widths, common = known.related.vectors, known.related.widths, known.related.common
        return _Evidence(
            tracks=tracks,
            said={one.track: one for one in read.read_identities(library, episode)},
            taken=_taken(library, episode),
            people=people,
            spoken=_spoken(log),
            known=known,
            shares=np.where(by_word[:, None], alone, shares),
            alone=alone,
            odds=recognize.by_look(own, widths, known.gallery, common, stick),
            clothes=worn.astype(np.float32),
            places=placed.astype(np.float32),
        )

    def label(self, person: int) -> str:
        return self.people[person].label if person in self.people else "unknown"

    def of_track(self, n: int, box: Float32, times: Float64) -> Because:
        track, said = self.tracks[n], self.said[self.tracks[n].uid]
        whose = self.people.get(said.character)
        named = whose is not None and whose.named
        beside = np.flatnonzero(self.known.related.odds[n] <= affinity.NEVER)
        source, earlier = self.taken.get(track.uid, ("", said))
        if track.uid in self.spoken or earlier.character != said.character:
            source = ""
        nobody, chances = float(self.shares[n, 0]), self._chances(n)
        either = said.reason == recognize.LIKE_TWO
        settled = named or track.uid in self.spoken
        maybe = [] if settled else likeliest(chances, nobody, either=either)
        x0, y0, x1, y1 = box.tolist()
        return Because(
            track=track.uid,
            box=(x0, y0, x1, y1),
            label=self.label(said.character),
            named=named,
            probability=said.probability,
            chances=chances,
            nobody=nobody,
            margin=_margin(chances, nobody),
            reason=said.reason,
            maybe=maybe,
            taken=source,
            taken_track=earlier.track if source else UNKNOWN,
            decided=self.spoken.get(track.uid, ""),
            width_px=track.width_px,
            exemplars=[
                Exemplar(float(times[frame]), float(quality))
                for frame, quality in zip(track.exemplar_frames, track.quality, strict=True)
            ][:_MOST],
            candidates=self._candidates(n),
            links=self._links(n),
            helper=said.link,
            beside=self._others(n, beside.tolist()),
        )

    def _others(self, n: int, beside: Sequence[int]) -> list[str]:
        """Return who is on screen with a track, without the track's own person, as in a mirror."""
        own, *there = (self.said[self.tracks[m].uid].character for m in (n, *beside))
        return list(dict.fromkeys(self.label(one) for one in there if one != own))

    def _chances(self, n: int) -> list[Chance]:
        shares, gallery = self.shares[n, 1:], self.known.gallery
        return [
            Chance(gallery[c].label, float(shares[c]), float(self.alone[n, 1 + c]))
            for c in np.argsort(-shares, kind="stable")[:2].tolist()
        ]

    def _candidates(self, n: int) -> list[Candidate]:
        gallery, related = self.known.gallery, self.known.related
        own, shared = related.vectors[n], related.common
        looks, whose = evidence.looks(gallery, shared)
        found = []
        for place in np.argsort(-self.odds[n], kind="stable")[:_MOST].tolist():
            one = gallery[place]
            cosines = looks[whose == place] @ own
            stills = affinity.without(one.prototypes, shared) @ own
            uid, start_s = self._most_like(n, one.id)
            found.append(
                Candidate(
                    label=one.label,
                    similarity=float(cosines.max()),
                    looks=len(cosines),
                    stills=np.sort(stills)[::-1][:_MOST].tolist(),
                    log_odds=float(self.odds[n, place]),
                    track=uid,
                    start_s=start_s,
                )
            )
        return found

    def _most_like(self, n: int, person: int) -> tuple[int, float]:
        """Return uid and start of a person's track, other than this one, that is most like it."""
        theirs = [
            m
            for m, track in enumerate(self.tracks)
            if m != n and self.said[track.uid].character == person
        ]
        if not theirs:
            return UNKNOWN, 0.0
        vectors = self.known.related.vectors
        best = self.tracks[theirs[int(np.argmax(vectors[theirs] @ vectors[n]))]]
        return best.uid, best.start_s

    def _links(self, n: int) -> list[Link]:
        odds = self.known.related.odds[n].copy()
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


def likeliest(chances: Sequence[Chance], nobody: float, *, either: bool) -> list[str]:
    """Return who of the gallery a track may be: labels of one, two, or none of them.

    Args:
        chances: the likeliest first.
        nobody: how likely it is nobody of them.
        either: whether it may well be either of the first two.
    """
    if not chances or chances[0].probability <= max(nobody, _HARDLY):
        return []
    some = chances[: 2 if either else 1]
    return [one.label for one in some if one.probability > _HARDLY]


def _margin(chances: Sequence[Chance], nobody: float) -> float:
    best = sorted([nobody, *(one.probability for one in chances)], reverse=True)
    return best[0] - best[1] if len(best) > 1 else best[0]


def _taken(library: Library, episode: str) -> dict[int, tuple[str, Identity]]:
    """Return earlier episode and identity there of tracks that it already showed, by uid here."""
    stretches = read.read_repeats(library, episode)
    theirs = reuse.identities_of(library, stretches)
    return {
        uid: (one.episode, theirs[source])
        for one in stretches
        for uid, source in zip(one.tracks, one.their_tracks, strict=True)
        if source in theirs
    }


def _spoken(log: Sequence[decisions.Decision]) -> dict[int, str]:
    """Return users' last decision about each track, in words, by the uid that it has now."""
    found: dict[int, str] = {}
    for one in decisions.in_force(log):
        moved = {one.place(uid): says for uid, says in found.items()}
        found = {uid: says for uid, says in moved.items() if uid is not None}
        found |= dict.fromkeys(one.tracks, one.says)
    return found
