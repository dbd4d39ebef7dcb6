from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import config
from indexer.config import Settings
from indexer.errors import ConfigError


@given(st.floats(0.01, 100), st.integers(3, 8))
def test_what_is_set_is_what_one_gets(every_s: float, best: int) -> None:
    settings = config.load(None, [f"detect.every_s={every_s!r}", f"embed.best_faces={best}"])
    assert (settings.detect.every_s, settings.embed.best_faces) == (every_s, best)
    assert settings.link == Settings().link


def test_a_file_is_read_and_an_override_wins(tmp_path: Path) -> None:
    file = tmp_path / "show.toml"
    file.write_text('[detect]\nevery_s = 0.5\nmin_face = 0.1\n[decode]\nbackend = "decord"\n')
    settings = config.load(file, ["detect.every_s=1.0"])
    assert (settings.detect.every_s, settings.detect.min_face) == (1.0, 0.1)
    assert settings.decode.backend == "decord"


def test_nothing_given_is_the_defaults() -> None:
    assert config.load(None) == Settings()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("detect.evry_s=1", "unknown setting detect.evry_s (settings are: detect.every_s"),
        ("detekt.every_s=1", "unknown setting detekt (settings are: detect"),
        ("detect.every_s=-1", "greater than 0"),
        ("detect.every_s=soon", "valid number"),
        ("embed.best_faces=99", "less than or equal to 8"),
        ("every_s=1", "is not STAGE.KEY=VALUE"),
        ("decode.backend=vlc", "'pyav' or 'decord'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.load(None, [override])
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", ["[detect", "\xff\xfe", "[detect]\nfoo = 1"])
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        config.load(file)
    with pytest.raises(ConfigError, match="No such file"):
        config.load(tmp_path / "missing.toml")


def test_decord_is_not_asked_for_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match=r"set decode\.backend=pyav"):
        config.load(None, ["decode.backend=decord", "decode.frames=reference"])


def test_speed_and_place_do_not_matter_to_what_is_written() -> None:
    overrides = ["decode.threads=1", "store.lock_wait_s=1", "embed.device=cpu"]
    assert config.that_matter(config.load(None, overrides)) == config.that_matter(Settings())
    other = config.load(None, ["detect.every_s=1.0"])
    assert config.that_matter(other) != config.that_matter(Settings())
