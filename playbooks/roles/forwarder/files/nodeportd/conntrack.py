"""The kernel's table of flows, over netlink: UDP flows to endpoints that are no more are forgotten.

A UDP flow has no end that conntrack sees, so a client with a fixed source port would go on to a pod that is gone for
as long as it sends (kube-proxy does the same: pkg/proxy/conntrack). Message formats: nfnetlink_conntrack.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from nodeportd.flows import Allowed

_GET, _DELETE = 0x0101, 0x0102  # NFNL_SUBSYS_CTNETLINK with IPCTNL_MSG_CT_GET and _DELETE
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NETFILTER = 12
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_NESTED = 0x8000
_UDP = 17
_MOST_MESSAGES = 4_000_000
_BUFFER = 1 << 18


class Flow(NamedTuple):
    """One UDP flow: ``original`` is its tuple as the kernel gave it, to name it by."""

    original: bytes
    meant: tuple[str, int]
    served: tuple[str, int]


def forget(places: Allowed) -> int:
    """Delete the UDP flows that are meant for one of the places and led elsewhere than allowed; how many there were.

    One that was not translated began before its place led anywhere: it goes where that does now. Where a place leads
    nowhere, such a flow is somebody else's. The places are of one family.

    Raises :class:`OSError`.
    """
    stale = 0
    family = socket.AF_INET6 if any(":" in address for address, _, _ in places) else socket.AF_INET
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as netlink:
        netlink.settimeout(5)
        for flow in list(_udp_flows(netlink, family)):
            may = places.get((flow.meant[0], "udp", flow.meant[1]))
            if may is not None and (may or flow.served != flow.meant) and flow.served not in may:
                stale += 1
                _delete(netlink, family, flow)
    return stale


def _udp_flows(netlink: socket.socket, family: int) -> Iterator[Flow]:
    _send(netlink, family, _GET, _REQUEST | _DUMP, b"")
    for _ in range(_MOST_MESSAGES):
        for kind, body in _messages(netlink.recv(_BUFFER)):
            if kind in (_DONE, _ERROR):
                return
            attributes = dict(_attributes(body[4:]))
            original, reply = attributes.get(_TUPLE_ORIG, b""), attributes.get(_TUPLE_REPLY, b"")
            number, _, meant = _ends(original)
            if number == _UDP:
                _, served, _ = _ends(reply)
                yield Flow(original, meant, served)


def _delete(netlink: socket.socket, family: int, flow: Flow) -> None:
    _send(netlink, family, _DELETE, _REQUEST | _ACK, _attribute(_TUPLE_ORIG | _NESTED, flow.original))
    netlink.recv(_BUFFER)  # that it is gone already is as good


def _send(netlink: socket.socket, family: int, kind: int, flags: int, attributes: bytes) -> None:
    body = struct.pack("=BBH", family, 0, 0) + attributes
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)


def _messages(raw: bytes) -> Iterator[tuple[int, bytes]]:
    while len(raw) >= 16:
        length, kind = struct.unpack_from("=IH", raw)
        yield kind, raw[16:length]
        raw = raw[(length + 3) & ~3 :]


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    while len(raw) >= 4:
        length, kind = struct.unpack_from("=HH", raw)
        if length < 4:
            return
        yield kind & 0x3FFF, raw[4:length]
        raw = raw[(length + 3) & ~3 :]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _ends(raw: bytes) -> tuple[int, tuple[str, int], tuple[str, int]]:
    """Protocol number, source and destination of a tuple; the ports of anything but TCP and UDP are 0."""
    parts = dict(_attributes(raw))
    addresses, protocol = dict(_attributes(parts.get(_TUPLE_IP, b""))), dict(_attributes(parts.get(_TUPLE_PROTO, b"")))
    if 3 in addresses:  # CTA_IP_V6_SRC and _DST
        source, destination = (socket.inet_ntop(socket.AF_INET6, addresses[which][:16]) for which in (3, 4))
    else:
        source, destination = (socket.inet_ntoa(addresses.get(which, bytes(4))[:4]) for which in (1, 2))
    ports = [int.from_bytes(protocol.get(which, b"\0\0")[:2], "big") for which in (2, 3)]
    return protocol.get(1, b"\0")[0], (source, ports[0]), (destination, ports[1])
