"""Overviews of everybody: the contact sheet, and the page on which people are named."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexer import crowd, page
from indexer.crowd import Somebody
from indexer.records import Repeat
from indexer.store.library import Library
from tests import libraries
from tests.conftest import run
from tests.libraries import ANN, BOB, CARL, Shown

EVIL = "</script><script>alert(1)"
PILOT = libraries.episode(
    shots=(50, 50), shown=[Shown(0, 20, ANN), Shown(5, 30, CARL), Shown(60, 99, CARL)]
)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    cast = [libraries.character(ANN, EVIL), libraries.character(CARL, named=False)]
    return libraries.put(libraries.new(tmp_path / "library"), PILOT, cast)


def data_of(path: Path) -> Any:  # noqa: ANN401 - JSON
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', path.read_text())
    assert found is not None
    return json.loads(found[1])


def somebody(number: int, seconds: float, *, named: bool) -> Somebody:
    return Somebody(number, f"P{number}", named, seconds, 1, 1, (), ())


def test_the_unnamed_come_first_and_have_their_best_pictures(library: Library) -> None:
    people = crowd.everybody(library)
    assert [(one.label, one.tracks) for one in people] == [("Person 3", 2), (EVIL, 1)]
    assert people[0].seconds == pytest.approx(66 / 25)
    assert [picture.track for picture in people[0].pictures] == [
        one.uid for one in PILOT.tracks[1:]
    ]


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=5))
def test_no_other_order_names_more_with_as_many_clicks(rows: list[tuple[float, bool]]) -> None:
    people = [somebody(i, seconds, named=named) for i, (seconds, named) in enumerate(rows)]
    steps = crowd.steps(people)
    total = max(sum(seconds for seconds, _ in rows), 1e-9)
    known = sum(seconds for seconds, named in rows if named)
    for order in permutations([seconds for seconds, named in rows if not named]):
        for clicks in range(len(order) + 1):
            assert steps[clicks].share >= (known + sum(order[:clicks])) / total - 1e-9
    if rows and total > 1e-9:
        assert steps[-1].share == pytest.approx(1)


def test_the_page_is_one_file_that_asks_nobody_and_holds_any_name(
    library: Library, tmp_path: Path
) -> None:
    target = tmp_path / "people.html"
    said = run("people", "--page", target, "--library", library.root)
    assert (said.status, said.err) == (0, "")
    text = target.read_text()
    assert "http" not in text
    assert EVIL not in text
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert [one["label"] for one in data["people"]] == ["Person 3", EVIL]
    assert data["people"][0]["faces"] == 2
    assert data["pictures"].keys() == {str(one.uid) for one in PILOT.tracks}
    assert all(one.startswith("/9j/") for one in data["pictures"].values())  # JPEGs


def test_the_sheet_has_a_row_for_each_person(library: Library, tmp_path: Path) -> None:
    target = tmp_path / "people.png"
    assert run("people", "--unnamed", "--sheet", target, "--library", library.root).status == 0
    with Image.open(target) as one:
        alone = one.size
    assert run("people", "--sheet", target, "--library", library.root).status == 0
    with Image.open(target) as both:
        assert both.size[0] == alone[0]
        assert both.size[1] == pytest.approx(2 * alone[1], abs=10)


def test_pictures_are_bounded_and_every_track_is_there(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = library.thumbnail(PILOT.id, PILOT.tracks[0].uid).stat().st_size
    monkeypatch.setattr(page, "_MOST_BYTES", 2 * one)
    page.write_page(tmp_path / "few.html", crowd.everybody(library), library=library.root)
    said = (tmp_path / "few.html").read_text()
    assert f"name --from decisions.json --library {library.root}</code>" in said
    data = data_of(tmp_path / "few.html")
    # Only the first person's pictures fit.
    assert data["pictures"].keys() == {str(one.uid) for one in PILOT.tracks[1:]}
    assert {track[0] for one in data["people"] for track in one["tracks"]} == {
        one.uid for one in PILOT.tracks
    }


def test_without_those_who_have_a_name_and_without_repeats(tmp_path: Path) -> None:
    again = libraries.episode("Two.mp4", shots=(50,), shown=[Shown(0, 20, ANN), Shown(5, 30, BOB)])
    cast = [libraries.character(ANN, "Ann"), libraries.character(BOB, named=False)]
    cast.append(libraries.character(CARL, named=False))
    root = libraries.new(tmp_path / "library")
    whole = libraries.put(root, PILOT, cast)
    mine = tuple(one.uid for one in again.tracks)
    repeat = Repeat(0, 0, 49, PILOT.id, 0, 0.0, mine, tuple(x.uid for x in PILOT.tracks[:2]))
    whole = libraries.put(whole, again, cast, [repeat])
    assert [one.label for one in crowd.everybody(whole)] == ["Person 3", "Person 2", "Ann"]
    ann = crowd.everybody(whole, repeats=False)[-1]
    assert (ann.tracks, ann.episodes) == (1, 1)
    assert ann.seconds == pytest.approx(21 / 25)
    assert [one.counts for one in (*ann.pictures, *ann.rest)] == [True, False]
    where = ("--library", whole.root)
    target = tmp_path / "people.html"
    done = run("people", "--page", target, "--no-repeats", "--unnamed", *where)
    assert done.status == 0
    shown = {one["label"]: one["shown"] for one in data_of(target)["people"]}
    assert shown == {"Person 3": True, "Ann": False}


def test_the_curve_in_words() -> None:
    people = [somebody(1, 50, named=True)]
    assert crowd.in_words(crowd.steps(people)) == "Everybody has a name."
    people += [somebody(n, seconds, named=False) for n, seconds in ((2, 30), (3, 15), (4, 5))]
    assert crowd.in_words(crowd.steps(people)) == (
        "50.0 % of the screen time has a name. With 1 more, 80 %; with 2 more, 95 %; "
        "with 3 more, all of it (longest on screen first)."
    )


def test_a_folder_that_is_not_there_is_refused_and_nothing_written(library: Library) -> None:
    target = library.root / "nowhere" / "people.html"
    said = run("people", "--page", target, "--library", library.root)
    assert said.status == 2
    assert str(target) in said.err
    assert not target.parent.exists()


def test_a_picture_that_is_missing_is_the_librarys_damage(library: Library) -> None:
    missing = library.thumbnail(PILOT.id, PILOT.tracks[0].uid)
    missing.unlink()
    said = f"{missing}: is missing (index the video again, or restore it from a copy)\n"
    for option, name in (("--page", "people.html"), ("--sheet", "people.png")):
        target = library.root / name
        done = run("people", option, target, "--library", library.root)
        assert (done.status, done.err) == (2, said)
        assert not target.exists()


def test_a_library_of_nobody_makes_a_page_of_nobody(tmp_path: Path) -> None:
    empty = libraries.put(libraries.new(tmp_path / "library"), libraries.episode(shots=(9,)), [])
    assert crowd.everybody(empty) == []
    page.write_sheet(tmp_path / "none.png", [])
    assert [step.share for step in crowd.steps([])] == [0.0]
