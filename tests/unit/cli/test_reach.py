"""What `harness exec` takes for the command."""

from __future__ import annotations

import click
import pytest

from harness.cli.reach import exec_command


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["n1", "--", "nft", "list"], ("nft", "list")),
        (["n1", "nft", "list"], ("nft", "list")),
        (["n1", "ls", "-l", "--", "x"], ("ls", "-l", "--", "x")),
        (["n1", "--", "--", "x"], ("--", "x")),
    ],
)
def test_the_command_is_what_follows_the_node(words: list[str], command: tuple[str, ...]) -> None:
    context = exec_command.make_context("exec", words)
    assert context.params == {"where": "n1", "command": command}


@pytest.mark.parametrize("words", [["n1"], ["n1", "--"]])
def test_a_command_is_needed(words: list[str]) -> None:
    with pytest.raises(click.MissingParameter):
        exec_command.make_context("exec", words)
