"""How a node reaches the others, and what is in the way of VXLAN. Changes nothing. Standard library only."""

import json

from guest import VXLAN, printed


def far(peers):
    """The other nodes that are not on this node's own network, each with how they would be reached."""
    for peer in peers:
        told = json.loads(printed("ip", "-json", "-4", "route", "get", peer) or "[{}]")[0]
        if "gateway" in told:
            yield {"node": peer, "how": f"by way of {told['gateway']}"}
        elif not told.get("dev"):
            yield {"node": peer, "how": ""}


def rivals(vni, port, listening):
    """What has the VXLAN's number or its port; ``listening`` is what :func:`look.listening` found."""
    links = json.loads(printed("ip", "-json", "-details", "link", "show", "type", "vxlan") or "[]")
    others = {link["ifname"]: link["linkinfo"].get("info_data", {}) for link in links if link.get("ifname")}
    ours = others.pop(VXLAN, {})
    for name, about in sorted(others.items()):
        if (about.get("id"), about.get("port")) == (vni, port):
            yield f"the VXLAN {name} has the number {vni} at UDP port {port}"
    # A VXLAN holds its port as well: whoever else has the same one shares it.
    if port not in [about.get("port") for about in (ours, *others.values())] and f"{port}/UDP" in listening:
        yield f"UDP port {port} is taken by {listening[f'{port}/UDP']}"
