"""What several verbs share: the lab that was chosen, and common options."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.main import Choice
from harness.drivers import Wish
from harness.errors import UsageError
from harness.model.run import Run
from harness.plan.pod_network import MODES
from harness.reports import json, terminal
from harness.session import choice, nodes, settings
from harness.session.lab import Lab

Verb = TypeVar("Verb", bound=Callable[..., Any])


def lab_of(context: click.Context) -> Lab:
    """The lab that the options, ``harness.toml`` or what runs here choose; says on stderr which driver, and why."""
    given = context.find_object(Choice)
    assert given is not None  # noqa: S101 - the group always sets it
    folder = Path.cwd()
    kept = settings.read(folder)
    chosen = choice.choose(folder, kept, given.driver, given.inventory)
    click.echo(click.style(f"driver {chosen.driver} ({chosen.why})", dim=True), err=True)
    if given.accept_new and chosen.driver != "static":
        raise UsageError("--accept-new is for the machines of an inventory", hint="-i PATH, or leave it out")
    name = given.lab or kept.lab or "default"
    lab = Lab.at(folder, name, chosen.driver, chosen.inventory, accept_new=given.accept_new)
    return replace(lab, become_password=_become_password(given, chosen.driver))


def _become_password(given: Choice, driver: str) -> str:
    """The password of sudo that was asked for or is in a file, empty when there is none."""
    if given.ask_become_pass and driver != "static":
        raise UsageError("a become password is for the machines of an inventory", hint="-i PATH, or leave it out")
    if driver != "static" or not (given.ask_become_pass or given.become_password_file):
        return ""
    if given.become_password_file is None:
        return str(click.prompt("become password", hide_input=True, err=True))
    file = Path(given.become_password_file)
    try:
        if file.stat().st_mode & 0o077:
            raise UsageError(f"{file}: others can read this password", hint=f"chmod 600 {file}")
        return file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: the become password cannot be read: {error}") from None


def manifest_option(verb: Verb) -> Verb:
    """``-f PATH…``: manifests, folders of manifests, or ``-``."""
    return click.option(
        "-f",
        "--filename",
        "paths",
        multiple=True,
        required=True,
        metavar="PATH",
        help="A manifest, a folder of manifests, or - for standard input; may be repeated.",
    )(verb)


def forwarder_option(verb: Verb) -> Verb:
    """``--forwarder [NODE=]NAME…``: what nodes forward with."""
    return click.option(
        "--forwarder",
        "forwarders",
        multiple=True,
        metavar="[NODE=]NAME",
        help="nftables or socat, for all nodes or one; may be repeated. Without it nodes keep what they have.",
    )(verb)


def pod_network_option(verb: Verb) -> Verb:
    """``--pod-network``: how pods of several nodes meet."""
    return click.option(
        "--pod-network",
        type=click.Choice(MODES),
        help="routes for nodes on one network, vxlan over any other. Without it nodes keep what they have.",
    )(verb)


def selection_options(verb: Verb) -> Verb:
    """``--focus`` and ``--skip``: which checks are wanted."""
    verb = click.option(
        "--skip", multiple=True, metavar="REGEX", help="Leave out checks whose full name fits; may be repeated."
    )(verb)
    return click.option(
        "--focus", multiple=True, metavar="REGEX", help="Only checks whose full name fits; may be repeated."
    )(verb)


def namespace_option(verb: Verb) -> Verb:
    """``-n NAMESPACE``."""
    return click.option("-n", "--namespace", default="default", show_default=True, help="The object's namespace.")(verb)


def node_options(verb: Verb) -> Verb:
    """``--nodes``, ``--release``, ``--subnets`` and ``--ip-families``: which nodes are wanted."""
    verb = click.option(
        "--nodes", "nodes_wanted", type=click.IntRange(1, 50), metavar="N", help="How many nodes (default 3)."
    )(verb)
    verb = click.option(
        "--subnets", type=click.IntRange(1, 2), metavar="N", help="2: nodes on two networks in turn, a router between."
    )(verb)
    verb = click.option(
        "--ip-families",
        "families",
        metavar="IPv4[,IPv6]",
        help="Which addresses nodes have (default: as they do, IPv4).",
    )(verb)
    return click.option("--release", "releases", metavar="NAME[,NAME]", help="Debian releases, taken in turn.")(verb)


def wish_of(
    lab: Lab, nodes_wanted: int | None, releases: str | None, subnets: int | None, families: str | None
) -> Wish | None:
    """The wish of the node options, ``None`` when none was given: nodes that run are good as they are."""
    if (nodes_wanted, releases, subnets, families) == (None, None, None, None):
        return None
    usual = nodes.usual(lab)
    chosen = tuple(name.strip() for name in (releases or "").split(",") if name.strip())
    dual = nodes.dual_stack([name.strip() for name in families.split(",")]) if families else usual.dual_stack
    return Wish(nodes_wanted or usual.count, chosen or usual.releases, subnets or usual.subnets, dual)


def show(run: Run, *, as_json: bool) -> None:
    """Print a run on stdout: for a person, or whole for a script."""
    if as_json:
        click.echo(json.render(run), nl=False)
        return
    width, _ = shutil.get_terminal_size((100, 24))
    click.echo(terminal.render(run, width=min(width, 140), colour=sys.stdout.isatty()), nl=False)
