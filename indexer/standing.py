"""A character in, a test of the name's threshold out: trials whose answer is known.

Genuine trials are the stills, each held out, and tracks that a user decided to show the character.
Impostors are the other characters' stills, and tracks on screen together with one of the
character's, which are somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from indexer import affinity, evidence, identify, likeness, recognize, thresholds
from indexer.config import RecognizeSettings
from indexer.errors import StoreError
from indexer.labels import counted
from indexer.records import Bool, Character, Float32, Float64, Track, Yardstick
from indexer.store import decisions, read
from indexer.store.library import Library

CONFIDENCE = 0.95
_CLEAR_PX = (96, 48, 24, 12)
_ABOUT = 1.5
_FEW = 5
"""Factor within which tracks count as equally clear, and how many of them tell what is usual."""
_EDGES = np.linspace(0, 1, 11)
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Share:
    """A share of trials, and bounds for the share of all such trials."""

    count: int
    of: int
    low: float
    """Exact bounds of the share, by Clopper and Pearson, at `CONFIDENCE`."""
    high: float

    @staticmethod
    def counted(found: Bool) -> Share:
        """Return the share of trials that are True."""
        count, of = int(found.sum()), len(found)
        if not of:
            return Share(0, 0, 0.0, 1.0)
        bounds = binomtest(count, of).proportion_ci(CONFIDENCE, method="exact")
        return Share(count, of, float(bounds.low), float(bounds.high))


@dataclass(frozen=True, slots=True)
class Bin:
    """Trials that got about the same probability: a bar of the reliability diagram."""

    least: float
    most: float
    right: Share
    """Those that do show the character."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How well a character's threshold holds."""

    id: int
    label: str
    stills: int
    looks: int
    thresholds: Mapping[int, float]
    """How clearly somebody was seen, as the width in pixels of one such face → the least similarity
    at which the name may be given for it alone; where the library has such tracks."""
    given_from: float
    """The least probability with which a track has the name, 1 if none has it."""
    genuine: Share
    """Genuine trials that would get the name."""
    impostors: Share
    """Impostor trials that would get it."""
    reliability: Sequence[Bin]
    """All trials, by the probability that they get."""


def standing(
    library: Library, name: str, stick: Yardstick, settings: RecognizeSettings
) -> Standing:
    """Return how well a character's threshold holds on trials with known answers.

    Args:
        library: that knows the character.
        name: of the character, or of somebody who was merged into it: their stills are its own.
        stick: of the encoder that made the library.
        settings: of recognition.

    Raises:
        StoreError: nobody is called so, or has no name yet; a table cannot be read.
    """
    asked = read.find_character(library, name)
    if not asked.named:
        remedy = f'give one: name "{asked.label}" NAME'
        raise StoreError(asked.label, "has no name, so no threshold either", remedy)
    decided = decisions.read_constraints(library)
    known = {one.id: one for one in read.read_characters(library) if one.named}
    gallery = identify.merged_gallery(known, decided)
    mine = decided.merged.get(asked.id, asked.id)
    person = next((one for one in gallery if one.id == mine), None)
    if person is None:  # merged into somebody who has lost the name since
        label = next(one.label for one in read.read_characters(library) if one.id == mine)
        problem = f"was merged into {label}, who has no name, so no threshold either"
        raise StoreError(asked.label, problem, f'give one: name "{label}" NAME')
    stick = evidence.among(stick, read.read_strangers(library))
    said = _Trials.of(library, person, gallery, (stick, settings))
    genuine, impostors = ([one] for one in said.stills())
    given_from = 1.0
    pinned = decided.pinned
    for episode in read.episodes(library):
        tracks = read.read_tracks(library, episode)
        who = {one.track: one for one in read.read_identities(library, episode)}
        shown = np.array([who[one.uid].character == person.id for one in tracks], bool)
        if not shown.any():
            continue
        chances = said.tracks(tracks)
        given_from = min(
            given_from,
            *(who[t.uid].probability for t in tracks if who[t.uid].character == person.id),
        )
        beside = affinity.cooccurring(tracks)[shown].any(axis=0) & ~shown
        impostors.append(chances[beside])
        by_word = np.array([pinned.get(one.uid) == person.id for one in tracks], bool)
        genuine.append(chances[by_word & ~said.taught(tracks)])
    right, wrong = np.concatenate(genuine), np.concatenate(impostors)
    return Standing(
        id=person.id,
        label=person.label,
        stills=len(person.prototypes),
        looks=len(evidence.looks([person], said.shared)[1]),
        thresholds=said.thresholds(),
        given_from=given_from,
        genuine=Share.counted(right >= thresholds.least_probability(settings)),
        impostors=Share.counted(wrong >= thresholds.least_probability(settings)),
        reliability=_bins(right, wrong),
    )


def _bins(right: Float64, wrong: Float64) -> list[Bin]:
    said = np.concatenate([right, wrong])
    true = np.arange(len(said)) < len(right)
    place = np.clip(np.digitize(said, _EDGES) - 1, 0, len(_EDGES) - 2)
    return [
        Bin(float(_EDGES[n]), float(_EDGES[n + 1]), Share.counted(true[place == n]))
        for n in np.unique(place).tolist()
    ]


@dataclass(slots=True)
class _Trials:
    """What gives trials their probability of being the character."""

    person: Character
    gallery: Sequence[Character]
    stick: Yardstick
    settings: RecognizeSettings
    shared: Float32
    """(D,), the component common to faces, on average over the library's episodes."""
    clear: Float32
    """(T,), clarity of each of the library's tracks, in pixels."""
    near: Float32
    """(T,), similarity of each to strangers, from `affinity.nearness`."""

    @staticmethod
    def of(
        library: Library,
        person: Character,
        gallery: Sequence[Character],
        how: tuple[Yardstick, RecognizeSettings],
    ) -> _Trials:
        """Return the trials of a character of a library."""
        shared = [np.zeros(library.dimension, np.float32)]
        clear, near = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
        for episode in read.episodes(library):
            if tracks := read.read_tracks(library, episode):
                common = evidence.common_of(tracks, gallery)
                own = affinity.without(np.stack([one.embedding for one in tracks]), common)
                shared.append(common)
                clear.append(affinity.clear_px(tracks))
                near.append(affinity.nearness(own, common, how[0]))
        mean = np.mean(shared[1:] or shared, axis=0).astype(np.float32)
        return _Trials(person, gallery, *how, mean, np.concatenate(clear), np.concatenate(near))

    def chances(
        self, rows: Float32, widths: Float32, gallery: Sequence[Character], shared: Float32
    ) -> Float64:
        """Return the probability of each row's being the person and none of the others, (N,)."""
        column = [n for n, one in enumerate(gallery) if one.id == self.person.id]
        if not len(rows) or not column:
            return np.zeros(len(rows))
        own = affinity.without(rows, shared)
        prior = thresholds.prior_log_odds(len(self.gallery), self.settings)
        odds = recognize.by_look(own, widths, gallery, shared, self.stick) + prior
        return recognize.believed(recognize.shares_of(odds), self.stick)[:, 1 + column[0]]

    def stills(self) -> tuple[Float64, Float64]:
        """Return the probabilities of the person's stills and of the others', each held out."""
        found: dict[bool, list[Float64]] = {True: [], False: []}
        for one in self.gallery:
            for n in range(len(one.prototypes)):
                rest = np.delete(one.prototypes, n, axis=0)
                known = [_with(one, rest)] if len(rest) else []
                others = [other for other in self.gallery if other is not one]
                if one is not self.person or known:
                    still = one.prototypes[n : n + 1]
                    chance = self.chances(still, _clear(1), [*known, *others], self.shared)
                    found[one is self.person].append(chance)
        genuine, impostors = (np.concatenate([np.zeros(0), *found[own]]) for own in (True, False))
        return genuine, impostors

    def tracks(self, tracks: Sequence[Track]) -> Float64:
        """Return the probabilities of an episode's tracks by their own faces, (N,)."""
        shared = evidence.common_of(tracks, self.gallery)
        vectors = np.stack([one.embedding for one in tracks])
        return self.chances(vectors, affinity.clear_px(tracks), self.gallery, shared)

    def taught(self, tracks: Sequence[Track]) -> Bool:
        """Return which tracks have a face among the character's prototypes, (N,)."""
        known = self.person.prototypes
        faces = [(one.embeddings[:, None] == known).all(axis=2).any() for one in tracks]
        return np.array(faces, bool)

    def thresholds(self) -> dict[int, float]:
        """Return the least similarity at which the name may be given, by clarity in pixels."""
        least = thresholds.least_log_odds(len(self.gallery), self.stick, self.settings)
        least -= float(thresholds.raised([self.person], self.shared, self.stick)[0])
        middle = evidence.centres([self.person], self.shared)[0]
        cosines = np.linspace(-1, 1, 2001)
        found = {}
        for clear in _CLEAR_PX:
            like = np.abs(np.log(np.maximum(self.clear, _TINY) / clear)) <= np.log(_ABOUT)
            if like.sum() >= _FEW:
                near = float(np.median(self.near[like]))
                odds = likeness.usual_odds(cosines, clear, middle, self.stick, near)
                odds = np.maximum.accumulate(odds)
                found[clear] = float(np.interp(least, odds, cosines))
        return found


def _with(person: Character, stills: Float32) -> Character:
    return Character(
        person.id, person.label, person.named, stills, 0.0, 1.0, 0.0, 0, 0, person.clear_px
    )


def _clear(count: int) -> Float32:
    return np.full(count, affinity.CLEAR_PX, np.float32)


def as_text(one: Standing) -> str:
    """Return the standing as text for people."""
    begins = ", ".join(f"{cosine:.2f} at {px} px" for px, cosine in one.thresholds.items())
    begins = begins or f"unknown, as fewer than {_FEW} tracks are about equally clear"
    looks = f", {one.looks} looks" * (one.looks > 1)
    lines = [
        f"{one.label} (id {one.id}): {counted(one.stills, 'still')}{looks}",
        "  by its own faces alone, and if nobody else is as likely, a track may have the name from",
        f"  this similarity on (px: the width of one equally clear face): {begins}",
        f"  lowest probability of a track that has the name: {one.given_from:.1%}",
        f"  held-out stills, and tracks that a user named: {_said(one.genuine)} would get the "
        f"name (true share at least {one.genuine.low:.1%})",
        f"  others' stills, and faces on screen with {one.label}: {_said(one.impostors)} would "
        f"(true share at most {one.impostors.high:.1%}; exact bounds, {CONFIDENCE:.0%})",
        "  probability   share that is right, with its bounds",
    ]
    for part in one.reliability:
        share = part.right.count / max(part.right.of, 1)
        bar = "█" * round(20 * share)
        lines.append(
            f"  {part.least:4.0%} - {part.most:4.0%}   {bar:<20} {_said(part.right)}, "
            f"{part.right.low:.0%} - {part.right.high:.0%}"
        )
    return "\n".join(lines)


def _said(share: Share) -> str:
    return f"{share.count} of {share.of}"
