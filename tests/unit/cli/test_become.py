"""The password of sudo: asked for, or in a file; never shown."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from harness.cli.common import lab_of
from harness.cli.main import with_choice
from harness.errors import UsageError

SECRET = "open sesame"  # noqa: S105 - of this test


@click.command()
@click.pass_context
def told(context: click.Context) -> None:
    lab = lab_of(context)
    click.echo(f"{lab.become_password == SECRET} {lab} {lab.place}")


def ask(folder: Path, *words: str, typed: str = "") -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(with_choice(told), words, input=typed, catch_exceptions=False)


def test_it_is_asked_for(tmp_path: Path) -> None:
    done = ask(tmp_path, "-i", "hosts.yml", "-K", typed=f"{SECRET}\n")
    assert done.stdout.startswith("True ")
    assert SECRET not in done.output, "neither echoed nor in what values say of themselves"


def test_it_is_in_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    file = tmp_path / "sudo"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="others can read this password"):
        ask(tmp_path, "-i", "hosts.yml", "--become-password-file", str(file))
    file.chmod(0o600)
    assert ask(tmp_path, "-i", "hosts.yml", "--become-password-file", str(file)).stdout.startswith("True ")
    with pytest.raises(UsageError, match="cannot be read"):
        ask(tmp_path, "-i", "hosts.yml", "--become-password-file", str(tmp_path / "none"))


def test_nodes_of_our_own_need_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for the machines of an inventory"):
        ask(tmp_path, "-K", "--driver", "nspawn", typed=f"{SECRET}\n")
