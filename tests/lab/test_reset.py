"""Reset puts back what was there: everything that can be told of a machine is compared, before and after."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.foreign import WEB_APP, Foreign
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

DUMP = (Path(__file__).parent / "machine.sh").read_text()
FOREIGN = """
nft 'add table inet mine; add chain inet mine in { type filter hook input priority 0; policy accept; }'
nft 'add rule inet mine in tcp dport 9 drop'
iptables -A INPUT -p tcp --dport 7 -j DROP
ip route add 203.0.113.0/24 dev eth0
ip route add blackhole 198.51.100.0/24 table 7; ip rule add to 198.51.100.0/24 table 7
sysctl -q net.ipv4.ip_forward=0; sysctl -q net.ipv4.conf.all.rp_filter=2; sysctl -q net.ipv4.conf.eth0.send_redirects=0
mkdir -p /etc/nodeportx /opt/mine; echo mine > /etc/sysctl.d/95-mine.conf
"""


PACKAGES = "dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\\n'; apt-mark showmanual"
ARCHIVE = (Path(__file__).parent / "archive.sh").read_text()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with with_nodes(tmp_path_factory.mktemp("reset"), 2) as lab:
        foreign = Foreign(lab.cluster(), tmp_path_factory.mktemp("user"))
        for name in "ab":
            foreign.on(name, FOREIGN)
            foreign.on(name, "systemctl is-system-running --wait || true")
        yield foreign


def dump(foreign: Foreign, script: str = DUMP) -> dict[str, list[str]]:
    return {name: foreign.on(name, script, timeout=60).splitlines() for name in "ab"}


def difference(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    return [
        f"{name}: {line}"
        for name in before
        for line in difflib.unified_diff(before[name], after[name], n=0, lineterm="")
    ]


def test_what_was_there_before_is_there_again(foreign: Foreign) -> None:
    source, before = foreign.inventory(), dump(foreign)
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    during = difference(before, dump(foreign))
    assert "a: +net.ipv4.ip_forward = 1" in during, "the comparison sees what we do"
    assert "a: +net.ipv4.conf.all.send_redirects = 0" in during, "redirects would use up what refusals of UDP need"
    foreigners = [line for line in during if "mine" in line or "203.0.113" in line or "198.51.100" in line]
    assert foreigners == [], "what is not ours stays as it is while we are there, too"
    said = foreign.play("traces.yml", inventory=source).out
    assert "net/ipv4/ip_forward=0" in said
    assert "/etc/nodeport/state.json" in said
    rehearsed = foreign.play("reset.yml", "--check", inventory=source)
    assert rehearsed.ok, rehearsed.out
    assert difference(before, dump(foreign)) == during
    done = foreign.harness("down", "--reset", inventory=source)
    assert done.code == 0, done.err
    left = difference(before, dump(foreign))
    assert not left, "\n".join(left)


def test_reset_of_a_machine_without_our_work_changes_nothing(foreign: Foreign) -> None:
    before = dump(foreign)
    done = foreign.play("reset.yml", "--diff", inventory=foreign.inventory())
    assert done.out.count(" changed=0 ") == 2, done.out
    assert difference(before, dump(foreign)) == []


ASKED = "for name in all default lo; do echo 1 > /proc/sys/net/ipv4/conf/$name/send_redirects; done"
EARLIER = r"""
sed -i /redirects/d /etc/sysctl.d/90-nodeport.conf
python3 - <<END
import json, pathlib
file = pathlib.Path("/var/lib/nodeport/before.json")
known = json.loads(file.read_text())
known["sysctls"] = {path: value for path, value in known["sysctls"].items() if "redirects" not in path}
file.write_text(json.dumps(known))
END
"""
"""What a version of the role left behind that let the node's redirects alone."""


@pytest.mark.long
def test_machines_that_an_earlier_version_set_up_are_put_back_as_far_as_anybody_knows(foreign: Foreign) -> None:
    source, before = foreign.inventory(), dump(foreign)
    assert foreign.harness("apply", "-f", WEB_APP, inventory=source).code == 0
    for name in "ab":
        foreign.on(name, f"cp /etc/sysctl.d/90-nodeport.conf /tmp; {EARLIER}")
    foreign.on("a", ASKED)
    foreign.on("b", "cp /tmp/90-nodeport.conf /etc/sysctl.d/")
    assert foreign.harness("apply", "-f", WEB_APP, inventory=source).code == 0
    done = foreign.harness("down", "--reset", inventory=source)
    assert done.code == 0, done.err
    said = " ".join(done.err.split())
    assert "b: net.ipv4.conf.*.send_redirects stay as they are" in said, said
    assert "a: net" not in said
    left = {line.rpartition(" = ")[0] for line in difference(before, dump(foreign))}
    assert {name for name in left if not name.startswith("b: ") or "send_redirects" not in name} == {""}, left
    foreign.on("b", ASKED)


@pytest.mark.long
def test_packages_that_came_with_us_go_again_unless_others_need_them(foreign: Foreign) -> None:
    foreign.on("a", ARCHIVE, timeout=60)
    source, before = foreign.inventory(), foreign.on("a", PACKAGES)
    assert " conntrack " not in before
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    assert " conntrack " in foreign.on("a", PACKAGES)
    assert '"conntrack"' in foreign.on("a", "cat /var/lib/nodeport/before.json")
    done = foreign.play("reset.yml", inventory=source)
    assert done.ok, done.out
    assert foreign.on("a", PACKAGES) == before
    done = foreign.harness("apply", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err
    foreign.on("a", "apt-get -q -y install needy")
    done = foreign.play("reset.yml", inventory=source)
    assert done.ok, done.out
    assert "Say which packages stay" in done.out
    assert {"conntrack", "needy"} <= set(foreign.on("a", PACKAGES).split())
