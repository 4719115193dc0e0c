"""The lab, the driver and the inventory may be said before the verb, after it, or in the environment."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from harness.cli.main import CHOICE, VERBS, Choice, cli, with_choice


@pytest.fixture
def _verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One verb, and a verb with a verb below it, that say what they were told."""

    @click.command()
    @click.pass_context
    def told(context: click.Context) -> None:
        click.echo(context.find_object(Choice))

    below = click.Group("below", {"told": click.Command("told", callback=told.callback)})
    verbs = {"told": with_choice(told), "below": with_choice(below)}
    monkeypatch.setattr(type(cli), "get_command", lambda _self, _context, name: verbs.get(name))


@pytest.mark.usefixtures("_verbs")
@pytest.mark.parametrize(
    ("words", "environment", "lab", "driver"),
    [
        ("told", {}, None, None),
        ("--lab a told", {}, "a", None),
        ("told --lab a --driver static", {}, "a", "static"),
        ("--lab a told --lab b", {}, "b", None),
        ("--driver nspawn below --lab a told", {}, "a", "nspawn"),
        ("below told --lab a", {}, "a", None),
        ("told", {"HARNESS_LAB": "e", "HARNESS_DRIVER": "vagrant"}, "e", "vagrant"),
        ("--lab a told", {"HARNESS_LAB": "e"}, "a", None),
        ("told --lab a", {"HARNESS_LAB": "e"}, "a", None),
    ],
)
def test_options_before_and_after_the_verb(
    words: str, environment: dict[str, str], lab: str | None, driver: str | None
) -> None:
    done = CliRunner().invoke(cli, words.split(), env=environment, catch_exceptions=False)
    assert done.output.strip() == str(Choice(lab, driver)), done.output


@pytest.mark.usefixtures("_verbs")
def test_an_inventory_after_the_verb() -> None:
    done = CliRunner().invoke(cli, ["told", "-i", "hosts.yml", "--accept-new"], catch_exceptions=False)
    assert done.output.strip() == str(Choice(None, None, "hosts.yml", True))


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_takes_them(name: str) -> None:
    verb = cli.get_command(click.Context(cli), name)
    assert verb is not None
    assert set(CHOICE) <= set(verb.params)
