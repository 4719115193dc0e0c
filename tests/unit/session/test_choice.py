"""Which driver is taken, and why; what ``harness.toml`` may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import drivers
from harness.errors import UsageError
from harness.session import settings
from harness.session.choice import Chosen, choose
from harness.session.settings import Settings

HERE = Path("/project")


def _anywhere(_folder: Path) -> bool:
    return True


@pytest.mark.parametrize(
    ("kept", "driver", "inventory", "chosen"),
    [
        (Settings(), None, None, Chosen("nspawn", "the default")),
        (Settings(driver="vagrant"), None, None, Chosen("vagrant", "harness.toml")),
        (Settings(driver="vagrant"), "nspawn", None, Chosen("nspawn", "--driver")),
        (Settings(inventory="hosts.yml"), None, None, Chosen("static", "harness.toml", HERE / "hosts.yml")),
        (Settings(inventory="hosts.yml"), "nspawn", None, Chosen("nspawn", "--driver")),
        (Settings(inventory="hosts.yml"), "static", None, Chosen("static", "--driver", HERE / "hosts.yml")),
        (Settings(driver="vagrant"), None, "/my/hosts", Chosen("static", "--inventory", Path("/my/hosts"))),
    ],
)
def test_the_driver_is_the_first_that_holds(
    kept: Settings, driver: str | None, inventory: str | None, chosen: Chosen
) -> None:
    assert choose(HERE, kept, driver, inventory) == chosen


def test_machines_that_the_user_started_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "FINDERS", {"here": f"{__name__}:_anywhere"})
    assert choose(HERE, Settings(), None, None) == Chosen("here", "this folder's here machines run")
    assert choose(HERE, Settings(driver="nspawn"), None, None).driver == "nspawn", "what is written down wins"


def test_an_inventory_contradicts_another_driver() -> None:
    with pytest.raises(UsageError, match="goes with the driver static, not with vagrant"):
        choose(HERE, Settings(), "vagrant", "hosts.yml")


def test_a_folder_without_the_file_settles_nothing(tmp_path: Path) -> None:
    assert settings.read(tmp_path) == Settings()


def test_every_key_is_read(tmp_path: Path) -> None:
    text = 'lab = "a"\ndriver = "static"\ninventory = "hosts"\nnodes = 5\nreleases = ["trixie", "bookworm"]\n'
    (tmp_path / "harness.toml").write_text(text)
    assert settings.read(tmp_path) == Settings("a", "static", "hosts", 5, ("trixie", "bookworm"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('drivre = "vagrant"', "harness.toml: unknown: drivre", "did you mean driver?"),
        ("nodes = 'three'", r"harness.toml: Expected `int \| null`, got `str` - at `\$.nodes`", ""),
        ("nodes = ", "harness.toml cannot be read: Invalid value", ""),
        ("\N{SNOWMAN}", "harness.toml cannot be read", ""),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    (tmp_path / "harness.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as refused:
        settings.read(tmp_path)
    assert refused.value.hint == hint
