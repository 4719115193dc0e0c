"""Manifests are read from files and folders; what cannot be read is all said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.session.sources import read


def test_a_folder_is_read_whole_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.yaml", "a.yml", "sub/c.json", "README.md"):
        (tmp_path / name).write_text(name)
    assert [name for name, _ in read([str(tmp_path)])] == [
        str(tmp_path / "a.yml"),
        str(tmp_path / "b.yaml"),
        str(tmp_path / "sub" / "c.json"),
    ]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"kind: Pod")
    assert read([str(file), str(tmp_path)]) == ((str(file), b"kind: Pod"),)


def test_everything_that_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError) as caught:
        read([str(tmp_path / "absent.yaml"), str(empty)])
    assert f"{tmp_path / 'absent.yaml'}: No such file or directory" in str(caught.value)
    assert f"{empty}: the folder has no manifest" in str(caught.value)
