"""Bad input through the command line: one line, exit 2, and the library as it was."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from indexer.__main__ import main
from indexer.commands import console, indexing
from indexer.nets import encoder, weights
from tests.conftest import Indexed, Show, run
from tests.videos import Recipe, cut, make, make_audio

FAST = ("--set", "detect.every_s=1.0")


@dataclass(frozen=True)
class Said:
    """A command's exit status and stderr."""

    status: int
    err: str


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def copy(library: Indexed, tmp_path: Path) -> Path:
    """A copy of the library that a test may ruin."""
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    return root


def say(capfd: pytest.CaptureFixture[str], *arguments: object) -> Said:
    status = main([str(argument) for argument in arguments])
    return Said(status, capfd.readouterr().err)


def assert_refused(said: Said, path: object, problem: str) -> None:
    assert said.status == 2
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith(f"{path}: ")
    assert problem in said.err
    assert said.err.rstrip().endswith(")")  # the remedy


def bad_videos(folder: Path) -> dict[Path, str]:
    folder.mkdir()
    empty, text, audio = folder / "empty.mp4", folder / "text.mp4", folder / "audio.mp4"
    empty.write_bytes(b"")
    text.write_text("Who is on screen?\n" * 50)
    return {
        folder / "missing.mp4": "no such file",
        folder: "is not a file",
        empty: "empty",
        text: "not a video",
        make_audio(audio): "only audio",
    }


def test_videos_that_are_none_are_refused_and_nothing_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new library"
    for path, problem in bad_videos(tmp_path / "videos").items():
        said = say(capfd, "index", path, "--library", root)
        assert_refused(said, path, problem)
        assert not root.exists()


def test_videos_that_are_none_leave_a_library_as_it_was(
    copy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = tree(copy)
    videos = bad_videos(tmp_path / "videos")
    assert main(["index", *map(str, videos), "--library", str(copy)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(map(str, videos))
    assert tree(copy) == before


def test_the_readable_part_of_a_cut_video_is_indexed_and_the_loss_reported(
    show: Show, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    video = cut(make(tmp_path / "cut.mkv", Recipe(count=120)), 0.6)
    root = tmp_path / "library"
    assert main(["index", str(video), "--library", str(root), *FAST]) == 0
    out = capfd.readouterr().out
    assert "cut off" in out
    manifest = json.loads(next(root.glob("episodes/*/manifest.json")).read_text())
    assert manifest["decode"]["truncated"] is True
    assert 0 < manifest["decode"]["frames"] < 120
    assert manifest["video"]["frames"] == manifest["decode"]["frames"]


def test_a_gallery_of_nobody_is_refused(
    copy: Path, show: Show, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = tree(copy)
    empty, unusable = tmp_path / "empty", tmp_path / "unusable"
    empty.mkdir()
    (unusable / "Ann").mkdir(parents=True)
    (unusable / "Ann" / "1.jpg").write_text("no picture")
    assert_refused(say(capfd, "enroll", empty, "--library", copy), empty, "holds nobody")
    shutil.copytree(show.gallery / "Ada", unusable / "Abe")
    (unusable / "Abe" / "9.jpg").write_text("no picture")
    said = say(capfd, "enroll", unusable, "--library", copy)
    *skipped, refusal = said.err.splitlines(keepends=True)
    for line, path in zip(skipped, ("Abe/9.jpg", "Ann/1.jpg"), strict=True):
        assert line.startswith(f"skipped {unusable / path}: is not an image")
    assert_refused(Said(said.status, refusal), unusable / "Ann", "has no still that can be used")
    missing = tmp_path / "missing"
    assert_refused(say(capfd, "enroll", missing, "--library", copy), missing, "no such folder")
    for name, problem in [
        ("person 3", "people without a name"),
        ("A\nB", "cannot be shown"),
        ("Unknown", "show nobody known"),
    ]:
        odd = tmp_path / f"odd {len(name)}"
        shutil.copytree(unusable / "Ann", odd / name)
        said = say(capfd, "enroll", odd, "--library", copy)
        assert (said.status, said.err.count("\n"), problem in said.err) == (2, 1, True), said.err
    for one, other in [("Zoe", "ZOE"), ("Ann  Lee", "Ann Lee"), ("Bo ", " Bo")]:
        twice = tmp_path / f"twice {one}"
        for name in (one, other):
            shutil.copytree(unusable / "Ann", twice / name)
        said = say(capfd, "enroll", twice, "--library", copy)
        assert (said.status, said.err.count("\n")) == (2, 1)
        assert f"is the same name as {' '.join(min(one, other).split())}" in said.err
    (tmp_path / "some" / "Bob" / "season 1").mkdir(parents=True)
    shutil.copytree(show.gallery / "Ada", tmp_path / "some" / "Ada")
    said = say(capfd, "enroll", tmp_path / "some", "--library", copy)
    assert_refused(said, tmp_path / "some" / "Bob", "has no still that can be used")
    said = say(capfd, "enroll", show.gallery, "--strangers", unusable / "Ann", "--library", copy)
    *_, refusal = said.err.splitlines(keepends=True)
    assert_refused(Said(said.status, refusal), unusable / "Ann", "has no still that can be used")
    assert tree(copy) == before


def test_an_unknown_character_is_answered_with_the_nearest_names(
    library: Indexed, capfd: pytest.CaptureFixture[str]
) -> None:
    said = say(capfd, "query", "--character", "Adda", "--library", library.library)
    assert_refused(said, library.library, "Adda")
    assert "Ada" in said.err
    said = say(capfd, "query", "--character", "Ada", "--with", "Bem", "--library", library.library)
    assert_refused(said, library.library, "Bem")
    assert "Ben" in said.err
    said = say(capfd, "export", "nothing like it", "--library", library.library)
    assert_refused(said, library.library, "nothing like it")


def test_questions_that_make_no_sense_are_refused(
    library: Indexed, capfd: pytest.CaptureFixture[str]
) -> None:
    image = library.show.gallery / "Ben" / "2.png"
    asked = ("query", "--image", image, "--library", library.library)
    for form in ("csv", "webvtt"):
        said = say(capfd, "export", "episode one", "--json", "--format", form)
        assert_refused(said, "--json", f"cannot be combined with --format {form}")
    for more in [("--episode", "x"), ("--min-seconds", "2"), ("--with", "Ada")]:
        assert_refused(say(capfd, *asked, *more), "--image", "cannot be combined with")
    for more in [("--count", "0"), ("--min-seconds", "nan"), ("--min-seconds", "-1")]:
        assert_not_parsed(capfd, [*asked, *more], "query", more[1])


def assert_not_parsed(
    capfd: pytest.CaptureFixture[str], words: list[object], command: str, problem: str
) -> None:
    with pytest.raises(SystemExit) as left:
        say(capfd, *words)
    prog = f"python -m indexer {command}".strip()
    said = Said(int(str(left.value)), capfd.readouterr().err)
    assert_refused(said, prog, problem)
    assert said.err.endswith(f"(see {prog} --help)\n")


def test_what_cannot_be_parsed_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    for words, command, problem in [
        (["move", "x", "Ann"], "move", "argument TRACK: x is not a track number"),
        (["not-this", "1.5", "Ann"], "not-this", "1.5 is not a track number"),
        (["split", "Ann"], "split", "required: TRACK"),
        (["explain", "ep", "1:90"], "explain", "1:90 is not a time"),
        (["explain", "ep", "1.5:30"], "explain", "1.5:30 is not a time"),
        (["explain", "ep", "1:60:00"], "explain", "1:60:00 is not a time"),
        (["undo", "abc"], "undo", "argument N: abc is not a whole number"),
        (["query", "--count", "x"], "query", "argument --count: x is not a whole number"),
        (["query", "--min-seconds", "x"], "query", "x is not a number of seconds"),
        (["undo", "0"], "undo", "0 is less than 1"),
        (["people", "--page"], "people", "--page"),
        (["index", "https://example.org/ep.mp4"], "index", "is an address: download"),
        (["people", "--library", ""], "people", "name is empty"),
        (["people", "--library", os.fsdecode(b"a\xff")], "people", "is not in UTF-8"),
        (["sing\nsong"], "", "invalid choice"),
        ([], "", "required: COMMAND"),
    ]:
        assert_not_parsed(capfd, list(words), command, problem)
    assert [console.moment(one) for one in ("83.5", "1:23.5", "0:01:23.5", "90:00", "90")] == [
        83.5,
        83.5,
        83.5,
        5400,
        90,
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_output_that_takes_no_more_is_one_line(library: Indexed) -> None:
    command = [sys.executable, "-m", "indexer", "people", "--library", str(library.library)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert_refused(Said(done.returncode, done.stderr), "output", "No space left")


def test_no_output_and_one_that_cannot_show_a_name_are_done_without(
    library: Indexed, tmp_path: Path
) -> None:
    root = tmp_path / "library"
    shutil.copytree(library.library, root)
    assert run("name", "Ada", "Жанна 007", "--library", root).status == 0
    command = [sys.executable, "-m", "indexer", "people", "--library", str(root)]
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, text=True, check=False
    )
    assert (closed.returncode, closed.stderr) == (0, "")
    plain = subprocess.run(
        command,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (plain.returncode, plain.stderr) == (0, "")
    assert "\\u0416\\u0430\\u043d\\u043d\\u0430 007" in plain.stdout


def test_pages_and_sheets_go_where_they_are_asked_to(
    library: Indexed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target, link, pipe = tmp_path / "target.html", tmp_path / "link.html", tmp_path / "pipe"
    link.symlink_to(target)
    os.mkfifo(pipe)
    said = say(capfd, "people", "--page", link, "--library", library.library)
    assert (said.status, link.is_symlink()) == (0, True)
    page = target.read_bytes()
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as cat:
        assert say(capfd, "people", "--page", pipe, "--library", library.library).status == 0
        assert cat.stdout is not None
        assert cat.stdout.read() == page
    assert pipe.is_fifo()
    for option in ("--page", "--sheet"):
        said = say(capfd, "people", option, tmp_path, "--library", library.library)
        assert_refused(said, tmp_path, "is a folder")


def test_there_is_no_library_and_no_image(
    library: Indexed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    none, text = tmp_path / "none", tmp_path / "text.jpg"
    text.write_text("no picture")
    for command in (["query", "--character", "Ada"], ["people"], ["info"], ["verify"]):
        assert_refused(say(capfd, *command, "--library", none), none, "no library here")
    said = say(capfd, "query", "--image", text, "--library", library.library)
    assert_refused(said, text, "is not an image")
    assert not none.exists()


def test_a_library_of_another_encoder_is_refused(
    copy: Path, show: Show, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    facts = weights.read_facts(weights.DEFAULT_ENCODER)
    torch.manual_seed(0)
    other = tmp_path / "other.safetensors"
    weights.save(other, encoder.build("sface", 128).state_dict(), facts)
    before = tree(copy)
    setting = ("--set", f"embed.weights={other}", "--set", "embed.mirrored=false")
    image = show.gallery / "Ada" / "0.png"
    for command in (["index", show.video], ["enroll", show.gallery], ["query", "--image", image]):
        said = say(capfd, *command, "--library", copy, *setting)
        assert_refused(said, copy, "was made with encoder")
        assert "(add --set embed.weights= --set embed.mirrored=true, or choose" in said.err
    assert tree(copy) == before
    path = copy / "library.json"
    content = json.loads(path.read_text())
    sface = dataclasses.replace(weights.read_facts(weights.SFACE_ENCODER), mirrored=True)
    content["settings"]["embed"]["weights"] = "my.safetensors"
    for encoder_id, remedy in [
        (sface.encoder_id, "add --set embed.weights=sface, or choose"),
        ("0" * 64, "--set embed.weights=FILE (embed.weights was my.safetensors), or choose"),
    ]:
        path.write_text(json.dumps({**content, "encoder_id": encoder_id}))
        said = say(capfd, "query", "--image", image, "--library", copy)
        assert_refused(said, copy, f"was made with encoder {encoder_id[:8]}, not ")
        assert remedy in said.err


def test_a_library_of_a_newer_version_is_refused(
    copy: Path, show: Show, capfd: pytest.CaptureFixture[str]
) -> None:
    path = copy / "library.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema_version": 999}))
    before = tree(copy)
    for command in (["index", show.video], ["people"], ["export", "episode one"]):
        assert_refused(say(capfd, *command, "--library", copy), path, "newer version")
    assert tree(copy) == before


def test_settings_that_are_none_are_refused(
    show: Show, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root, file = tmp_path / "library", tmp_path / "show.toml"
    file.write_text("[detect]\nevery = 1\n")
    said = say(capfd, "index", show.video, "--library", root, "--set", "detect.every=1")
    assert_refused(said, "--set detect.every=1", "unknown setting detect.every")
    said = say(capfd, "index", show.video, "--library", root, "--config", file)
    assert_refused(said, file, "unknown setting detect.every")
    for odd in ("detect.every_s=inf", "cluster.min_log_odds=nan", "recognize.min_probability=0"):
        said = say(capfd, "index", show.video, "--library", root, "--set", odd)
        assert_refused(said, f"--set {odd}", odd.partition("=")[0])
    missing = tmp_path / "none.safetensors"
    said = say(capfd, "index", show.video, "--library", root, "--set", f"embed.weights={missing}")
    assert_refused(said, missing, "no such weights file")
    assert not root.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_gpu_that_is_not_there_is_refused(
    show: Show, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "library"
    said = say(capfd, "index", show.video, "--library", root, "--set", "embed.device=cuda")
    assert_refused(said, "embed.device=cuda", "no GPU")
    assert not root.exists()


def index_limited(video: Path, root: Path, largest: int) -> subprocess.CompletedProcess[str]:
    """Index in a process that may not write files larger than a limit, as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    command = [sys.executable, "-m", "indexer", "index", str(video), "--library", str(root), *FAST]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)


def test_a_disk_that_takes_no_more_leaves_the_library_as_it_was(copy: Path, tmp_path: Path) -> None:
    before = tree(copy)
    video = make(tmp_path / "other.mp4", Recipe(count=60))
    done = index_limited(video, copy, largest=600)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert str(copy) in done.stderr
    assert tree(copy) == before
    assert run("verify", "--library", copy).status == 0


def as_nobody(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a user to whom file modes apply and who can reach the folder."""
    script = (
        "import os, sys, indexer.pipeline, indexer.models\n"
        "from indexer.__main__ import main; from facenet_pytorch.models import mtcnn\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    for one in (folder, *folder.parents):
        if os.access(one, os.W_OK) and one.owner() != "nobody" and one != Path("/"):
            one.chmod(one.stat().st_mode | 0o055)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_videos_that_may_not_be_read_do_not_stop_the_others(tmp_path: Path) -> None:
    video, missing, root = tmp_path / "some.mp4", tmp_path / "none.mp4", tmp_path / "library"
    video.write_bytes(b"anything")
    video.chmod(0)
    done = as_nobody(tmp_path, "index", video, missing, "--library", root)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert (
        first == f"{video}: cannot be read: Permission denied (check its permissions and the disk)"
    )
    assert second.startswith(f"{missing}: there is no such file")
    assert not root.exists()


def test_a_folder_of_stills_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    closed, root = tmp_path / "gallery" / "Ann", tmp_path / "library"
    closed.parent.mkdir()
    closed.mkdir(mode=0)
    done = as_nobody(tmp_path, "enroll", closed.parent, "--library", root)
    assert_refused(Said(done.returncode, done.stderr), closed, "permission denied")
    assert not root.exists()


def test_a_folder_that_cannot_be_written_is_refused_at_once(show: Show, tmp_path: Path) -> None:
    root = tmp_path / "locked"
    root.mkdir(0o555)
    video = make(tmp_path / "some.mp4", Recipe(count=30))
    video.chmod(0o644)
    done = as_nobody(tmp_path, "index", video, "--library", root)
    root.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{root}")
    assert "permission" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(root.iterdir()) == []


def test_two_runs_on_one_library_at_once_both_end_well(tmp_path: Path) -> None:
    root = tmp_path / "library"
    videos = [make(tmp_path / f"{n}.mp4", Recipe(count=40 + n)) for n in (1, 2)]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "indexer", "index", str(v), "--library", str(root), *FAST],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for v in videos
    ]
    for one in runs:
        _, err = one.communicate()
        assert (one.returncode, err) == (0, "")
    assert len(list((root / "episodes").iterdir())) == 2
    assert run("verify", "--library", root).out.strip().endswith("intact")


def test_a_run_that_finds_the_library_taken_waits_and_then_says_so(
    copy: Path,
    library: Indexed,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What took long is not thrown away for it."""
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire();"
         "print('held', flush=True); sys.stdin.read()", str(copy / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    before = tree(copy)
    soon = ("--library", copy, "--set", "store.lock_wait_s=0.2")
    assert_refused(say(capfd, "enroll", library.show.gallery, *soon), copy, "another run")
    assert tree(copy) == before
    print_line = indexing._say

    def let_go(line: str) -> None:
        print_line(line)
        holder.communicate("")

    monkeypatch.setattr(indexing, "_say", let_go)
    video = make(tmp_path / "other.mp4", Recipe(count=30))
    said = say(capfd, "index", video, *FAST, *soon)
    line = f"{copy}: another run is using the library; waiting until it is done\n"
    assert said == Said(0, line)
    assert len(list((copy / "episodes").iterdir())) == 2
