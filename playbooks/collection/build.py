"""Lay the playbooks out as the collection nodeport.harness, and build it:   python playbooks/collection/build.py FOLDER

In a collection our module and our filter are plugins, and a filter is found by its full name alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLAYBOOKS = HERE.parent
NAME = "nodeport.harness"
PLUGINS = {"library": "modules", "action_plugins": "action", "filter_plugins": "filter"}
NAMES = (
    "nodeport_differing",
    "nodeport_files",
    "nodeport_in_the_way",
    "nodeport_lines",
    "nodeport_peers",
    "nodeport_taken",
)
OURS = re.compile(rf"(?<![\w.])(?P<plugin>{'|'.join(NAMES)})(?=\(|:$| }})", re.MULTILINE)


def lay_out(tree: Path) -> None:
    """The collection as ``ansible-galaxy collection build`` wants it."""
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE, tree, ignore=shutil.ignore_patterns("build.py", "__pycache__"))
    shutil.copy(PLAYBOOKS.parent / "LICENSE", tree)
    shutil.copytree(PLAYBOOKS / "roles", tree / "roles", ignore=unwanted)
    for folder, kind in PLUGINS.items():
        shutil.copytree(PLAYBOOKS / folder, tree / "plugins" / kind, ignore=unwanted)
    (tree / "playbooks").mkdir()
    for playbook in PLAYBOOKS.glob("*.yml"):
        shutil.copy(playbook, tree / "playbooks")
    if (PLAYBOOKS / "tasks").is_dir():
        shutil.copytree(PLAYBOOKS / "tasks", tree / "playbooks" / "tasks")
    for file in (*tree.glob("roles/*/*/*.yml"), *tree.glob("playbooks/**/*.yml")):
        file.write_text(OURS.sub(rf"{NAME}.\g<plugin>", file.read_text(encoding="utf-8")), encoding="utf-8")


def main(folder: str) -> None:
    """Build the collection's archive in ``folder``, which is made, or emptied of an earlier one."""
    out = Path(folder).resolve()
    tree = out / "nodeport" / "harness"
    shutil.rmtree(tree, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    tree.parent.mkdir(exist_ok=True)
    lay_out(tree)
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    subprocess.run([galaxy, "collection", "build", "--force", "--output-path", out, tree], check=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
