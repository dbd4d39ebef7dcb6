"""A video indexed within a time budget, and the rest of it in later runs.

First it is read from beginning to end, and every shot is looked at where it begins and ends, and
now and then in between. The time left goes where it is worth most: to stretches that are long and
whose two ends leave open where faces were in between. What was seen is saved after each step; once
nothing is missing, it is what a single run without a budget would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from indexer import decode, sample, shots
from indexer.config import DetectSettings
from indexer.errors import VideoError
from indexer.looking import Looker, Seen
from indexer.progress import Progress
from indexer.records import DecodeReport, Frame
from indexer.sample import Stretch
from indexer.store.unfinished import Unfinished

_FOR_LOOKING = 0.75
"""Share of the budget for looking; the rest is for linking, encoding and publishing."""
_SELDOM_S = 5.0
"""Seconds between the looks at a shot while time is short."""
_CHUNK_S = 10.0
"""Most seconds of a shot that are filled in together."""
_TOGETHER = 32
"""Most looks that wait to be saved, since their crops take memory."""
_NEARLY_ALL = 0.999
"""Largest coverage that is stated of a video of which something is missing."""
_KNOWN_PACE_S = 1.0
"""Seconds after which the pace so far is taken to predict the rest."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Consecutive stretches of a shot that are not filled yet."""

    before: Frame
    """The look at which the first of them begins."""
    stretches: tuple[Stretch, ...]

    @property
    def last(self) -> Frame:
        return self.stretches[-1].look

    @property
    def length_s(self) -> float:
        return self.last.time_s - self.before.time_s


@dataclass(frozen=True, slots=True)
class _Clock:
    """How much of the budget is left for looking."""

    budget_s: float | None
    passed: Callable[[], float]
    """Seconds since the run began."""

    def left_s(self) -> float:
        if self.budget_s is None:
            return float("inf")
        return self.budget_s * _FOR_LOOKING - self.passed()

    def is_ample(self, share: float) -> bool:
        """Return whether there is time to look at everything, given the time that `share` took."""
        if self.budget_s is None:
            return True
        passed = self.passed()
        return passed >= _KNOWN_PACE_S and passed <= share * self.budget_s * _FOR_LOOKING


def go_on(
    path: Path, work: Unfinished, looker: Looker, budget_s: float | None, progress: Progress
) -> None:
    """Look at more of a video: as much as the time allows, and something in any case.

    Args:
        path: the video.
        work: what was seen of it so far, to which this adds.
        looker: who looks.
        budget_s: seconds for looking and what follows; None for as many as it takes.
        progress: shows how far it is.

    Raises:
        VideoError: the video cannot be read.
    """
    clock = _Clock(budget_s, lambda: looker.watch.wall_s)
    expected_s = 0.0
    if not work.is_read:
        expected_s = _survey(path, work, looker, clock, progress)
    settings = looker.settings.detect
    if work.is_read:
        gaps = sorted(_gaps(work, settings), key=lambda gap: -_worth(gap, work, settings))
        within = _while_there_is_time(gaps, clock)
        for gap in progress(within, total=len(gaps), what="gaps"):
            _fill(path, gap, work, looker)
    work.coverage = _coverage(work, settings, expected_s)


def _survey(
    path: Path, work: Unfinished, looker: Looker, clock: _Clock, progress: Progress
) -> float:
    """Read on, look at every shot, and return how many seconds the container promises."""
    settings, watch, last = looker.settings, looker.watch, work.last()
    # From the beginning of the last saved shot, so that the cut detector knows what came before.
    start = work.first_of_shot(last.shot) if last else None
    with decode.open_video(path, settings.decode, start) as video:
        facts = video.facts
        frames = watch.over("decode", video)
        frames = watch.over("shots", shots.split(frames, facts.rate, settings.shots))
        left = max(facts.expected_frames - (last.index + 1 if last else 0), 0)
        counted = progress(_numbered_on(last, frames), total=left, what="frames")
        read: list[Frame] = []
        stretches = sample.stretches(_noted(counted, read), settings.detect)
        start_s = last.time_s if last else 0.0

        def ample(frame: Frame) -> bool:
            share = (frame.time_s - start_s) / max(facts.expected_s - start_s, 1e-9)
            return facts.expected_s > 0 and clock.is_ample(share)

        # Closed before the video is: a survey may stop while workers still look.
        with closing(looker.follow(_chosen(stretches, ample), {})) as seen:
            _keep_shots(watch.over("wait", seen), read, work, clock, video.report)
    return facts.expected_s


def _keep_shots(
    seen: Iterable[Seen],
    read: list[Frame],
    work: Unfinished,
    clock: _Clock,
    report: Callable[[], DecodeReport],
) -> None:
    """Save each shot when it is over, until the time is up or the video ends.

    What is seen in a long shot is saved on the way, but counts only once the shot's frames are.
    """
    waiting: list[Seen] = []
    shot: int | None = None
    for one in seen:
        if shot is not None and one.shot != shot:
            over = sum(frame.shot < one.shot for frame in read)
            _keep(work, read[:over], waiting)
            del read[:over]
            waiting = []
            if clock.left_s() <= 0:
                return
        elif len(waiting) == _TOGETHER:
            _keep(work, [], waiting)
            waiting = []
        shot = one.shot
        waiting.append(one)
    _keep(work, read, waiting, report())


def _keep(
    work: Unfinished, frames: Sequence[Frame], seen: Sequence[Seen], end: DecodeReport | None = None
) -> None:
    faces = (faces for one in seen for faces in one.faces)
    work.add(frames, faces, (one.look for one in seen if one.filled), end)


def _numbered_on(last: Frame | None, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames after the last saved one, their shots counted on from its shot."""
    shift: int | None = None if last else 0
    for frame in frames:
        if last is not None and frame.index <= last.index:
            continue
        if shift is None and last is not None:
            shift = last.shot + 1 - frame.shot
        yield replace(frame, shot=frame.shot + (shift or 0))


def _noted(frames: Iterable[Frame], into: list[Frame]) -> Iterator[Frame]:
    for frame in frames:
        into.append(frame.let_go())
        yield frame


def _chosen(stretches: Iterable[Stretch], ample: Callable[[Frame], bool]) -> Iterator[Stretch]:
    """Yield the stretches to look at now: each shot's first and last, and some between."""
    held: Stretch | None = None
    due_s = 0.0
    for stretch in stretches:
        if held is not None:
            ends = held.look.shot != stretch.look.shot
            if ends or held.since is None or held.look.time_s >= due_s or ample(held.look):
                due_s = held.look.time_s + _SELDOM_S
                yield held
        held = stretch
    if held is not None:
        yield held


def _gaps(work: Unfinished, settings: DetectSettings) -> list[_Gap]:
    """Return all that is left to be filled, in the video's order."""
    filled, gaps = work.filled(), list[_Gap]()
    run: list[Stretch] = []
    before: Frame | None = None
    last: Frame | None = None
    for stretch in sample.stretches(work.frames(), settings):
        missing = stretch.since is not None and stretch.look.index not in filled
        full = before is not None and stretch.look.time_s > before.time_s + _CHUNK_S
        if (
            before is not None
            and run
            and (not missing or stretch.since != run[-1].look.index or full)
        ):
            gaps.append(_Gap(before, tuple(run)))
            run = []
        if missing:
            before = before if run else last
            run.append(stretch)
        last = stretch.look
    if before is not None and run:
        gaps.append(_Gap(before, tuple(run)))
    return gaps


def _worth(gap: _Gap, work: Unfinished, settings: DetectSettings) -> float:
    """Return what filling a gap is worth: its seconds times 1 + the faces its ends leave open."""
    ends = work.boxes_before(gap.before), work.boxes_after(gap.last)
    return gap.length_s * (1 + sample.doubts(*ends, settings))


def _while_there_is_time(gaps: Sequence[_Gap], clock: _Clock) -> Iterator[_Gap]:
    """Yield gaps until the next would take too long; one in any case."""
    started, done_s = clock.passed(), 0.0
    for gap in gaps:
        took_s = clock.passed() - started
        if done_s and took_s / done_s * gap.length_s > clock.left_s():
            return
        yield gap
        done_s += gap.length_s


def _fill(path: Path, gap: _Gap, work: Unfinished, looker: Looker) -> None:
    """Look at a gap as closely as at any other part of the video, and save what is seen."""
    looks = [gap.before, *(stretch.look for stretch in gap.stretches)]
    known = {look.index: faces for look in looks if (faces := work.look(look.index))}
    stretches = list(gap.stretches)
    if gap.before.index not in known:
        stretches.insert(0, Stretch(None, (), gap.before))
    asked = {stretch.look.index for stretch in gap.stretches}
    first = min([*stretches[0].between, stretches[0].look], key=lambda frame: frame.index)
    with decode.open_video(path, looker.settings.decode, first) as video:
        frames = looker.watch.over("decode", video)
        again = _with_pictures(path, stretches, frames, work)
        for one in looker.watch.over("wait", looker.follow(again, known)):
            # The look before may be the end of another gap, which is not filled by this.
            _keep(work, [], [replace(one, filled=one.look in asked)])


def _with_pictures(
    path: Path, stretches: Iterable[Stretch], frames: Iterator[Frame], work: Unfinished
) -> Iterator[Stretch]:
    """Yield the stretches with frames that can be rendered.

    Raises:
        VideoError: decoding gives other frames than before; what was saved is cleared.
    """
    for stretch in stretches:
        wanted = {frame.index: frame for frame in (*stretch.between, stretch.look)}
        found = []
        for frame in frames:
            known = wanted.get(frame.index)
            if known is not None and known.pts == frame.pts:
                found.append(replace(known, render=frame.render))
            if frame.index == stretch.look.index:
                break
        if len(found) < len(wanted):
            work.clear()
            problem = "gives other frames than in the run before"
            raise VideoError(path, problem, "run again to start afresh")
        yield Stretch(stretch.since, tuple(found[:-1]), found[-1])


def _coverage(work: Unfinished, settings: DetectSettings, expected_s: float) -> float:
    """Return the share of the video that was looked at as the settings ask, in [0, 1]."""
    gaps, last = _gaps(work, settings), work.last()
    if last is None or (work.is_read and not gaps):
        return float(work.is_read)
    seen_s = last.time_s - sum(gap.length_s for gap in gaps)
    share = seen_s / max(last.time_s, expected_s, 1e-9)
    if not work.is_read and not expected_s:
        return 0.0  # the video's length is not known
    return min(max(share, 0.0), _NEARLY_ALL)
