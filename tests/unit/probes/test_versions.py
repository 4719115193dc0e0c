"""What a node runs on, as its shell says it."""

from __future__ import annotations

import platform

from harness.model.observation import Versions
from harness.probes import versions
from harness.support import process


def test_an_answer_is_read() -> None:
    said = (
        "motd\nkernel=6.1.0-37-amd64\nos_image=Debian GNU/Linux 12 (bookworm), 12.11\nnftables=1.0.6\npython=3.11.2\n"
    )
    read = versions.read(said)
    assert read == Versions("6.1.0-37-amd64", "Debian GNU/Linux 12 (bookworm), 12.11", "1.0.6", "3.11.2")


def test_what_is_not_said_stays_empty() -> None:
    assert versions.read("") == Versions()
    assert versions.read("kernel=6.1\nnftables=\nother=x\n") == Versions(kernel="6.1")


def test_any_shell_answers_the_question() -> None:
    read = versions.read(process.check(versions.QUESTION, what="asking this machine").out)
    assert read.kernel == platform.release()
    assert read.os_image
