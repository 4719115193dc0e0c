#!/usr/bin/python3 -SE
"""Bring this node's pod network to what /etc/nodeport/network.json says.

    podnet apply           make the bridge cni0 and the ways to other nodes' pods; JSON of what changed
    podnet check [FILE]    the same JSON of what apply would change (if FILE were the wanted network); changes nothing
    podnet remove          take away the bridge, our routes and our VXLAN

Other nodes' pods are reached by routes to their nodes (mode ``routes``, for nodes on one network), or by VXLAN
(RFC 7348) over whatever is between the nodes (mode ``vxlan``). There everything is said beforehand and nothing is
learnt: the pods of a node are behind its gateway, the gateway has a hardware address that follows from its own, and
that is at the node's address. Also what pods send to nodePorts of other nodes goes this way, by rules and a table of
its own: routers between nodes may drop packets from addresses that they do not know.

Our routes and rules carry the route protocol 77, so that nobody else's are ever touched. Standard library only.
"""

import ipaddress
import json
import subprocess
import sys
from pathlib import Path

WANTED = Path("/etc/nodeport/network.json")
BRIDGE, VXLAN = "cni0", "nodeport-vxlan"
PROTOCOL = "77"
TABLE = "7744"
OURS = f"lookup {TABLE} protocol {PROTOCOL}"
ETHERNET = 1500
NODE_PORTS = "30000-32767"
OVERHEAD = 50  # of VXLAN: an Ethernet header (14) within VXLAN (8), UDP (8) and IPv4 (20)


class Network:
    """What is wanted: ``gateway`` with its prefix, ``peers`` as {pod range: node address}, ``routes`` as {range: way}.

    ``gateway6``, ``peers6`` and ``routes6`` are those of IPv6, if there is any, ``beside`` is {its gateway: IPv4
    gateway of the same node}. ``vxlan`` is ``None``, or the VNI and the port. A range by way of the node's own
    gateway (that of Services) goes into the bridge: translated on its way out, but without a route never sent.
    """

    def __init__(self, told):
        self.gateway, ways = _of_family(told, ipaddress.IPv4Network, ipaddress.IPv4Interface, ipaddress.IPv4Address)
        self.peers = {to: via for to, via in ways.items() if via != self.gateway.ip}
        self.vxlan = None
        if told.get("mode", "routes") not in ("routes", "vxlan"):
            raise ValueError(f"mode {told['mode']!r} is neither routes nor vxlan")
        if told.get("mode") == "vxlan":
            self.address = ipaddress.IPv4Address(told["address"])
            self.vxlan = _number(told["vxlan"]["vni"], 24), _number(told["vxlan"]["port"], 16)
        self.routes = self._routes(ways, self.peers)
        self.gateway6, self.peers6, self.routes6, self.beside = None, {}, {}, {}
        if "ipv6" in told:
            self._six(told["ipv6"])

    def _six(self, told):
        self.gateway6, ways = _of_family(told, ipaddress.IPv6Network, ipaddress.IPv6Interface, ipaddress.IPv6Address)
        if "%" in str([self.gateway6, *ways, *ways.values()]):
            raise ValueError("an address has a zone")
        self.peers6 = {to: via for to, via in ways.items() if via != self.gateway6.ip}
        self.routes6 = self._routes(ways, self.peers6)
        beside = {ipaddress.IPv6Network(route["to"]): route.get("beside") for route in told["routes"]}
        if self.vxlan:
            self.beside = {str(to[1]): ipaddress.IPv4Network(beside[to])[1] for to in self.peers6}

    def _routes(self, ways, peers):
        return {str(to): self._way(to, via) if to in peers else f"dev {BRIDGE}" for to, via in ways.items()}

    def _way(self, to, via):
        return f"via {to[1]} dev {VXLAN} onlink" if self.vxlan else f"via {via}"


def _of_family(told, network, interface, address):
    """The gateway with its prefix, which has to be in the pod range, and the routes as {range: way}, of one family."""
    pod_range = network(told["pod_range"])
    gateway = interface(f"{told['gateway']}/{pod_range.prefixlen}")
    if gateway.network != pod_range:
        raise ValueError(f"the gateway {gateway.ip} is not in the pod range {pod_range}")
    return gateway, {network(route["to"]): address(route["via"]) for route in told["routes"]}


def _number(value, bits):
    if isinstance(value, int) and 0 < value < 1 << bits:
        return value
    raise ValueError(f"{value!r} is not a number from 1 to {(1 << bits) - 1}")


def wanted(path):
    """The wanted network; ends the program when it cannot be right."""
    try:
        return Network(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path}: not a pod network: {error!r}")


def links():
    """The links of ours that there are, by name; ends the program when one of them is not what it has to be."""
    found = {link["ifname"]: link for link in ask("-details", "address", "show") if link.get("ifname")}
    for name, kind in ((BRIDGE, "bridge"), (VXLAN, "vxlan")):
        if name in found and found[name].get("linkinfo", {}).get("info_kind") != kind:
            sys.exit(f"there is an interface {name} that is not a {kind} and not ours: remove it")
    return found


def our_routes(family="-4"):
    """The routes that carry our protocol number: those of the main table and those of ours, as {range: way}."""
    tables = {"main": {}, TABLE: {}}
    for route in ask(family, "route", "show", "table", "all", "proto", PROTOCOL):
        words = [f"via {route['gateway']}"] if "gateway" in route else []
        words += [f"dev {route.get('dev', '')}"] if not words or route.get("dev") == VXLAN else []
        words += ["onlink"] if "onlink" in route.get("flags", ()) else []  # not linkdown, of a bridge without pods
        tables.setdefault(route.get("table", "main"), {})[route["dst"]] = " ".join(words)
    return tables["main"], tables[TABLE]


def changes(path):
    """The commands from what is to what is wanted: those of ``ip``, and those of ``bridge``, which begin with fdb."""
    network, present, tables = wanted(path), links(), (*our_routes(), *our_routes("-6"))
    size, tunnel = mtu(network, present), present.get(VXLAN)
    yield from bridge_changes(network.gateway, present.get(BRIDGE), size)
    yield from address6_changes(BRIDGE, network.gateway6, present.get(BRIDGE))
    if tunnel and not (network.vxlan and is_right(network, tunnel)):
        yield f"link delete {VXLAN}"
        tables = ({to: way for to, way in table.items() if VXLAN not in way} for table in tables)
        tunnel = None
    routes, own, routes6, own6 = tables
    if network.vxlan:
        yield from tunnel_changes(network, tunnel, size)
        yield from neighbour_changes(network, *(neighbours() if tunnel else ({}, {})))
    yield from route_changes(network.routes, routes)
    yield from route_changes(network.routes6, routes6)
    of_four = "-4", network.gateway, network.peers, network.routes, own
    for family, gateway, peers, ways, own in (of_four, ("-6", network.gateway6, network.peers6, network.routes6, own6)):
        nodes = {str(via): ways[str(to)] for to, via in peers.items()} if network.vxlan else {}
        yield from route_changes(nodes, own, f" table {TABLE}")
        yield from rule_changes(rules(gateway.network) if nodes else set(), our_rules(family))


def mtu(network, present):
    """What pods may send at once: as much as fits the ways to all other nodes."""
    asked = "".join(f"route get {via}\n" for via in sorted(network.peers.values()))
    # One node that cannot be reached now says nothing of the others: -force goes on, and fails in the end.
    done = subprocess.run(
        ["ip", "-json", "-force", "-batch", "-"], input=asked, capture_output=True, text=True, timeout=30, check=False
    )
    devices = {way.get("dev") for line in done.stdout.splitlines() if line.startswith("[{") for way in json.loads(line)}
    sizes = [present[name]["mtu"] for name in devices - {BRIDGE, VXLAN, "lo"} if name in present]
    return min(sizes, default=ETHERNET) - (OVERHEAD if network.vxlan else 0)


def bridge_changes(gateway, link, size):
    """The commands for the bridge and its address."""
    if link is None:
        # With an address of its own the bridge keeps it. Otherwise it takes over that of a pod's veth, and when this
        # pod goes, the other pods know their gateway by an address that nobody has any more.
        yield f"link add {BRIDGE} address {hardware('0a:58', gateway.ip)} type bridge"
    yield from state_changes(BRIDGE, link, size)
    yield from address_changes(BRIDGE, gateway, link)


def is_right(network, tunnel):
    """Whether a VXLAN is the wanted one; what it is cannot be changed while it is there."""
    about = tunnel["linkinfo"].get("info_data", {})
    right = about.get("id"), about.get("port"), about.get("local"), about.get("learning"), tunnel.get("address")
    return right == (*network.vxlan, str(network.address), False, hardware("0a:59", network.gateway.ip))


def tunnel_changes(network, tunnel, size):
    """The commands for the VXLAN itself; the gateway's address is there too, for what the node itself sends."""
    if tunnel is None:
        (vni, port), own = network.vxlan, hardware("0a:59", network.gateway.ip)
        about = f"id {vni} local {network.address} dstport {port} nolearning"
        yield f"link add {VXLAN} address {own} type vxlan {about}"
    yield from state_changes(VXLAN, tunnel, size)
    yield from address_changes(VXLAN, ipaddress.IPv4Interface(network.gateway.ip), tunnel)
    yield from address6_changes(VXLAN, network.gateway6 and ipaddress.IPv6Interface(network.gateway6.ip), tunnel)


def neighbours():
    """What the VXLAN knows: hardware addresses by gateway, and nodes by hardware address."""
    known = {
        entry["dst"]: entry.get("lladdr", "") if "PERMANENT" in entry["state"] else ""
        for family in ("-4", "-6")
        for entry in ask(family, "neighbour", "show", "dev", VXLAN)
        if not entry["dst"].startswith(("fe80:", "ff"))
    }
    table = json.loads(run("bridge", "-json", "fdb", "show", "dev", VXLAN) or "[]")
    return known, {entry["mac"]: entry.get("dst", "") for entry in table if entry}


def neighbour_changes(network, known, table):
    """The commands for the other nodes: the hardware address of each one's gateway, and the node it is at."""
    at = {str(to[1]): (hardware("0a:59", to[1]), str(via)) for to, via in network.peers.items()}
    addresses = {
        **{gateway: address for gateway, (address, _) in at.items()},
        **{gateway: hardware("0a:59", other) for gateway, other in network.beside.items()},
    }
    yield from (f"neighbour delete {gone} dev {VXLAN}" for gone in sorted(set(known) - set(addresses)))
    nodes = dict(at.values())
    yield from (f"fdb delete {gone} dev {VXLAN} dst {table[gone]}" for gone in sorted(set(table) - set(nodes)))
    for gateway, address in sorted(addresses.items()):
        if known.get(gateway) != address:
            yield f"neighbour replace {gateway} lladdr {address} dev {VXLAN} nud permanent"
    for address, node in sorted(nodes.items()):
        if table.get(address) != node:
            yield f"fdb replace {address} dev {VXLAN} dst {node}"


def hardware(prefix, address):
    """A hardware address that follows from an IPv4 address."""
    return f"{prefix}:" + ":".join(f"{byte:02x}" for byte in address.packed)


def state_changes(name, link, size):
    """The commands that bring a link up, with the wanted MTU."""
    if link is None or "UP" not in link["flags"] or link["mtu"] != size:
        yield f"link set {name} mtu {size} up"


def address_changes(name, wanted_address, link):
    """The commands that leave a link with one IPv4 address."""
    infos = link["addr_info"] if link else []
    has = {f"{info['local']}/{info['prefixlen']}" for info in infos if info["family"] == "inet"}
    if str(wanted_address) not in has:
        yield f"address add {wanted_address} dev {name}"
    yield from (f"address delete {other} dev {name}" for other in sorted(has - {str(wanted_address)}))


def address6_changes(name, wanted_address, link):
    """The commands that leave a link with one IPv6 address besides its link-local one, or none."""
    infos = link["addr_info"] if link else []
    has = {f"{info['local']}/{info['prefixlen']}" for info in infos if info["family"] == "inet6"}
    has = {each for each in has if not each.startswith("fe80:")}
    if wanted_address and str(wanted_address) not in has:
        # nodad: usable at once, also while no pod is there and the bridge has no carrier
        # A route of its own to the one address of the VXLAN would take it from the bridge.
        yield f"address add {wanted_address} dev {name} nodad{' noprefixroute' * (name == VXLAN)}"
    yield from (f"address delete {other} dev {name}" for other in sorted(has - {str(wanted_address)}))


def route_changes(routes, present, table=""):
    """The commands for the routes; only a route of ours is ever replaced, one of somebody else is a failure to add."""
    # Of IPv6 none is replaced: the old one leads elsewhere to a gateway that the new one says is on its link.
    gone = {to for to, way in present.items() if to not in routes or (":" in to and way != routes[to])}
    yield from (f"route delete {to} proto {PROTOCOL}{table}" for to in sorted(gone))
    for to, way in sorted(routes.items()):
        if present.get(to) != way:
            yield f"route {'replace' if to in present and to not in gone else 'add'} {to} {way} proto {PROTOCOL}{table}"


def rules(pod_range):
    """The rules that lead what pods ask of nodePorts into our table; not what they answer, which goes as it came."""
    return {f"from {pod_range} iif {BRIDGE} ipproto {protocol} dport {NODE_PORTS}" for protocol in ("tcp", "udp")}


def our_rules(family="-4"):
    """The rules that lead into our table."""
    return {
        f"from {rule['src']}/{rule.get('srclen', 32)} iif {rule.get('iif', '')} ipproto {rule.get('ipproto', '')} "
        f"dport {rule.get('dport_start', rule.get('dport', ''))}-{rule.get('dport_end', '')}"
        for rule in ask(family, "rule", "show")
        if str(rule.get("table")) == TABLE
    }


def rule_changes(lines, present):
    """The commands for the rules."""
    yield from (f"rule delete priority {TABLE} {gone} {OURS}" for gone in sorted(present - lines))
    yield from (f"rule add priority {TABLE} {new} {OURS}" for new in sorted(lines - present))


def removal():
    """The commands that take our network away."""
    for family in ("-4", "-6"):
        main, own = our_routes(family)
        yield from route_changes({}, main)
        yield from route_changes({}, own, f" table {TABLE}")
        yield from rule_changes(set(), our_rules(family))
    yield from (f"link delete {name}" for name in (VXLAN, BRIDGE) if name in links())


def ask(*words):
    """What ``ip -json`` answers."""
    return [entry for entry in json.loads(run("ip", "-json", *words) or "[]") if entry]


def run(*words, stdin=None):
    """Run a program that has to succeed and return what it printed; ends this program with its words otherwise."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}\n{stdin or ''}".strip())
    return done.stdout


def carry_out(lines):
    """Do it."""
    programs = {("ip",): [], ("ip", "-6"): [], ("bridge",): []}
    for line in lines:
        of_ipv6 = line.startswith("rule") and ":" in line  # of all else ip sees the family by itself
        programs["bridge" if line.startswith("fdb") else "ip", *["-6"] * of_ipv6].append(line)
    for program, its in programs.items():
        if its:
            run(*program, "-batch", "-", stdin="\n".join(its) + "\n")
    if any(line.startswith(f"link add {VXLAN}") for line in lines):
        # What pods send to a node comes by the VXLAN, and what the node sends to a pod may be answered there: a
        # strict reverse path filter would drop it. The larger one of all's and this interface's counts.
        (Path("/proc/sys/net/ipv4/conf") / VXLAN / "rp_filter").write_text("2")


def main(verb="", *words):
    """Carry out one verb."""
    if verb not in ("apply", "check", "remove") or len(words) > (verb == "check"):
        sys.exit(__doc__)
    lines = list(removal() if verb == "remove" else changes(Path(words[0]) if words else WANTED))
    if lines and verb != "check":
        carry_out(lines)
    print(json.dumps({"commands": lines} if lines else {}))


if __name__ == "__main__":
    main(*sys.argv[1:])
