"""Named network namespaces leave no mount behind, in a mount namespace with a ``/run`` of its own."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest

from harness.support import process

pytestmark = pytest.mark.lab

_OWN_RUN = 'while umount --recursive /run/netns 2>/dev/null; do :; done; mount -t tmpfs tmpfs /run && exec "$@"'


def left_in_run(script: str) -> list[str]:
    """Run Python with an empty ``/run``; return what stays in it and whether names are still mounted."""
    end = "print(*sorted(p.name for p in Path('/run').glob('n*')), 'mounted' if netns._mounted() else '')"
    head = "from pathlib import Path\nfrom harness.support import netns, process\n"
    text = "\n".join([head, dedent(script), end])
    argv = ["unshare", "--mount", "sh", "-c", _OWN_RUN, "sh", sys.executable, "-c", text]
    return process.check(argv, what="running in a mount namespace").out.split()


def test_the_mount_goes_with_the_last_namespace() -> None:
    script = """
        with netns.added("one"):
            with netns.added("two", "three"):
                assert netns._mounted()
            assert netns._mounted()
    """
    assert left_in_run(script) == []


def test_a_mount_that_was_there_before_stays() -> None:
    script = """
        process.check(["ip", "netns", "add", "theirs"], what="add")
        process.check(["ip", "netns", "delete", "theirs"], what="delete")
        with netns.added("one"):
            pass
    """
    assert left_in_run(script) == ["netns", "mounted"]


def test_somebody_elses_namespace_keeps_the_mount_until_it_is_gone() -> None:
    script = """
        with netns.added("one"):
            process.check(["ip", "netns", "add", "theirs"], what="add")
        assert [path.name for path in netns.FOLDER.iterdir()] == ["theirs"]
        process.check(["ip", "netns", "delete", "theirs"], what="delete")
        netns.delete("one")
    """
    assert left_in_run(script) == []


def test_a_namespace_that_somebody_removed_is_no_fault() -> None:
    script = """
        netns.add("one")
        process.check(["ip", "netns", "delete", "one"], what="delete")
        netns.delete("one")
    """
    assert left_in_run(script) == []
