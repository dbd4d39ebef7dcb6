"""End to end: what a user types, on a real video, against the truth it was made from."""

from __future__ import annotations

import filecmp
import json
import shutil
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import webvtt
from PIL import Image

from indexer import geometry
from indexer.__main__ import main
from indexer.config import EmbedSettings, Settings
from indexer.models import load_models
from indexer.store.library import open_library
from indexer.store.verify import verify
from tests.conftest import CAST, STRANGERS, Indexed, Show, run
from tests.faces import collins
from tests.videos import Recipe, make


@pytest.fixture(scope="module")
def timeline(library: Indexed) -> dict[str, Any]:
    done = run("export", "episode one", "--format", "json", "--library", library.library)
    assert (done.status, done.err) == (0, "")
    return dict(json.loads(done.out))


def test_indexing_says_what_it_found(library: Indexed) -> None:
    assert (library.enrolled.status, library.indexed.status) == (0, 0)
    assert library.indexed.err == ""
    truth = library.show.truth
    assert f"{len(truth.shots)} shots" in library.indexed.out
    assert "3 of them named" in library.indexed.out
    assert "% of that is expected to be wrong, at most " in library.indexed.out
    assert "x real time; seconds over all threads: hash" in library.indexed.out
    for name in CAST:
        assert name in library.enrolled.out


def test_the_timeline_keeps_its_schema_and_has_every_frame(
    library: Indexed, timeline: dict[str, Any]
) -> None:
    schema = resources.files("indexer.store").joinpath("timeline.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(schema)).validate(timeline)
    truth = library.show.truth
    assert [f["frame"] for f in timeline["frames"]] == list(range(truth.frames))
    times = np.array([f["time_s"] for f in timeline["frames"]])
    np.testing.assert_allclose(times - times[0], np.arange(truth.frames) / 25, atol=1e-3)
    assert [s["start_frame"] for s in timeline["shots"]] == [s.start_frame for s in truth.shots]


def test_the_timeline_says_who_is_where(library: Indexed, timeline: dict[str, Any]) -> None:
    truth = library.show.truth
    answers: Counter[str] = Counter()
    for frame in timeline["frames"]:
        real = truth.at(frame["frame"], least=0.9)
        boxes = np.array([f["box"] for f in frame["faces"]], np.float32).reshape(-1, 4)
        overlap = geometry.iou(real.boxes, boxes)
        for i, name in enumerate(real.names):
            best = int(overlap[i].argmax()) if boxes.size else -1
            if best < 0 or overlap[i, best] < 0.5:
                answers["missed"] += 1
                continue
            given = frame["faces"][best]["name"]
            wanted = name if name in CAST else None
            answers["right" if given == wanted else "unnamed" if given is None else "wrong"] += 1
    total = answers.total()
    assert total > 300
    assert answers["wrong"] == 0
    assert answers["missed"] <= 0.05 * total
    assert answers["right"] >= 0.9 * total


def test_strangers_are_people_without_a_name(timeline: dict[str, Any]) -> None:
    unnamed = [c for c in timeline["characters"] if c["name"] is None]
    assert len(unnamed) >= len(STRANGERS) - 1
    assert all(c["label"].startswith("Person ") for c in unnamed)
    named = {c["name"] for c in timeline["characters"]} - {None}
    assert named == set(CAST)


def test_filled_in_boxes_are_marked(timeline: dict[str, Any]) -> None:
    found = Counter(face["detected"] for frame in timeline["frames"] for face in frame["faces"])
    assert found[True] > 0
    assert found[False] > 2 * found[True]


def test_scenes_of_a_character_are_where_the_character_is(library: Indexed) -> None:
    done = run("query", "--character", "ada", "--json", "--library", library.library)
    assert done.status == 0
    hits = json.loads(done.out)
    truth = library.show.truth
    for hit in hits:
        middle = round((hit["start_s"] + hit["end_s"]) / 2 * 25)
        assert any("Ada" in truth.at(f).names for f in range(middle - 12, middle + 13))
        assert 0 < hit["screen_share"] <= 1
    shown = {
        s.shot
        for s in truth.shots
        if any("Ada" in truth.at(f, least=0.9).names for f in range(s.start_frame, s.end_frame + 1))
    }
    assert len({hit["shot"] for hit in hits} & shown) >= 0.9 * len(shown)
    scores = [round(hit["score"], 2) for hit in hits]
    assert scores == sorted(scores, reverse=True)
    table = run("query", "--character", "Ada", "--library", library.library).out
    assert "0:00:" in table


def test_with_without_and_min_seconds_narrow_the_scenes(library: Indexed) -> None:
    def hits(*more: str) -> list[dict[str, Any]]:
        done = run("query", "--character", "Ada", *more, "--json", "--library", library.library)
        assert done.status == (0 if json.loads(done.out) else 1)
        return list(json.loads(done.out))

    seconds = [
        sum(h["end_s"] - h["start_s"] for h in some)
        for some in (hits(), hits("--with", "Ben"), hits("--without", "Ben"))
    ]
    assert seconds[1] < seconds[0]
    assert seconds[2] <= seconds[0]
    assert seconds[1] + seconds[2] <= seconds[0] + 1.0 * len(hits())
    assert all(h["end_s"] - h["start_s"] >= 1.5 for h in hits("--min-seconds", "1.5"))
    assert hits("--min-seconds", "1000") == []


def test_an_image_finds_the_tracks_of_who_is_on_it(library: Indexed) -> None:
    image = library.show.gallery / "Ben" / "2.png"
    done = run("query", "--image", image, "--count", 3, "--json", "--library", library.library)
    hits = json.loads(done.out)
    assert done.status == 0
    assert [hit["character"] for hit in hits] == ["Ben"] * 3
    assert hits[0]["score"] > 0.9


def test_the_other_formats(library: Indexed, tmp_path: Path) -> None:
    target = tmp_path / "ep.vtt"
    done = run(
        "export",
        "episode one",
        "--format",
        "webvtt",
        "--output",
        target,
        "--library",
        library.library,
    )
    assert (done.status, done.out) == (0, "")
    assert any("Ada" in cue.text for cue in webvtt.read(str(target)).captions)
    done = run("export", "episode one", "--format", "csv", "--library", library.library)
    assert done.out.startswith("character,start_s,end_s,shot,track,probability\n")
    assert len(done.out.splitlines()) > 10


def test_people_info_and_verify(library: Indexed) -> None:
    people = json.loads(run("people", "--json", "--library", library.library).out)
    times = [person["screen_time_s"] for person in people]
    assert times == sorted(times, reverse=True)
    assert {p["label"] for p in people if p["named"]} == set(CAST)
    info = run("info", "--library", library.library)
    assert (info.status, "1 episode\n" in info.out) == (0, True)
    evidence = json.loads(
        run("info", "--character", "Cleo", "--json", "--library", library.library).out
    )
    assert evidence["genuine"]["of"] == 4
    assert evidence["impostors"]["of"] >= 8  # others' stills, and people on screen with her
    assert all(-1 < threshold < 1 for threshold in evidence["thresholds"].values())
    done = run("verify", "--library", library.library)
    assert (done.status, done.out.strip()) == (0, f"{library.library}: intact")


def test_indexing_again_does_nothing_and_says_so(library: Indexed) -> None:
    before = {p: p.stat().st_mtime_ns for p in library.library.rglob("*") if p.is_file()}
    again = run("index", library.show.video, "--library", library.library)
    assert (again.status, "unchanged" in again.out) == (0, True)
    judged = ("people, estimated", "names: ")
    said = [line for line in library.indexed.out.splitlines() if line.strip().startswith(judged)]
    assert len(said) == 2
    assert all(line in again.out for line in said)  # the audit is read from the library
    after = {p: p.stat().st_mtime_ns for p in library.library.rglob("*") if p.is_file()}
    before.pop(library.library / ".lock", None)
    after.pop(library.library / ".lock", None)
    assert after == before


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_video_gives_the_same_bytes_whatever_the_threads(
    library: Indexed, tmp_path: Path, workers: int
) -> None:
    other = tmp_path / "other"
    run("enroll", library.show.gallery, "--library", other)
    threads = ("--set", f"decode.threads={workers}", "--set", f"detect.workers={workers}")
    assert run("index", library.show.video, "--library", other, *threads).status == 0
    tables = [p.relative_to(library.library) for p in library.library.rglob("*.parquet")]
    assert len(tables) == 8
    for table in tables:
        assert filecmp.cmp(library.library / table, other / table, shallow=False), table


def test_names_given_after_indexing_come_out_alike(
    show: Show, library: Indexed, tmp_path: Path
) -> None:
    """Indexing before enrolling gives every track the name that it gets the other way round."""
    late = tmp_path / "late"
    done = run("index", show.video, "--library", late)
    assert "0 of them named" in done.out
    assert "names: none of the faces' time" in done.out
    people = json.loads(run("people", "--json", "--library", late).out)
    assert [p["label"] for p in people] == [f"Person {i + 1}" for i in range(len(people))]
    assert 4 <= len(people) <= 8
    assert run("enroll", show.gallery, "--library", late).status == 0
    both = [
        {
            row["start_s"]: row["name"]
            for c in json.loads(run("export", "episode one", "--library", root).out)["characters"]
            for row in [
                {"start_s": (i["start_s"], i["track"]), "name": c["name"]} for i in c["intervals"]
            ]
        }
        for root in (late, library.library)
    ]
    assert both[0] == both[1]
    assert verify(open_library(late)) == []


def test_stills_in_another_case_are_of_the_same_person(library: Indexed, tmp_path: Path) -> None:
    root, gallery = tmp_path / "library", tmp_path / "gallery"
    shutil.copytree(library.library, root)
    shutil.copytree(library.show.gallery / "Ada", gallery / "ADA")
    asked = ("people", "--json", "--library", root)
    before = json.loads(run(*asked).out)
    done = run("enroll", gallery, "--library", root, "--json")
    assert (done.status, done.err) == (0, "")
    [ada] = json.loads(done.out)
    assert ada["name"] == "Ada"
    assert {one["id"]: one["label"] for one in before}[ada["id"]] == "Ada"
    assert json.loads(run(*asked).out) == before
    assert run("move", "1", "ADA", "--library", root).err.startswith("track 1: is not in")


def test_several_videos_in_one_command_and_one_of_them_bad(show: Show, tmp_path: Path) -> None:
    copy, text = tmp_path / "copy.mp4", tmp_path / "text.mp4"
    shutil.copy(show.video, copy)
    text.write_text("no video")
    root = tmp_path / "library"
    fast = ("--set", "detect.every_s=2.0")
    done = run("index", text, show.video, copy, "--library", root, *fast)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert str(text) in done.err
    assert done.out.count("unchanged") == 1  # the copy is the same video
    assert len(list((root / "episodes").iterdir())) == 1


def test_indexing_on_a_cpu_loads_no_torch_once_the_networks_are_kept(tmp_path: Path) -> None:
    load_models(Settings(embed=EmbedSettings(device="cpu")))
    video = make(tmp_path / "some.mp4", Recipe())
    code = """
import sys
from indexer.__main__ import main

status = main(["index", *sys.argv[1:], "--set", "embed.device=cpu"])
print(status, {"torch", "torchvision", "facenet_pytorch"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code, str(video), "--library", str(tmp_path / "library")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 set()"


def test_a_renamed_video_stays_its_episode_however_often_it_is_indexed(tmp_path: Path) -> None:
    first, second = tmp_path / "pilot.mp4", tmp_path / "s01e01.mp4"
    make(first, Recipe())
    shutil.copy(first, second)
    root = tmp_path / "library"
    for every_s, path in [(0.4, first), (0.3, second), (0.2, second), (0.1, first)]:
        done = run("index", path, "--library", root, "--set", f"detect.every_s={every_s}")
        assert done.status == 0, done.err
        assert "unchanged" not in done.out
    [episode] = (root / "episodes").iterdir()
    assert episode.name.startswith("pilot-")


def test_what_is_damaged_is_made_anew_by_indexing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, root = make(tmp_path / "ep.mp4", Recipe()), tmp_path / "library"
    assert main(["index", str(video), "--library", str(root)]) == 0
    for name in ("faces", "tracks", "identities", "frames", "shots"):
        [table] = root.glob(f"episodes/*/{name}.parquet")
        whole = table.read_bytes()
        if name == "tracks":
            table.write_bytes(whole[:-9])
        else:
            table.unlink()
        assert main(["verify", "--library", str(root)]) == 2
        capsys.readouterr()
        assert main(["index", str(video), "--library", str(root)]) == 0
        assert "unchanged" not in capsys.readouterr().out
        assert table.read_bytes() == whole
        assert main(["verify", "--library", str(root)]) == 0


@pytest.mark.parametrize("name", ["identities", "tracks", "faces"])
def test_damage_where_people_are_seen_is_mended_too(
    name: str, library: Indexed, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    [table] = root.glob(f"episodes/*/{name}.parquet")
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert main(["index", str(library.show.video), "--library", str(root)]) == 0
    assert table.read_bytes() == whole
    assert verify(open_library(root)) == []


def test_a_shot_begins_with_its_first_frame(tmp_path: Path) -> None:
    late = Recipe(ticks=tuple(range(25, 45)), time_base=Fraction(1, 25), audio_s=2.0)
    root = tmp_path / "library"
    assert run("index", make(tmp_path / "ep.mp4", late), "--library", root).status == 0
    timeline = json.loads(run("export", "ep", "--library", root).out)
    assert timeline["frames"][0]["time_s"] == timeline["shots"][0]["start_s"] == 1.0


def test_a_still_with_several_faces_or_none_is_reported_and_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "faces" / "Ada"
    folder.mkdir(parents=True)
    face = collins()[:300, 80:400]
    Image.fromarray(face).save(folder / "good.png")
    Image.fromarray(np.concatenate([face, face], axis=1)).save(folder / "two.png")
    Image.new("RGB", (200, 200)).save(folder / "none.png")
    (folder / "text.jpg").write_text("no picture")
    root = tmp_path / "library"
    done = run("enroll", tmp_path / "faces", "--library", root, "--json")
    assert done.status == 0
    lines = sorted(done.err.splitlines())
    assert len(lines) == 3
    for line, (name, problem) in zip(
        lines,
        [
            ("none.png", "shows no face"),
            ("text.jpg", "is not an image"),
            ("two.png", "shows 2 faces"),
        ],
        strict=True,
    ):
        assert line.startswith(f"skipped {folder / name}: {problem}")
    assert json.loads(done.out)[0]["stills"] == 1
