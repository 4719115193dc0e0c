"""Whether the rules of a node's firewalls would drop packets that nodePorts need. Pure; standard library only.

Read are the two forms in which rules exist: what ``nft -j list ruleset`` prints, and what ``iptables-save`` prints. A
packet is a dict (``hook iif oif saddr daddr proto dport state status``; ``None`` is what is not known of it). A rule
fits a packet, does not, or that is unknown; what is said to be dropped is dropped whatever the unknown turns out to be.
"""

import fnmatch
import ipaddress
import json
import shlex

ACCEPT, DROP, ON = "accept", "drop", "on"
ANYTHING = frozenset({ACCEPT, DROP, ON})
OTHER = object()  # in the place of a field that packets of this protocol do not have: no rule about it fits
BUILT_IN = {"PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output"}


class Chain:
    """A chain: its rules as (conditions, action), and for a base chain the hook and what becomes of the rest."""

    def __init__(self, hook="", policy=ACCEPT):
        self.hook, self.policy, self.rules = hook, policy, []


def drops(table, packet):
    """The base chains of a table (chains by name) that drop the packet for certain."""
    for name, chain in table.items():
        if chain.hook == packet["hook"]:
            ends = outcomes(table, name, packet)
            if {chain.policy if end == ON else end for end in ends} == {DROP}:
                yield name


def outcomes(table, name, packet, depth=16):
    """What may become of the packet in a chain: accepted, dropped, or ON where the chain does not decide."""
    if name not in table or not depth:
        return ANYTHING
    found = set()
    for conditions, (verb, target) in table[name].rules:
        answers = [condition(packet) for condition in conditions]
        if False in answers:
            continue
        here, leaves = {verb}, verb in (ACCEPT, DROP)
        if verb == "return":
            here, leaves = {ON}, True
        elif verb in ("jump", "goto"):
            here = outcomes(table, target, packet, depth - 1)
            leaves = verb == "goto" or ON not in here
        elif verb == "unknown":
            here = ANYTHING
        found |= here if leaves else here - {ON}
        if leaves and None not in answers:
            return found
    return found | {ON}


def compare(known, wanted, negated=False):
    """Whether what is known of a packet (a value, or a set of flags) is among the wanted; ``None`` when not known."""
    if known is OTHER:
        return False
    answers = [None if known is None or each is None else _equal(known, each) for each in wanted]
    answer = True if True in answers else None if None in answers else False
    return None if answer is None else answer != negated


def _equal(known, wanted):
    if isinstance(known, frozenset):
        return str(wanted).lower() in known
    if isinstance(wanted, tuple):
        return wanted[0] <= known <= wanted[1]
    if isinstance(wanted, ipaddress.IPv4Network):
        return ipaddress.IPv4Address(known) in wanted
    return fnmatch.fnmatchcase(known, wanted) if isinstance(wanted, str) else known == wanted


def _understood(read, *words):
    """What ``read`` makes of a rule; one that we cannot read may do anything."""
    try:
        return read(*words)
    except (AttributeError, KeyError, TypeError, ValueError):
        return [([], ("unknown", ""))]


# What iptables-save prints.


def from_iptables(text):
    """The tables of a text of ``iptables-save``: name → chains."""
    tables, table = {}, {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            table[name] = Chain(BUILT_IN.get(name, ""), DROP if policy == "DROP" else ACCEPT)
        elif line.startswith("-A "):
            words = shlex.split(line)
            if words[1] in table:
                table[words[1]].rules += _understood(_iptables_rule, words[2:], table)
    tables.pop("nat", None)  # it translates, and filters nothing
    return tables


TARGETS = {"ACCEPT": ACCEPT, "DROP": DROP, "REJECT": DROP, "RETURN": "return"}
HARMLESS = ("LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CT", "TRACE", "NOTRACK", "DSCP", "TOS", "CHECKSUM")
EXTENSIONS = ("conntrack", "state", "tcp", "udp", "multiport", "comment")  # which say nothing without an option
OPTIONS = {
    "-i": "iif", "-o": "oif", "-s": "saddr", "-d": "daddr", "-p": "proto", "--dport": "dport", "--dports": "dport",
    "--ctstate": "state", "--state": "state", "--ctstatus": "status",
}  # fmt: skip


def _iptables_rule(words, table):
    conditions, action, denied, index = [], (ON, ""), False, 0
    while index < len(words):
        word = words[index]
        value = words[index + 1] if index + 1 < len(words) else ""
        if word in ("-j", "-g"):
            action = _iptables_action(word, value, table)
            break  # what follows are the target's own options
        if word in OPTIONS:
            conditions.append(_iptables_condition(OPTIONS[word], value, denied))
            index += 1
        elif word == "--comment" or (word == "-m" and value in EXTENSIONS):
            index += 1
        elif word.startswith("-"):
            conditions.append(lambda _packet: None)
        denied = word == "!"
        index += 1
    return [(conditions, action)]


def _iptables_action(word, target, table):
    if target in TARGETS:
        return TARGETS[target], ""
    if target in HARMLESS:
        return ON, ""
    return ("goto" if word == "-g" else "jump") if target in table else "unknown", target


def _iptables_condition(field, text, denied):
    if field in ("iif", "oif"):
        wanted = [text[:-1] + "*" if text.endswith("+") else text]
    elif field in ("saddr", "daddr"):
        wanted = [ipaddress.IPv4Network(text, strict=False)]
    elif field == "dport":
        wanted = [tuple(map(int, (part.split(":") * 2)[:2])) for part in text.split(",")]
    else:
        wanted = text.lower().split(",")
    if field == "proto" and wanted == ["all"]:
        return lambda _packet: True
    return lambda packet: compare(packet[field], wanted, denied)


# What nft -j prints.


def from_nft(text):
    """The tables of a text of ``nft -j list ruleset``: ``family name`` → chains."""
    tables = {}
    for entry in json.loads(text or "{}").get("nftables", ()):
        for kind, what in entry.items():
            if kind not in ("chain", "rule") or what["family"] not in ("ip", "inet", "netdev"):
                continue
            table = tables.setdefault(f"{what['family']} {what['table']}", {})
            if kind == "chain":
                hook = what.get("hook", "") if what.get("type") != "nat" else ""
                table[what["name"]] = Chain("prerouting" if hook == "ingress" else hook, what.get("policy", ACCEPT))
            else:
                table[what["chain"]].rules += _understood(_nft_rules, what.get("expr", ()))
    return tables


SILENT = ("counter", "log", "limit", "mangle", "ct helper", "notrack", "comment", "set", "flow", "meter", "quota")
VERBS = {"accept": ACCEPT, "drop": DROP, "reject": DROP, "return": "return"}


def _nft_rules(expressions):
    """One rule, or for a verdict map one for each of its elements."""
    conditions = []
    for expression in expressions:
        ((kind, what),) = expression.items()
        if kind == "match":
            conditions.append(_nft_condition(what))
        elif kind in VERBS:
            return [(conditions, (VERBS[kind], ""))]
        elif kind in ("jump", "goto"):
            return [(conditions, (kind, what["target"]))]
        elif kind == "vmap":
            return _nft_map(conditions, what)
        elif kind == "limit" or (kind == "xt" and what and what.get("type") == "match"):
            conditions.append(lambda _packet: None)
        elif kind not in SILENT:
            return [(conditions, ("unknown", ""))]
    return [(conditions, (ON, ""))]


def _nft_map(conditions, what):
    elements = what["data"].get("set") if isinstance(what["data"], dict) else None
    if elements is None:  # a named map, which may hold anything
        return [(conditions, ("unknown", ""))]
    return [
        rule
        for element, verdict in elements
        for rule in _nft_rules([{"match": {"op": "==", "left": what["key"], "right": element}}, verdict])
        for rule in [([*conditions, *rule[0]], rule[1])]
    ]


def _nft_condition(match):
    read, wanted = _nft_left(match["left"]), _nft_right(match["right"])
    if read is None or match["op"] not in ("==", "in", "!="):
        return lambda _packet: None
    return lambda packet: compare(read(packet), wanted, match["op"] == "!=")


def _nft_left(left):
    """A function that reads what the rule looks at from a packet; ``None`` for what we do not know."""
    ((kind, what),) = left.items() if isinstance(left, dict) and len(left) == 1 else (("", {}),)
    if kind == "meta":
        fixed = {"nfproto": "ipv4", "protocol": "ip"}.get(what["key"])
        field = {"iifname": "iif", "iif": "iif", "oifname": "oif", "oif": "oif", "l4proto": "proto"}.get(what["key"])
        return (lambda _packet: fixed) if fixed else (lambda packet: packet[field]) if field else None
    if kind == "ct" and what.get("key") in ("state", "status"):
        return lambda packet: packet[what["key"]]
    if kind != "payload":
        return None
    protocol, field = what.get("protocol"), what.get("field")
    if protocol in ("ip6", "icmp", "icmpv6", "arp", "ether"):
        return None if protocol == "ether" else lambda _packet: OTHER
    if protocol in ("tcp", "udp"):
        return lambda packet: packet.get(field) if packet["proto"] == protocol else OTHER
    return lambda packet: packet["proto" if field == "protocol" else field] if field in (*packet, "protocol") else None


def _nft_right(right):
    """The wanted values, each as :func:`compare` takes it; ``None`` for what we do not know."""
    if isinstance(right, list):
        return [each for part in right for each in _nft_right(part)]
    if not isinstance(right, dict):
        return [None if str(right).startswith("@") else _address(right)]
    if "elem" in right:
        return _nft_right(right["elem"]["val"])
    if "set" in right:
        return _nft_right(right["set"] if isinstance(right["set"], list) else [right["set"]])
    if "range" in right and all(isinstance(end, int) for end in right["range"]):
        return [tuple(right["range"])]
    return [_address(f"{right['prefix']['addr']}/{right['prefix']['len']}") if "prefix" in right else None]


def _address(text):
    """A single address as the range that it is; anything else as it is."""
    try:
        return ipaddress.IPv4Network(text, strict=False) if isinstance(text, str) else text
    except ValueError:
        return text
