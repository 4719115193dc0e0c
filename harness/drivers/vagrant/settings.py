"""The user's files: ``inventories/vagrant/nodes.yml``, which the Vagrantfile reads too, and ``.vagrant``."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UsageError

FILE = Path("inventories/vagrant/nodes.yml")
"""Beneath the folder of the Vagrantfile."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_BOX = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_FIELDS = {"name", "address", "memory", "cpus", "box"}
_MAY_BE_THERE = {"address6"}
_NETWORK6 = ipaddress.IPv6Network("fd00:192:168:56::/64")
CLIENT6 = str(_NETWORK6[1])
"""The outside client's IPv6 address, where machines have one."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One virtual machine as the user wants it; ``memory`` is in MB, ``address6`` empty where it has IPv4 alone."""

    name: str
    address: str
    memory: int
    cpus: int
    box: str
    address6: str = ""

    @property
    def release(self) -> str:
        """The Debian release of one of our own boxes, empty for another box."""
        vendor, _, name = self.box.partition("/")
        return name if vendor == "nodeport" else ""


def read(folder: Path) -> tuple[Machine, ...]:
    """The machines of the user's folder.

    Raises :class:`UsageError` with every fault of the file at once.
    """
    path = folder / FILE
    try:
        whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no {path}", hint="the driver vagrant runs where the Vagrantfile is") from None
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    items = whole.get("nodes") if isinstance(whole, dict) else None
    if not isinstance(items, list) or not items:
        raise UsageError(f"{path}: `nodes` must be a list of machines")
    faults = [fault for index, item in enumerate(items) for fault in _faults(f"nodes[{index}]", item)]
    if not faults:
        faults = _twice(items)
    if not faults and len({"address6" in item for item in items}) > 1:
        faults = ["some machines have an address6 and some have none"]
    if faults:
        raise UsageError(f"{path}: " + "; ".join(faults))
    return tuple(Machine(**item) for item in items)


def _faults(where: str, item: Any) -> list[str]:
    if not isinstance(item, dict) or set(item) - _MAY_BE_THERE != _FIELDS:
        return [f"{where} must have exactly the fields {', '.join(sorted(_FIELDS))}"]
    found = []
    if not _NAME.fullmatch(str(item["name"])):
        found.append(f"{where}.name {item['name']!r} is no host name")
    if not _is_address(item["address"]):
        found.append(f"{where}.address {item['address']!r} is not within 192.168.56.2 to 192.168.56.254")
    if "address6" in item and not _is_address6(item["address6"]):
        found.append(f"{where}.address6 {item['address6']!r} is not within {_NETWORK6}, after {CLIENT6}")
    found += [f"{where}.{field} must be a whole number of at least {least}"
              for field, least in (("memory", 256), ("cpus", 1))
              if type(item[field]) is not int or item[field] < least]  # fmt: skip
    if not _BOX.fullmatch(str(item["box"])):
        found.append(f"{where}.box {item['box']!r} is no name of a box, such as nodeport/bookworm")
    return found


def _is_address(value: Any) -> bool:
    try:
        address = ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return address in ipaddress.IPv4Network("192.168.56.0/24") and 2 <= int(address) % 256 <= 254


def _is_address6(value: Any) -> bool:
    try:
        address = ipaddress.IPv6Address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return value == str(address) and address in _NETWORK6 and int(address) > int(_NETWORK6[1])


def _twice(items: list[dict[str, Any]]) -> list[str]:
    found = []
    for field in ("name", "address", "address6"):
        values = [item[field] for item in items if field in item]
        found += [f"{field} {value} is there twice" for value in sorted(set(values)) if values.count(value) > 1]
    return found


def created(folder: Path) -> dict[str, str]:
    """What Vagrant has made in this folder: names of machines, and Vagrant's id of each."""
    found = {}
    for path in (folder / ".vagrant" / "machines").glob("*/*/id"):
        identity = path.read_text(encoding="utf-8").strip()
        if identity:
            found[path.parts[-3]] = identity
    return found


def alive(folder: Path) -> set[str]:
    """The names of the machines of this folder that run; asks neither Vagrant nor the machines.

    The process of a virtual machine, QEMU's or VirtualBox's, has Vagrant's id of the machine on its command line.
    """
    made = created(folder)
    words = _command_lines() if made else set()
    return {name for name, identity in made.items() if identity.encode() in words}


def running(folder: Path) -> bool:
    """Whether machines of this folder run."""
    return (folder / "Vagrantfile").exists() and bool(alive(folder))


def _command_lines() -> set[bytes]:
    """Every word on the command line of any process."""
    words: set[bytes] = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that has ended meanwhile
            words.update(file.read_bytes().split(b"\0"))
    return words
