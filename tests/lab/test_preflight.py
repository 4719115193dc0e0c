"""What preflight finds on a machine that was somebody's before us, each injected on a real node; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.foreign import WEB_APP, Foreign
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

SKEWED = """
import platform, time
real = time.time
time.time = lambda: real() - 86400
platform.release = lambda: "4.19.0"
platform.python_version = lambda: "3.9.2"
"""
LISTENER = "import socket, time; s = socket.socket(); s.bind(('', 30008)); s.listen(); time.sleep(600)"
STATE = "find /etc /usr/local -newer /tmp/mark -not -type d; ip -br link; ip route; nft -s list ruleset"

FIREWALLS = {
    "nft": (
        "nft 'add table inet mine; add chain inet mine wall { type filter hook forward priority 0; policy drop; }'",
        "nft delete table inet mine",
        "table inet mine, chain wall, hook forward",
    ),
    "iptables": ("iptables -P FORWARD DROP", "iptables -P FORWARD ACCEPT", "the firewall iptables drops"),
    "iptables-legacy": (
        "iptables-legacy -A FORWARD -o cni0 -j REJECT",
        "iptables-legacy -F FORWARD",
        "the firewall iptables-legacy drops",
    ),
    "docker": (
        "iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER",
        "iptables -P FORWARD ACCEPT; iptables -F; iptables -X DOCKER-USER",
        "iptables -I DOCKER-USER -d 10.244.0.0/16 -j ACCEPT",
    ),
    "nodePorts": (
        "iptables -A INPUT -p tcp --dport 1 -j DROP; iptables -t raw -A PREROUTING -p tcp --dport 30000:32767 -j DROP",
        "iptables -F INPUT; iptables -t raw -F",
        "drops what comes to nodePort 30008/TCP",
    ),
    "firewalld": ("nft -j -f /tmp/firewalld.json", "nft delete table inet firewalld", "the firewall firewalld drops"),
    "ufw": (
        "iptables-restore < /tmp/ufw.save; iptables -I INPUT -j ACCEPT",
        "iptables-restore < /tmp/none.save",
        "ufw route allow to 10.244.0.0/16",
    ),
}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    real = Path(__file__).parents[1] / "cases" / "firewall"
    with with_nodes(tmp_path_factory.mktemp("preflight"), 2) as lab:
        foreign = Foreign(lab.cluster(), tmp_path_factory.mktemp("user"))
        for file in ("firewalld.json", "ufw.save"):
            text = (real / file).read_text()
            text = text.replace(
                '"nftables": [', '"nftables": [{"add": {"table": {"family": "inet", "name": "firewalld"}}},'
            )
            foreign.on("a", f"cat > /tmp/{file} <<'END'\n{text}\nEND")
        foreign.on("a", "iptables -P INPUT ACCEPT; iptables-save > /tmp/none.save")
        for name in "ab":
            foreign.on(name, "touch /tmp/mark")
        yield foreign


def refused(foreign: Foreign, inventory: Path) -> str:
    """What is said, on one line; no machine is changed by saying it."""
    before = [foreign.on(name, STATE) for name in "ab"]
    done = foreign.harness("apply", "-f", WEB_APP, inventory=inventory)
    assert done.code == 4, done.out + done.err
    assert [foreign.on(name, STATE) for name in "ab"] == before
    return " ".join(done.err.split())


def test_everything_at_once(foreign: Foreign) -> None:
    foreign.on("a", f"mkdir /opt/skew; cat > /opt/skew/sitecustomize.py <<'END'\n{SKEWED}\nEND")
    foreign.on("a", "printf '#!/bin/sh\\nPYTHONPATH=/opt/skew exec /usr/bin/python3 \"$@\"\\n' > /opt/skew/python3")
    foreign.on(
        "a",
        "printf '#!/bin/sh\\n[ $1 = --version ] && exec echo nftables v0.9.8; exec /usr/sbin/nft \"$@\"\\n' > /opt/nft",
    )
    foreign.on("a", "chmod +x /opt/skew/python3 /opt/nft; mv /opt/nft /usr/local/sbin/nft")
    foreign.on("a", f'systemd-run --quiet --unit=squatter python3 -c "{LISTENER}"')
    foreign.on("a", "until ss -Hltn | grep -q 30008; do :; done")
    foreign.on("a", "ip route add blackhole 10.244.7.0/24; nft add table ip kube-proxy")
    foreign.on("a", "ip link add kube-ipvs0 type veth peer name kube1; ip link add cni0 type bridge")
    foreign.on(
        "a", "mount --bind /etc /etc; mount -o remount,bind,ro /etc; mount -t tmpfs -o size=4k none /usr/local/lib"
    )
    source = foreign.inventory({"a": {"ansible_python_interpreter": "/opt/skew/python3"}})
    try:
        said = refused(foreign, source)
    finally:
        foreign.on(
            "a", "umount /etc /usr/local/lib; ip link delete kube-ipvs0; ip link delete cni0; rm /usr/local/sbin/nft"
        )
        foreign.on(
            "a", "nft delete table ip kube-proxy; ip route delete blackhole 10.244.7.0/24; systemctl stop squatter"
        )
    assert " a: Nothing is in the way: failed:" in said
    assert " b: " not in said
    for words in (
        "the kernel 4.19.0 is too old", "Python 3.9.2 is too old: install 3.11 or later", "nft 0.9.8 is too old",
        "nodePorts are taken, 30008/TCP by python3 (process ", "there is an interface cni0 that is not ours",
        "remove blackhole 10.244.7.0/24", "kube-proxy (nftables table kube-proxy), kube-proxy (IPVS, ",
        "/etc cannot be written", "less than 16 MiB are free at /usr/local/lib", "s behind this machine's",
    ):  # fmt: skip
        assert words in said


ALWAYS = ("nft", "docker", "iptables-legacy", "firewalld")
"""Judged on a node in the default run; the others by tests/unit/ansible/test_firewall.py there."""


@pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=() if kind in ALWAYS else pytest.mark.long) for kind in FIREWALLS
])  # fmt: skip
def test_a_firewall_that_would_drop_is_named(foreign: Foreign, kind: str) -> None:
    before, after, told = FIREWALLS[kind]
    foreign.on("a", before)
    try:
        said = refused(foreign, foreign.inventory())
    finally:
        foreign.on("a", after)
    assert told in said


@pytest.mark.long
def test_what_is_accepted_refuses_nothing_and_firewalls_that_let_us_through_neither(foreign: Foreign) -> None:
    drop, mend, _ = FIREWALLS["docker"]
    foreign.on("a", drop)
    done = foreign.harness("run", "-f", WEB_APP, inventory=foreign.inventory(preflight_accepted=["firewall"]))
    assert done.code == 1, "what was accepted shows in the proof"
    assert "DOCKER" in done.out or "FORWARD" in done.out
    for way in ("-d", "-s"):  # as the advice says
        foreign.on("a", f"iptables -I DOCKER-USER {way} 10.244.0.0/16 -j ACCEPT")
    done = foreign.harness("run", "-f", WEB_APP, inventory=foreign.inventory())
    assert done.code == 0, done.out + done.err
    foreign.on("a", mend)


def test_a_firewall_at_input_is_in_the_way_of_a_relay_alone(foreign: Foreign) -> None:
    """The kernel translates before INPUT; socat accepts there."""
    foreign.on("a", "iptables -A INPUT -p tcp --dport 30000:32767 -j DROP")
    try:
        said = refused(foreign, foreign.inventory({"a": {"nodeport_forwarder": "socat"}}))
        done = foreign.play(
            "site.yml", "--tags", "preflight", "-e", f"@{planned(foreign)}", inventory=foreign.inventory()
        )
    finally:
        foreign.on("a", "iptables -F INPUT")
    assert "a: Nothing is in the way: failed: the firewall iptables drops what comes to nodePort 30008/TCP" in said
    assert "hook input): let these ports through" in said
    assert " b: " not in said
    assert done.ok, done.out


def planned(foreign: Foreign) -> Path:
    """The plan for nodes that forward by nftables."""
    plan = foreign.folder / "plan.yml"
    words = ("plan", "-f", WEB_APP, "--forwarder", "nftables", "-o", plan)
    assert foreign.harness(*words, inventory=foreign.inventory()).ok
    return plan
