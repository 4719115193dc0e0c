"""Virtual machines through what happens to machines: reboots, power cuts, snapshots, lack of memory, clocks apart.

Two releases of Debian in one cluster. `make vm-test`; the tests share the machines, and each leaves them well.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from harness.drivers.vagrant import domains, host, settings
from harness.session import settle
from harness.session.lab import Lab
from harness.support import clock, process
from tests.vm.machines import ROOT, Machines

pytestmark = [pytest.mark.lab, pytest.mark.vm]

PODS = "/usr/local/lib/nodeport/podctl list"


def assert_settled(machines: Machines) -> None:
    """Every node runs what it was given, soon after its answer to SSH; nothing on it is changed for that."""
    lab = Lab.at(machines.folder, "default", "vagrant")
    settle.settle(lab.cluster(), lab.applied_plan(lab.cluster()), lambda _event: None)
    machines.prove()


def test_machines_of_two_releases_prove_the_contract_together(converged: Machines) -> None:
    assert converged.on("n1", ". /etc/os-release; echo $VERSION_CODENAME") == "bookworm"
    assert converged.on("n3", ". /etc/os-release; echo $VERSION_CODENAME") == "trixie"
    converged.prove()


def test_they_have_their_share_of_a_busy_host(converged: Machines) -> None:
    """Without systemd libvirt puts all machines into one group, which weighs no more than one shell."""
    if not host.NETNS.exists() or not host.GROUP.exists():
        pytest.skip("a libvirt of this machine's own runs them, or its groups are others")
    assert int((host.GROUP / "cpu.shares").read_text()) == host.SHARES * (os.cpu_count() or 1)
    assert list(host.GROUP.glob(f"*{domains.prefix(converged.folder)}n1*")), "the machines are in it"


def test_a_user_s_pytest_files_run_against_them(converged: Machines) -> None:
    tests = converged.folder / "tests"
    shutil.copytree(ROOT / "tests/e2e", tests, dirs_exist_ok=True)
    words = ["-m", "pytest", "-v", "-p", "no:cacheprovider", str(tests), "--harness-driver", "vagrant",
             "--harness-manifests", "web-app.yaml", "--junitxml", "junit.xml"]  # fmt: skip
    done = process.run([sys.executable, *words], cwd=converged.folder, timeout=900)
    assert done.ok, done.out + done.err
    for name in ("n1", "n2", "n3"):
        assert f"test_the_forwarder_runs[{name}" in done.out, done.out
    assert 'value="vagrant"' in (converged.folder / "junit.xml").read_text()
    assert settings.alive(converged.folder) == {"n1", "n2", "n3"}


@pytest.mark.parametrize("names", [["n3"], []], ids=["one", "all"])
def test_vagrant_reload(names: list[str], converged: Machines) -> None:
    """Vagrant configures the private network anew once SSH answers, under what the node has brought back by then."""
    reloaded = converged.vagrant("reload", *names)
    assert reloaded.ok, reloaded.out + reloaded.err
    assert_settled(converged)


@pytest.mark.parametrize("names", [["n1"], []], ids=["one", "all"])
def test_a_power_cut(names: list[str], converged: Machines) -> None:
    converged.well("reboot", *names, "--hard")
    converged.prove()


def test_a_snapshot_brings_disks_and_plan_back_and_goes_when_told(converged: Machines) -> None:
    converged.well("snapshot", "save", "clean")
    converged.on("n1", "touch /root/later && sync")
    converged.well("scale", "deploy/web-app", "--replicas", "5")
    converged.well("snapshot", "restore", "clean")
    assert not converged.ssh("n1", "test -e /root/later").ok
    assert len(json.loads(converged.on("n1", PODS))) == 1
    converged.prove()
    disk = f"{domains.prefix(converged.folder)}n1"
    assert "clean" in domains.virsh("snapshot-list", disk, "--name").out
    converged.well("snapshot", "delete", "clean")
    assert domains.virsh("snapshot-list", disk, "--name").out.split() == []
    refused = converged.harness("snapshot", "restore", "clean")
    assert refused.code == 2
    assert "clean" in refused.err


def test_a_pod_out_of_memory_comes_back_and_is_counted(converged: Machines) -> None:
    """The kernel ends all of the pod, as the kubelet has it do: what took the memory, and the responder beside it."""
    objects = list(yaml.safe_load_all((converged.folder / "web-app.yaml").read_text()))
    objects[0]["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "48Mi"}}
    (converged.folder / "limited.yaml").write_text(yaml.safe_dump_all(objects))
    converged.well("apply", "-f", "limited.yaml")
    (before,) = json.loads(converged.on("n2", PODS))
    unit = f"nodeport-pod@{before['key']}.service"
    assert converged.on("n2", f"systemctl show -P MemoryMax {unit}") == str(48 * 2**20)
    group = converged.on("n2", f"systemctl show -P ControlGroup {unit}")
    eat = f"echo $$ >'/sys/fs/cgroup{group}/cgroup.procs' && exec python3 -c 'chr(120) * (200 << 20)'"
    assert converged.ssh("n2", eat).code in (137, 255), "killed by signal 9, or sshd's process with it"
    assert "oom-kill" in converged.on("n2", f"journalctl --unit={unit} --no-pager")

    def back() -> None:
        (after,) = json.loads(converged.on("n2", PODS))
        if (after["state"], after["restarts"]) != ("active", before["restarts"] + 1):
            raise clock.NotYet(str(after))

    clock.until(back, what="the pod", within=60)
    told = converged.well("get", "pods").out
    (line,) = (line for line in told.splitlines() if before["name"] in line)
    assert str(before["restarts"] + 1) in line.split(), told
    converged.prove()


@pytest.mark.parametrize("apart", ["+1 day", "-1 day"])
def test_clocks_apart(apart: str, converged: Machines) -> None:
    """Readiness, generations, staleness and verdicts compare no clock of one machine with another's."""
    converged.on("n2", f"date -s '{apart}' >/dev/null")
    try:
        converged.prove()
        converged.on("n2", "systemctl restart nodeportd")
        key = json.loads(converged.on("n1", PODS))[0]["key"]
        converged.on("n1", f"systemctl stop nodeport-pod@{key}")
        found = converged.harness("verify")
        assert found.code == 1, found.out
        assert "n1" in found.out
        converged.on("n1", f"systemctl start nodeport-pod@{key}")
        assert_settled(converged)
        refused = converged.harness("apply", "-f", "web-app.yaml")
        assert refused.code != 0
        assert "clock" in refused.err, "refused by preflight, and said why"
        converged.well("reboot", "n2")
        converged.prove()
    finally:
        converged.on("n2", f"date -s @{int(clock.now().timestamp())} >/dev/null")
    converged.well("apply", "-f", "web-app.yaml")


def test_a_machine_that_was_off_during_changes_is_stale_until_the_next_apply(converged: Machines) -> None:
    name = f"{domains.prefix(converged.folder)}n3"
    state = converged.on("n3", "cat /etc/nodeport/state.json")
    converged.well("scale", "deploy/web-app", "--replicas", "4")
    converged.well("scale", "deploy/web-app", "--replicas", "3")
    newer = converged.on("n3", "cat /etc/nodeport/state.json")
    assert json.loads(newer)["generation"] > json.loads(state)["generation"]
    old = converged.folder / "state.json"
    old.write_text(state)
    copied = process.run(["ssh", "-F", converged.folder / ".harness/default/ssh_config", "n3",
                          "cat >/etc/nodeport/state.json; date -s '+1 day'; systemctl restart nodeportd"],
                         stdin=state)  # fmt: skip
    assert copied.ok, copied.err
    found = converged.harness("verify")
    assert found.code == 1, found.out
    assert "generation" in found.out
    converged.on("n3", f"date -s @{int(clock.now().timestamp())}")
    converged.well("apply", "-f", "web-app.yaml")
    converged.prove()
    assert name.endswith("n3")


def test_two_vagrants_at_once_are_refused(converged: Machines) -> None:
    with (converged.folder / ".vagrant/nodeport.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        up = converged.vagrant("up")
    assert not up.ok
    assert "Another Vagrant makes or removes the machines" in up.out + up.err


def test_the_private_libvirt_is_not_stopped_under_machines(converged: Machines) -> None:
    if not host.NETNS.exists():
        pytest.skip("a libvirt of this machine's own runs them")
    stop = process.run([sys.executable, "-m", "harness.drivers.vagrant", "host", "stop"], cwd=converged.folder)
    assert not stop.ok
    assert "virtual machines run: nodeport-" in stop.err


def test_what_vagrant_has_forgotten_is_removed_and_what_is_gone_is_no_trouble(converged: Machines) -> None:
    """Last: it destroys the machines. One was deleted behind our back, of another Vagrant's notes are deleted."""
    assert set(domains.there(converged.folder)) == {"n1", "n2", "n3"}
    shutil.rmtree(converged.folder / ".vagrant/machines/n3")
    domains.remove(converged.folder, ["n1"])
    down = converged.harness("--driver", "vagrant", "down")
    assert down.ok, down.err
    assert domains.there(converged.folder) == {}
    assert settings.created(converged.folder) == {}
    assert not list(Path("/var/lib/libvirt/images").glob(f"{domains.prefix(converged.folder)}*"))
