"""The collection is built of all that the playbooks need; on nodes it is used by tests/lab/test_by_hand.py."""

from __future__ import annotations

import re
import sys
import tarfile
from pathlib import Path

from harness.support import process

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"


def test_it_builds_and_has_every_playbook_role_and_plugin(tmp_path: Path) -> None:
    process.check([sys.executable, PLAYBOOKS / "collection" / "build.py", tmp_path], what="the collection")
    (archive,) = tmp_path.glob("nodeport-harness-*.tar.gz")
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    ours = {str(path.relative_to(PLAYBOOKS)) for path in PLAYBOOKS.glob("roles/*/*/**/*") if path.is_file()}
    assert {name for name in ours if "__pycache__" not in name} <= names
    assert {f"playbooks/{path.name}" for path in PLAYBOOKS.glob("*.yml")} <= names
    assert {"plugins/modules/nodeport_files.py", "plugins/filter/nodeport.py"} <= names
    tasks = [path.read_text() for path in (tmp_path / "nodeport" / "harness").glob("roles/*/tasks/*.yml")]
    assert not re.search(r"^ +nodeport_files:", "\n".join(tasks), re.MULTILINE), "known there by its full name alone"
