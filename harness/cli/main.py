"""The ``harness`` command: its verbs, its options, and how it ends.

Verbs are imported when they are called, so that ``harness --help`` stays quick.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from harness import __version__
from harness.errors import HarnessError, ManifestError


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: the module of ``harness.cli`` that has it, what it does, and one example."""

    module: str
    does: str
    example: str


VERBS = {
    "doctor": Verb("doctor", "say what this machine lacks, and what mends it", "harness doctor"),
    "up": Verb("nodes", "make nodes; again: heal or resize", "harness up --nodes 5"),
    "down": Verb("nodes", "remove the nodes and every trace of them", "harness down"),
    "plan": Verb("plan", "show what manifests mean on the nodes; touch nothing", "harness plan -f app.yaml -o yaml"),
    "apply": Verb("apply", "plan, then converge the nodes by Ansible", "harness apply -f app.yaml"),
    "scale": Verb("scale", "run more or fewer pods, losing nothing", "harness scale deploy/web-app --replicas 6"),
    "rollout": Verb(
        "rollout", "replace the pods of a Deployment; how far it is", "harness rollout restart deploy/web-app"
    ),
    "delete": Verb("delete", "remove objects from the nodes", "harness delete svc/web-service"),
    "cordon": Verb("cordon", "give a node no new pods", "harness cordon n1"),
    "uncordon": Verb("cordon", "let a node have new pods again", "harness uncordon n1"),
    "drain": Verb("cordon", "move the pods of a node to others", "harness drain n1"),
    "verify": Verb("verify", "probe and judge what the nodes run", "harness verify --json"),
    "run": Verb("run", "up, apply, verify, report", "harness run -f examples/web-app.yaml"),
    "watch": Verb("watch", "show live who answers on every node", "harness watch web-service"),
    "drill": Verb("drill", "change and kill things under load, and judge it", "harness drill web-service"),
    "get": Verb("get", "list nodes, pods, svc or endpoints", "harness get pods -o wide"),
    "url": Verb("get", "one URL per node for a Service", "harness url web-service"),
    "exec": Verb("reach", "run a command on a node or in a pod", "harness exec n1 -- nft list ruleset"),
    "shell": Verb("reach", "a shell on a node or in a pod", "harness shell pod/solo"),
    "snapshot": Verb("snapshot", "keep a known state of the nodes, and put it back", "harness snapshot save green"),
    "reboot": Verb("reboot", "reboot nodes; what they run must come back by itself", "harness reboot n2 --hard"),
    "collect": Verb("collect", "one tar with all that explains a failure", "harness collect"),
}

EXITS = "Exit codes: 0 pass · 1 fail · 2 usage or bad input · 3 inconclusive · 4 broken rig · 130 interrupted"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says, before the verb or after it, or ``HARNESS_LAB`` and its like in the environment.

    ``None`` is left to ``harness.toml`` and to what runs.
    """

    lab: str | None = None
    driver: str | None = None
    inventory: str | None = None
    accept_new: bool = False
    become_password_file: str | None = None
    ask_become_pass: bool = False


def _choose(context: click.Context, option: click.Parameter, value: str | bool | None) -> None:
    if value:
        context.obj = replace(context.obj or Choice(), **{str(option.name): value})


CHOICE = tuple(
    click.Option(names, is_flag=not metavar, metavar=metavar, help=told, expose_value=False, callback=_choose)
    for names, metavar, told in (
        (["--lab"], "NAME", "Which lab; each is on its own (default)."),
        (["--driver"], "NAME", "nspawn, vagrant or static."),
        (["-i", "--inventory"], "PATH", "Your machines: an Ansible inventory."),
        (["--accept-new"], None, "Trust host keys of machines never met before."),
        (["-K", "--ask-become-pass"], None, "Ask for the password of sudo on your machines."),
        (["--become-password-file"], "PATH", "That password, in a file only you can read."),
    )
)
"""Options that every verb takes as well as ``harness`` itself."""


def with_choice(command: click.Command) -> click.Command:
    """The verb, and what is below it, with the options of ``CHOICE``."""
    if CHOICE[0] not in command.params:
        command.params.extend(CHOICE)
        for below in getattr(command, "commands", {}).values():
            with_choice(below)
    return command


class Verbs(click.Group):
    """The group of all verbs, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of a day's work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name, ``None`` when there is none."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"harness.cli.{VERBS[cmd_name].module}"), f"{cmd_name}_command")
        return with_choice(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a verb: what it does, and an example."""
        with formatter.section("Verbs"):
            for name, verb in VERBS.items():
                formatter.write(f"  {name:<8} {verb.does:<54} {verb.example}\n")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes."""
        formatter.write(f"\n{EXITS}\n")


@click.group(
    cls=Verbs,
    params=list(CHOICE),
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "auto_envvar_prefix": "HARNESS",
    },
)
@click.version_option(__version__, prog_name="harness", allow_from_autoenv=False)
@click.pass_context
def cli(context: click.Context) -> None:
    """Prove the NodePort contract on real nodes: every node answers, traffic spreads over the pods."""
    context.obj = context.obj or Choice()


def main() -> None:
    """Run the command line and end the process with its exit code; no traceback ever reaches a person."""
    try:
        code = cli(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _end("interrupted; `harness down` removes what is left of the nodes", 130)
    except ManifestError as error:
        _end(f"{error}\n{len(error.faults)} fault(s); nothing was changed", error.exit_code)
    except HarnessError as error:
        _end(error.message + (f"\n  hint: {error.hint}" if error.hint else ""), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - the last door before a person
        _end(f"this is a fault of the harness itself: {type(error).__name__}: {error}\n  details: {_crash_file()}", 4)


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"harness: {message}", err=True)
    sys.exit(code)


def _crash_file() -> str:
    """Write the traceback to a file for whoever mends it, and say where."""
    file = Path(".harness", "crash.txt")
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return traceback.format_exc()
    return str(file)
