"""What leaves the machine in a tar carries no secrets."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from harness.session import collect
from harness.session.collect import scrub


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"ansible_password: hunter2\n", b"ansible_password: <removed>\n"),
        (b'{"token": "abc", "port": 80}', b'{"token": "<removed>", "port": 80}'),
        (b"API_KEY=abc123 next", b"API_KEY=<removed> next"),
        (
            b"a\n-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\nb",
            b"a\n<private key removed>\nb",
        ),
        (b"tcp dport 30008 vmap @nodeports\n", b"tcp dport 30008 vmap @nodeports\n"),
    ],
)
def test_scrub(before: bytes, after: bytes) -> None:
    assert scrub(before) == after


def test_an_inventory_with_a_become_password_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text("ansible_become_pass: 'two words'\n")
    target = collect.collect(None, tmp_path, tmp_path / "out.tar.gz")
    with tarfile.open(target) as tar:
        told = tar.extractfile("out/lab/inventory.yml")
        assert told is not None
        assert told.read() == b"left out: it has a become password\n"
