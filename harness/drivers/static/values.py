"""What settings of an inventory's hosts may be; what is not so is told in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePosixPath

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Ends of lines and the like: in a file of ssh, what follows them would be a setting of its own."""

Text = Callable[[str], str]
"""The text of a host's setting, empty when there is none."""


def faults(name: str, text: Text, ssh: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a host's settings, and with what ssh made of them; each names the host."""
    for word, value in ssh.items():
        if _CONTROL.search(value):
            yield f"{name}: {word} has signs that cannot be in a file of ssh: {value!r}"
    for setting, network, example in (
        ("nodeport_client_range", IPv4Network, "IPv4 network such as 198.18.0.0/15"),
        ("nodeport_client_range6", IPv6Network, "IPv6 network such as 2001:2::/64"),
    ):
        if not _network(text(setting), network):
            yield f"{name}: {setting} is {text(setting)!r}, no {example}"
    for setting, address, example in (
        ("nodeport_client_address", IPv4Address, "IPv4 address"),
        ("nodeport_client_address6", IPv6Address, "IPv6 address"),
    ):
        if not _address(text(setting), address):
            yield f"{name}: {setting} is {text(setting)!r}, no {example}"
    netns = text("nodeport_client_netns")
    if netns and (not PurePosixPath(netns).is_absolute() or _CONTROL.search(netns)):
        yield f"{name}: nodeport_client_netns is {netns!r}, no path such as /run/netns/NAME"


def serves(text: str) -> bool:
    """Whether it is an IPv4 address at which others can be answered."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_multicast or address.is_unspecified or text == "255.255.255.255")


def _network(text: str, kind: type[IPv4Network | IPv6Network]) -> bool:
    """Whether it is a network with room for many clients, or left out."""
    try:
        return not text or kind(text).num_addresses > 2
    except ValueError:
        return False


def _address(text: str, kind: type[IPv4Address | IPv6Address]) -> bool:
    try:
        return not text or kind(text) is not None
    except ValueError:
        return False
