"""Decisions made on the people page are carried out by ``name --from`` as they were meant."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from indexer import crowd, naming, page
from indexer.__main__ import main
from indexer.errors import StoreError
from indexer.request import Merge, Name
from indexer.store import read
from indexer.store.library import Library, open_library
from tests import libraries
from tests.conftest import run
from tests.libraries import Shown
from tests.test_page import data_of

NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ONE, TWO, THREE, EVE = 1, 2, 3, 4
PILOT = libraries.episode(
    shots=(50, 50, 50, 50),
    shown=[
        Shown(0, 40, ONE),
        Shown(50, 99, ONE),
        Shown(100, 120, TWO),
        Shown(150, 165, THREE),
        Shown(155, 170, EVE),
        Shown(180, 199, TWO),
    ],
)
UIDS = [one.uid for one in PILOT.tracks]
CAST = [libraries.character(n, named=False) for n in (ONE, TWO, THREE)]
CAST.append(libraries.character(EVE, "Eve"))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, CAST)


def shown(library: Library) -> list[str]:
    """Return the labels of the tracks, in their order."""
    now = open_library(library.root)
    names = {one.id: one.label for one in read.read_characters(now)}
    who = {one.track: names[one.character] for one in read.read_identities(now, PILOT.id)}
    return [who[uid] for uid in UIDS]


def carried_out(library: Library, file: Mapping[str, Any]) -> list[str]:
    """Return the labels of the tracks after the command carried out a file of decisions."""
    path = library.root.parent / "decisions.json"
    path.write_text(json.dumps(file))
    assert main(["name", "--from", str(path), "--library", str(library.root)]) == 0
    return shown(library)


def by_hand(*decisions: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": "decisions/1", "decisions": list(decisions)}


def name(person: str, given: str) -> dict[str, Any]:
    return {"do": "name", "person": person, "as": given}


def merge(person: str, into: str) -> dict[str, Any]:
    return {"do": "merge", "person": person, "into": into}


def split(person: str, *tracks: int) -> dict[str, Any]:
    return {"do": "split", "person": person, "tracks": tracks}


P1, P2, P3 = "Person 1", "Person 2", "Person 3"


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        # Labels in a decision are those that the library had before the file.
        ([name(P1, "Ann"), merge(P3, P1)], ["Ann", "Ann", P2, "Ann", "Eve", P2]),
        ([name(P1, "Ann"), merge(P3, "Ann")], ["Ann", "Ann", P2, "Ann", "Eve", P2]),
        ([name(P1, "Ann"), name(P1, "Bea")], ["Bea", "Bea", P2, P3, "Eve", P2]),
        ([name(P1, "Ann"), split(P1, UIDS[1])], ["Ann", P3.replace("3", "4"), P2, P3, "Eve", P2]),
        ([split(P1, UIDS[1]), name(P1, "Ann")], ["Ann", P3.replace("3", "4"), P2, P3, "Eve", P2]),
        ([name("Eve", "Zoe"), name(P1, "Eve")], ["Eve", "Eve", P2, P3, "Zoe", P2]),
    ],
)
def test_files_that_were_refused(
    library: Library, decisions: Sequence[Mapping[str, Any]], expected: list[str]
) -> None:
    assert carried_out(library, by_hand(*decisions)) == expected


def test_a_refusal_names_the_file_the_decision_and_a_remedy(library: Library) -> None:
    path = library.root.parent / "decisions.json"
    twice = by_hand(name(P1, "Ann"), split(P2, UIDS[2]), split(P2, UIDS[2]))
    path.write_text(json.dumps(twice))
    done = run("name", "--from", path, "--library", library.root)
    assert done.status == 2
    problem = f"{path}: decision 3: track {UIDS[2]} is not a track of Person 2 (see their tracks"
    assert done.err.startswith(problem)
    assert shown(library)[0] == P1  # all or nothing
    path.write_text(json.dumps(by_hand(name(P1, "Ann"), {"do": "split", "person": P2})))
    done = run("name", "--from", path, "--library", library.root)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"{path}: decision 2: tracks: Field required (")


def test_a_page_that_is_older_than_a_name_still_means_the_same(library: Library) -> None:
    naming.decide(library, [Name(P1, "Ann")])
    path = library.root.parent / "decisions.json"
    file = {**by_hand(merge(P3, P1)), "people": {P1: ONE, P3: THREE}}
    assert carried_out(library, file)[3] == "Ann"
    path.write_text(json.dumps({**by_hand(name("Bob", "Carl")), "people": {"Bob": TWO}}))
    with pytest.raises(StoreError, match="decision 1: 'Bob' is not in the library any more"):
        naming.carry_out(open_library(library.root), path)


@pytest.fixture
def settled(library: Library, tmp_path: Path) -> Callable[..., Any]:
    """A function from what was said of people, by id, to what the page's script makes of it."""
    return script(library, tmp_path)


def script(library: Library, folder: Path) -> Callable[..., Any]:
    """Return a function that runs the script of the library's page on what was said of people."""
    page.write_page(folder / "people.html", crowd.everybody(library), library=library.root)
    script = folder / "page.js"
    script.write_text(resources.files("indexer").joinpath("page.js").read_text())
    (folder / "data.json").write_text(json.dumps(data_of(folder / "people.html")))

    def settle(said: Mapping[int, Mapping[str, Any]]) -> Any:  # noqa: ANN401 - JSON
        asked = f"""
            const page = require({json.dumps(str(script))});
            const data = require({json.dumps(str(folder / "data.json"))});
            const found = page.settle(data, {json.dumps(said)});
            console.log(JSON.stringify({{...found, named: [...found.named]}}));
        """
        done = subprocess.run(
            [str(NODE), "-e", asked], capture_output=True, text=True, check=True, timeout=60
        )
        return json.loads(done.stdout)

    return settle


@needs_node
@pytest.mark.parametrize(
    ("said", "named", "expected"),
    [
        ({}, {EVE}, [P1, P1, P2, P3, "Eve", P2]),
        ({1: {"name": "Ann"}, 3: {"name": "Person 1"}}, {1, 3, EVE}, ["Ann"] * 2 + [P2, "Ann"]),
        ({1: {"name": "Ann"}, 3: {"name": "ANN"}}, {1, 3, EVE}, ["Ann"] * 2 + [P2, "Ann"]),
        ({3: {"name": P1}}, {EVE}, [P1, P1, P2, P1]),  # "Person 1" is a label and no name
        ({1: {"name": P2}, 2: {"name": P3}}, {EVE}, [P3, P3, P3, P3]),  # to the end of the chain
        ({1: {"name": P2}, 2: {"name": P1}}, {EVE}, [P2] * 3 + [P3]),  # a circle
        ({1: {"name": P2}, 2: {"name": "eve"}}, {1, 2, EVE}, ["Eve"] * 3 + [P3]),
        ({1: {"name": "Ann", "wrong": [UIDS[1]]}}, {1, EVE}, ["Ann", "Person 4", P2, P3]),
        ({1: {"wrong": [UIDS[1]]}, 2: {"name": P1}}, {EVE}, [P1, "Person 4", P1, P3]),
        ({EVE: {"wrong": [UIDS[4]]}}, {EVE}, [P1, P1, P2, P3, "Person 4", P2]),
    ],
)
def test_what_the_script_makes_of_it_can_be_carried_out(
    settled: Callable[..., Any],
    library: Library,
    said: Mapping[int, Mapping[str, Any]],
    named: set[int],
    expected: list[str],
) -> None:
    found = settled(said)
    assert set(found["named"]) == named
    assert found["meeting"] is None
    assert carried_out(library, found["file"])[: len(expected)] == expected


@needs_node
@pytest.mark.parametrize(("last", "met"), [(161, False), (162, True)])
def test_two_for_a_moment_may_be_one(tmp_path: Path, last: int, *, met: bool) -> None:
    """At 25 fps 7 frames are 0.28 s, 8 are 0.32 s; the page and the command have the same limit."""
    shown_ = [Shown(100, last, ONE), Shown(155, 170, TWO)]
    made = libraries.episode(shots=(200,), shown=shown_)
    home = libraries.put(libraries.new(tmp_path / "two"), made, CAST[:2])
    found = script(home, tmp_path)({ONE: {"name": P2}})
    assert (found["meeting"] is not None) is met
    asked = [Merge(P1, P2)]
    if met:
        with pytest.raises(StoreError, match="on screen together"):
            naming.decide(home, asked)
    else:
        naming.decide(home, asked)


@needs_node
def test_two_in_one_frame_are_found_unless_one_is_somebody_else(
    settled: Callable[..., Any],
) -> None:
    met = settled({3: {"name": "Eve"}})["meeting"]
    assert [track[0] for track, _ in met] == UIDS[3:5]
    assert settled({3: {"name": "Eve"}, EVE: {"wrong": [UIDS[4]]}})["meeting"] is None


CLICKS = """
<script>
const section = id => document.getElementById("p" + id);
const type = (id, text) => {
  section(id).querySelector("input").value = text;
  section(id).querySelector("form").requestSubmit();
};
const click = (id, uid) => section(id).querySelector(`figure[data-track="${uid}"]`).click();
const told = id => section(id).querySelector(".told").textContent;
const seen = {};
type(1, "Person 99");
seen.label = told(1);
type(1, " Ann\\u00a0B. ");
type(1, "Ann B.");
click(1, UID1); click(1, UID1); click(1, UID1);
type(3, "Person 1");
seen.header = document.getElementById("share").textContent;
type(3, "Eve");
seen.together = told(3);
click(2, UID2);
document.getElementById("undo").click();
seen.ticks = [...document.querySelectorAll("#curve text")].map(one => one.textContent);
seen.file = JSON.parse(document.getElementById("out").value);
document.body.replaceChildren();
document.body.textContent = "<<" + JSON.stringify(seen) + ">>";
</script>
"""


@needs_chromium
def test_clicks_on_the_page(library: Library, tmp_path: Path) -> None:
    target = tmp_path / "people.html"
    page.write_page(
        target, crowd.everybody(library), read.read_characters(library), library=library.root
    )
    clicks = CLICKS.replace("UID1", str(UIDS[1])).replace("UID2", str(UIDS[2]))
    target.write_text(target.read_text().replace("</html>", clicks + "</html>"))
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'own'}"]
    done = subprocess.run(
        [str(CHROMIUM), *quiet, "--dump-dom", target.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    body = done.stdout.partition("&lt;&lt;")[2].partition("&gt;&gt;")[0]
    seen = json.loads(body.replace("&amp;", "&"))
    assert seen["label"] == "There is no Person 99 in the library."
    assert seen["header"].startswith("44.5 %")  # 41 + 16 + 16 of 164 frames
    assert seen["together"].startswith("Person 3 and Eve are on screen together at ")
    assert [d["do"] for d in seen["file"]["decisions"]] == ["split", "name", "merge"]
    assert {"0", "3", "0 %", "100 %", "screen time with a name"} <= set(seen["ticks"])
    assert carried_out(library, seen["file"]) == [
        "Ann B.", "Person 4", P2, "Ann B.", "Eve", P2
    ]  # fmt: skip
