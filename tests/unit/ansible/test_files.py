"""Which files are written to a node: the filter that compares, and the look that it compares with."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.playbooks import PLAYBOOKS, load

FILTER = load(PLAYBOOKS / "filter_plugins/nodeport.py").FilterModule().filters()["nodeport_differing"]
LOOK = load(PLAYBOOKS / "roles/node_base/files/look.py")
TEXT = "é\nno newline at the end"
FINGERPRINT = f"0644 {hashlib.sha256(TEXT.encode()).hexdigest()}"


def test_a_file_that_is_right_is_left_out() -> None:
    assert FILTER([{"dest": "/a", "content": TEXT}], {"/a": FINGERPRINT}, "/role") == []


@pytest.mark.parametrize(
    "found", [{}, {"/a": FINGERPRINT.replace("0644", "0755")}, {"/a": "0644 0"}, {"/b": FINGERPRINT}]
)
def test_a_file_that_is_missing_or_other_is_given_whole(found: dict[str, str]) -> None:
    assert FILTER([{"dest": "/a", "content": TEXT}], found, "/role") == [
        {"dest": "/a", "content": TEXT, "mode": "0644"}
    ]


def test_a_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/program").write_text(TEXT)
    wanted = {"dest": "/a", "src": "program", "mode": "0755"}
    assert FILTER([wanted], {}, str(tmp_path)) == [{**wanted, "content": TEXT}]


def test_the_look_and_the_filter_mean_the_same_by_a_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(TEXT)
    path.chmod(0o644)
    own = "" if os.getuid() == 0 else "not root's "
    assert LOOK.fingerprint(path) == own + FINGERPRINT
