"""Which files of a role have to be written to a node, found without asking the node again; and how one is laid out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def differing(files: Sequence[Mapping[str, str]], found: Mapping[str, str], role: str) -> list[dict[str, str]]:
    """The files that are not on the node as they shall be, each with its ``content``.

    ``files`` have ``dest``, ``content`` or ``src`` (a path in the folder ``files`` of the role whose folder is
    ``role``), and ``mode`` if it is not 0644. ``found`` is what ``look.py`` saw: path → ``"<mode> <sha256>"``.
    """
    wanted = [_whole(file, Path(role, "files")) for file in files]
    return [file for file in wanted if found.get(file["dest"]) != _fingerprint(file)]


def _whole(file: Mapping[str, str], folder: Path) -> dict[str, str]:
    content = file["content"] if "content" in file else Path(folder, file["src"]).read_text(encoding="utf-8")
    return {"mode": "0644", **file, "content": content}


def _fingerprint(file: Mapping[str, str]) -> str:
    return f"{file['mode']} {hashlib.sha256(file['content'].encode()).hexdigest()}"


def lines(document: Mapping[str, Any], lists: Sequence[str]) -> str:
    """JSON that ends with these lists, an item a line: who has read the last one sees at once what differs."""
    head = json.dumps({name: value for name, value in document.items() if name not in lists}, sort_keys=True)
    written = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
    items = {name: ",\n".join(map(written, document[name])) for name in lists}
    return head[:-1] + "".join(f',\n"{name}": [\n{text}\n]' for name, text in items.items()) + "\n}\n"


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """The filters, by the names that playbooks use."""
        return {"nodeport_differing": differing, "nodeport_lines": lines}
