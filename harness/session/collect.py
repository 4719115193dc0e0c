"""One tar with everything needed to understand a failure, secrets scrubbed."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from harness.errors import HarnessError
from harness.model.cluster import Cluster
from harness.session import remote
from harness.support import clock

QUESTIONS: dict[str, tuple[str, ...]] = {
    "journal.txt": ("journalctl", "--boot", "--no-pager", "--output=short-precise"),
    "units.txt": ("systemctl", "list-units", "--all", "--no-pager", "--plain"),
    "failed-units.txt": ("systemctl", "--failed", "--no-pager"),
    "ruleset.nft": ("nft", "list", "ruleset"),
    "addresses.txt": ("ip", "address"),
    "routes.txt": ("ip", "route", "show", "table", "all"),
    "rules.txt": ("ip", "rule"),
    "neighbours.txt": ("ip", "neighbour"),
    "namespaces.txt": ("ip", "netns"),
    "sockets.txt": ("ss", "-tulpn"),
    "conntrack.txt": ("conntrack", "-L"),
    "conntrack-statistics.txt": ("conntrack", "-S"),
    "sysctl-net.txt": ("sysctl", "-a", "--pattern", "^net\\.(ipv4|netfilter)\\."),
    "network.json": ("cat", "/etc/nodeport/network.json"),
    "pods.json": ("cat", "/etc/nodeport/pods.json"),
    "state.json": ("cat", "/etc/nodeport/state.json"),
    "status.json": ("cat", "/run/nodeport/status.json"),
    "versions.txt": ("uname", "-a"),
    "packages.txt": ("dpkg-query", "-W"),
}

_SECRETS = (
    re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
    re.compile(rb"(?i)\b((?:[\w-]*(?:password|passwd|secret|token|api[_-]?key))[\"']?\s*[:=]\s*)([\"']?)[^\s\"',;]+"),
)

_BECOME = b"ansible_become_pass"
"""A password may have any form, so a file with one is left out whole."""


def scrub(content: bytes) -> bytes:
    """The content without private keys and without the values of what calls itself a password, secret or token."""
    content = _SECRETS[0].sub(b"<private key removed>", content)
    return _SECRETS[1].sub(rb"\1\2<removed>", content)


def collect(cluster: Cluster | None, home: Path, target: Path) -> Path:
    """Write ``target`` (``.tar.gz``): every node's answers to :data:`QUESTIONS`, and the lab's plan and last run.

    A node that does not answer is said so in the tar and stops nothing: this is for when things are broken.
    """
    files = dict(_own_files(home))
    if cluster is not None:
        with ThreadPoolExecutor(max_workers=16) as pool:
            for answers in pool.map(lambda node: _ask(cluster, node.name), cluster.nodes):
                files.update(answers)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    with tarfile.open(partial, "w:gz") as tar:
        for name, content in sorted(files.items()):
            _add(tar, f"{target.name.removesuffix('.tar.gz')}/{name}", scrub(content))
    partial.replace(target)
    return target


def _ask(cluster: Cluster, node: str) -> dict[str, bytes]:
    answers: dict[str, bytes] = {}
    for name, words in QUESTIONS.items():
        try:
            done = remote.as_root(cluster, node, words, timeout=20)
        except HarnessError as error:
            answers[f"{node}/{name}"] = f"no answer: {error}\n".encode()
            continue
        answers[f"{node}/{name}"] = (done.out + (f"\n# {done.err}" if done.err else "")).encode()
        if done.code == 255:  # ssh's own: the node is not to be reached, so the other questions would only wait
            break
    return answers


def _own_files(home: Path) -> Iterable[tuple[str, bytes]]:
    latest = home / "runs" / "latest"
    kept = [home / "plan.json", home / "inventory.yml", home / "ssh_config"]
    kept += sorted(latest.iterdir()) if latest.is_dir() else []
    for file in kept:
        if not file.is_file() or file.name.endswith(".tar.gz"):
            continue
        content = file.read_bytes()
        yield f"lab/{file.name}", b"left out: it has a become password\n" if _BECOME in content else content


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mtime = int(clock.now().timestamp())
    tar.addfile(entry, BytesIO(content))
