"""What both programs tell systemd and the journal, and how they write a file."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


def notify(message: str) -> None:
    """Tell systemd, sd_notify(3); nothing happens when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.send(message.encode())


def log(text: str) -> None:
    """A line for the journal."""
    print(text, file=sys.stderr, flush=True)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
