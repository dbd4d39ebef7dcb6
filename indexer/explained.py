"""An explanation of who is on screen in, text and a picture of it out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from indexer.explain import Because, Explained
from indexer.labels import counted
from indexer.sheet import LINE, SIDE, Sheet
from indexer.store.library import Library

_GAP, _WORDS = 8, 340
_DIGITS = 8
"""How many digits of the weights' digest a picture shows."""
_COLUMNS = 7
"""The track itself, three candidates, three links."""
_OTHERWISE = 0.005
"""Difference of two probabilities above which both are shown."""


def as_text(found: Explained) -> str:
    """Return the explanation as text for people."""
    asked = found.settings["recognize"]
    lines = [
        f"{found.episode} at {found.time_s:.3f} s (frame {found.frame}): "
        f"{counted(len(found.faces), 'face')}",
        f"  encoder weights {found.encoder_id}",
        f"  promise: at most {asked['max_wrong_names']:.1%} of the named time is wrong; "
        f"evidence used: {asked['evidence']}",
    ]
    for one in found.faces:
        lines += ["", *_lines(one)]
    return "\n".join(lines)


def _lines(one: Because) -> list[str]:
    lines = [f"{one.label}, track {one.track}, {one.width_px:.0f} px wide"]
    lines += [f"  {line}" for line in (*_why(one), *_probabilities(one))]
    if one.beside:
        lines.append(f"  on screen together with {', '.join(one.beside)}, so somebody else")
    best = ", ".join(f"{face.time_s:.1f} s (quality {face.quality:.2f})" for face in one.exemplars)
    lines.append(f"  best faces: {best}")
    for who in one.candidates:
        stills = ", ".join(f"{cosine:.2f}" for cosine in who.stills)
        nearest = f" to the nearest of {who.looks} looks" * (who.looks > 1)
        lines.append(
            f"  {who.label}, by own faces alone: log-odds {who.log_odds:+.1f} against a stranger, "
            f"similarity {who.similarity:.2f}{nearest}, to the nearest stills {stills}"
        )
    for link in one.links:
        helped = " (helped most)" if link.track == one.helper else ""
        lines.append(
            f"  linked to the track at {link.start_s:.1f} s ({link.label}): log-odds "
            f"{link.face:+.1f} by face, {link.clothes:+.1f} by clothes, {link.place:+.1f} by place"
            f"{helped}"
        )
    return lines


def _why(one: Because) -> list[str]:
    """Return the reasons for the label, or for having no name, other than numbers."""
    lines = []
    if one.decided:
        lines.append(f"decided by a user: {one.decided}")
    if one.taken:
        lines.append(
            f"taken over from {one.taken}, which showed this before as track {one.taken_track}"
        )
    if one.reason:
        maybe = f": {' or '.join(one.maybe)}?" if one.maybe else ""
        lines.append(f"no name, {one.reason}{maybe}")
    return lines


def _probabilities(one: Because) -> list[str]:
    """Return how likely the track shows each of its candidates, in words."""
    said = [f"P({who.label}) {who.probability:.1%}" for who in one.chances]
    said.append(f"P(nobody enrolled) {one.nobody:.1%}")
    now = ", ".join(said)
    if one.decided:
        return [f"without that decision, by own faces alone: {now}"]
    best = next(iter(one.chances), None)
    lines = [now + (f"; by own faces alone P({best.label}) {best.by_face:.1%}" if best else "")]
    lines.append(f"the likeliest leads the next by {one.margin:.1%}")
    if not one.named:
        if not one.taken:
            lines.append(
                f"P(same person as in the other tracks of {one.label}) {one.probability:.1%}"
            )
        return lines
    if not best or best.label != one.label or abs(best.probability - one.probability) > _OTHERWISE:
        whence = "in that episode" if one.taken else "when last judged"
        lines.append(f"{whence}: P({one.label}) {one.probability:.1%}")
    return lines


def _signed(*some: float) -> str:
    return ", ".join(f"{one:+.1f}" for one in some)


def write_picture(path: Path, library: Library, found: Explained) -> None:
    """Write the explanation as a picture, a row for each face; a PNG.

    A row shows the track, the most similar track of each of the nearest candidates, and the
    tracks that face, clothes and place link it with.

    Raises:
        StoreError: it cannot be written, or a track's picture cannot be read.
    """
    step, down = SIDE + 7 * _GAP, SIDE + 3 * LINE + 2 * _GAP
    width, room = _COLUMNS * step + _WORDS, step - _GAP
    top, ruler = _GAP + LINE, Sheet(1, 1)
    said = [
        [
            part
            for line in (*_why(one), *_split(_probabilities(one)))
            for part in ruler.folded(line, _WORDS)
        ]
        for one in found.faces
    ]
    heights = [max(down, len(lines) * LINE + _GAP) for lines in said]
    sheet = Sheet(width + 2 * _GAP, (sum(heights) or down) + top + _GAP)
    titles = {
        0: "identified as",
        1: "nearest in the gallery: log-odds by own faces, similarity",
        4: "linked tracks: log-odds by face, by clothes, by place",
        _COLUMNS: f"at {found.time_s:.3f} s, encoder weights {found.encoder_id[:_DIGITS]}",
    }
    for column, title in titles.items():
        sheet.words([title], _GAP + column * step, _GAP // 2, 3 * step)
    if not found.faces:
        sheet.words(["nobody is on screen"], _GAP, top + _GAP, width)
    for one, lines, height in zip(found.faces, said, heights, strict=True):
        for column, (uid, words) in _shown(one).items():
            left = _GAP + column * step
            if uid:
                sheet.picture(library.thumbnail(found.episode, uid), left, top)
            sheet.words(words, left, top + SIDE, room)
        sheet.words(lines, _GAP + _COLUMNS * step, top, _WORDS)
        top += height
    sheet.write(path)


def _shown(one: Because) -> dict[int, tuple[int, list[str]]]:
    """Return a track's uid, 0 for none, and the words below it, by column."""
    best = [f"best at {face.time_s:.1f} s" for face in one.exemplars[:1]]
    found = {0: (one.track, [one.label, *best, f"{one.width_px:.0f} px"])}
    for column, who in enumerate(one.candidates, 1):
        at = f"at {who.start_s:.1f} s" if who.track else "no other track"
        found[column] = who.track, [who.label, at, f"{who.log_odds:+.1f}, {who.similarity:.2f}"]
    for column, x in enumerate(one.links, 4):
        words = [x.label, f"at {x.start_s:.1f} s", _signed(x.face, x.clothes, x.place)]
        found[column] = x.track, words
    return found


def _split(lines: Sequence[str]) -> list[str]:
    """Return lines split at commas and semicolons, so that each says one thing."""
    return [part for line in lines for part in line.replace("; ", ", ").split(", ")]
