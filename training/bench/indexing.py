"""The time of indexing against decoding alone and against the usual script, and its memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1
from PIL import Image

from indexer import parallel
from indexer.errors import VideoError
from training.evaluate.clips import Cost, cost_of, cost_of_indexing

_DECODE = """
import sys, av
with av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    stream.thread_type, stream.codec_context.thread_count = "AUTO", int(sys.argv[2])
    print(sum(1 for _ in container.decode(stream)))
"""
_WARM_UP = 1
SPARING = "decode.frames=reference"
"""The setting by which only reference frames are decoded."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What indexing a video costs, beside decoding it without converting frames."""

    frames: int
    decoding: Cost
    indexing: Cost
    sparing: Cost
    """Cost of indexing it from its reference frames alone."""
    short: Cost
    """Cost of indexing a tenth of the video."""
    seconds: Mapping[str, float]
    """Seconds of each stage, over all threads."""
    usual_cpu_s: float
    """CPU seconds of the usual script per frame."""

    @property
    def usual_frames_per_core_s(self) -> float:
        """Return how many frames per core-second the usual script processes."""
        return 1 / self.usual_cpu_s

    @property
    def memory_growth(self) -> float:
        """Return the ratio of the peak memory to that for a tenth of the video."""
        return self.indexing.peak_mb / self.short.peak_mb


def measure(video: Path, work: Path, repeats: int = 20) -> Whole:
    """Return what indexing costs for a video joined to itself `repeats` times.

    Raises:
        VideoError: the video cannot be read or indexed.
    """
    long, short = work / "long.mp4", work / "short.mp4"
    repeat(video, long, repeats)
    repeat(video, short, max(1, repeats // 10))
    command = ["-c", _DECODE, str(long), str(parallel.cores())]
    decoding = cost_of(command, work / "frames.txt")
    if decoding is None:
        raise VideoError(video, "cannot be decoded", "check the data folder")
    brief = cost_of_indexing(short, work / "short-library")
    whole = cost_of_indexing(long, work / "long-library")
    sparing = cost_of_indexing(long, work / "sparing-library", "--set", SPARING)
    return Whole(
        frames=int((work / "frames.txt").read_text()),
        decoding=decoding,
        indexing=whole.cost,
        sparing=sparing.cost,
        short=brief.cost,
        seconds=whole.said["seconds"],
        usual_cpu_s=usual_script(video),
    )


def usual_script(video: Path, frames: int = 8) -> float:
    """Return the core-seconds per frame of MTCNN on every frame and an encoder on every face.

    As in facenet-pytorch's own examples, at its default settings, on one thread; the encoder has
    random weights, which do not matter for its time.
    """
    torch.set_num_threads(1)
    detector, encoder = MTCNN(keep_all=True), InceptionResnetV1().eval()
    started = time.process_time()
    with av.open(str(video)) as container, torch.inference_mode():
        for count, frame in enumerate(container.decode(video=0)):
            if count == _WARM_UP:
                started = time.process_time()
            if count == frames + _WARM_UP:
                break
            faces = detector(Image.fromarray(frame.to_ndarray(format="rgb24")))
            if faces is not None:
                encoder(faces)
    return (time.process_time() - started) / frames


def repeat(video: Path, target: Path, times: int) -> None:
    """Write a video's packets `times` times, one copy after another.

    Raises:
        VideoError: the video cannot be read.
    """
    try:
        with av.open(str(target), "w") as out:
            stream, shift = None, 0
            for _ in range(times):
                with av.open(str(video)) as container:
                    source = container.streams.video[0]
                    stream = stream or out.add_stream_from_template(source)
                    frame = Fraction(1) / (source.average_rate or 25)
                    step = round(frame / (source.time_base or Fraction(1, 1000)))
                    end = shift
                    for packet in container.demux(source):
                        if packet.pts is None or packet.dts is None:
                            continue
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        end = max(end, packet.pts + (packet.duration or step))
                        packet.stream = stream
                        out.mux(packet)
                    shift = end
    except av.error.FFmpegError as error:
        raise VideoError(video, f"cannot be read: {error}", "check the data folder") from error
