"""A machine that goes away while something is changed: named, the others go on where that is safe, and it is mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.support import process
from tests.lab.foreign import WEB_APP, Foreign
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

GENERATION = "python3 -c \"import json; print(json.load(open('/run/nodeport/status.json'))['generation'])\""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with with_nodes(tmp_path_factory.mktemp("lost")) as lab:
        yield Foreign(lab.cluster(), tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="module")
def source(foreign: Foreign) -> Path:
    """The inventory; the machines run our work."""
    found = foreign.inventory(ansible_ssh_common_args=f"-F {foreign.machines.ssh_config} -o ConnectTimeout=3")
    green(foreign, found)
    return found


def green(foreign: Foreign, source: Path) -> None:
    done = foreign.harness("run", "-f", WEB_APP, inventory=source)
    assert done.code == 0, done.out + done.err


def generations(foreign: Foreign, names: str) -> list[int]:
    return [int(foreign.on(name, GENERATION)) for name in names]


def last_run(foreign: Foreign) -> Path:
    return (foreign.folder / ".harness" / "default" / "runs" / "latest").resolve()


@contextmanager
def cable_out(foreign: Foreign) -> Iterator[None]:
    """The last machine's cable is out while the block runs."""
    assert foreign.machines.client_netns is not None
    link = ["ip", "-n", foreign.machines.client_netns.name, "link", "set", f"v-{foreign.machines.nodes[-1].name}"]
    try:
        process.check([*link, "down"], what="pulling the cable")
        process.run(["ssh", "-F", foreign.machines.ssh_config, "-O", "exit", foreign.machines.nodes[-1].name])
        yield
    finally:
        process.check([*link, "up"], what="putting the cable in")


@contextmanager
def no_ssh(foreign: Foreign) -> Iterator[None]:
    """The last machine refuses SSH while the block runs; what it forwards, it forwards on."""
    machine = foreign.machines.nodes[-1]
    inside = ["nsenter", f"--net={foreign.machines.client_netns}", "nft"]
    chain = "add table inet cut; add chain inet cut out { type filter hook output priority 0; }"
    refuse = f"ip daddr {machine.address} tcp dport 22 reject with tcp reset"
    process.check([*inside, f"{chain}; add rule inet cut out {refuse}"], what="refusing SSH")
    try:
        process.run(["ssh", "-F", foreign.machines.ssh_config, "-O", "exit", machine.name])
        yield
    finally:
        process.check([*inside, "delete table inet cut"], what="allowing SSH")


@pytest.mark.long
def test_a_change_goes_round_a_machine_that_is_away(foreign: Foreign, source: Path) -> None:
    with cable_out(foreign):
        done = foreign.harness("scale", "deploy/web-app", "--replicas", "5", inventory=source)
        listed = foreign.harness("get", "pods", "-o", "json", inventory=source)
    assert done.code == 4, done.out + done.err
    assert "machines that cannot be used:\n  c: " in done.err
    assert "  a: " not in done.err
    assert "of the 1 pod of c, others take over default/web-app-" in done.err
    pods = json.loads(listed.out)
    assert sorted(pod["node"] for pod in pods) == ["a", "a", "a", "b", "b"], "the others run all of them"
    assert len(set(generations(foreign, "ab"))) == 1
    green(foreign, source)


@pytest.mark.long
def test_a_machine_that_goes_away_in_the_middle_stops_nobody(foreign: Foreign, source: Path) -> None:
    """By hand, as Ansible alone does it: the harness would have asked the machine a moment before."""
    for count in (5, 2, 5):
        done = foreign.harness("scale", "deploy/web-app", "--replicas", str(count), inventory=source)
        assert done.code == 0, done.err
        if count == 2:
            plan = last_run(foreign) / "plan.json"  # fewer pods: first nobody is sent to them, then they end
    steps = json.loads(plan.read_text())["nodeport_steps"]
    assert len(steps) > 1
    wanted = steps[-1]["nodes"]["a"].get("forwarder") or steps[0]["nodes"]["a"]["forwarder"]
    before = generations(foreign, "c")
    with no_ssh(foreign):
        played = foreign.play("change.yml", "-e", f"@{plan}", inventory=source)
        assert played.code == 4, played.out
        assert "fatal: [c]: UNREACHABLE!" in played.out
        assert generations(foreign, "ab") == [wanted["generation"]] * 2
        left = [int(foreign.on(name, "ip netns list | grep -c pod- || true")) for name in "ab"]
    assert sum(left) <= 2, f"the last step, too, is done where it can be: {played.out}"
    assert generations(foreign, "c") == before
    mended = foreign.play("change.yml", "-e", f"@{last_run(foreign) / 'plan.json'}", inventory=source)
    assert mended.ok, mended.out
    green(foreign, source)


@pytest.mark.long
def test_a_step_that_fails_on_one_machine_is_the_last_for_all(foreign: Foreign, source: Path) -> None:
    """Else pods would end that the failed machine still sends traffic to."""
    done = foreign.harness("scale", "deploy/web-app", "--replicas", "5", inventory=source)
    assert done.code == 0, done.err
    running = "ip netns list | grep -c pod- || true"
    before = [foreign.on(name, running) for name in "abc"]
    foreign.on("c", "mount --bind /bin/false /usr/local/lib/nodeport/nodeportd/__main__.py")
    try:
        done = foreign.harness("scale", "deploy/web-app", "--replicas", "2", inventory=source)
    finally:
        foreign.on("c", "umount /usr/local/lib/nodeport/nodeportd/__main__.py")
    assert done.code == 4, done.out + done.err
    assert "\n  c: " in done.err
    assert "\n  a: " not in done.err
    assert [foreign.on(name, running) for name in "abc"] == before, "no pod ended"
    green(foreign, source)
