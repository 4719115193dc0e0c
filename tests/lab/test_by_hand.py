"""The playbooks as people call them by hand, without our Python package: an own user, a vault, tags, limits, a gate."""

from __future__ import annotations

import os
import re
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest
import yaml

from harness.support import process
from tests.lab.foreign import ROOT, WEB_APP, Foreign
from tests.lab.labs import with_nodes

pytestmark = pytest.mark.lab

BIN = Path(sys.executable).parent
PASSWORD = f"it's secret {secrets.token_hex(4)}"
"""Of this test's user, and of this run's: another run beside it has the words of its own in the list of processes."""
USER = f"""
useradd --create-home --shell /bin/sh ops; printf '%s' "ops:{PASSWORD}" | chpasswd
install -d -m 700 -o ops -g ops /home/ops/.ssh; install -m 600 -o ops -g ops /root/.ssh/authorized_keys /home/ops/.ssh/
printf 'ops ALL=(ALL) ALL\\n' > /etc/sudoers.d/ops
"""
OURS = "find /etc/nodeport /usr/local/lib/nodeport /var/lib/nodeport /etc/systemd/system/nodeport* -type f || true"


@dataclass(frozen=True, slots=True)
class Hand:
    """A user's folder: inventory with a vault, and the plan."""

    foreign: Foreign
    inventory: Path
    plan: Path
    environment: dict[str, str]

    def play(self, playbook: str | Path, *options: str) -> process.Completed:
        """A playbook by hand, with the plan."""
        return process.run(
            [BIN / "ansible-playbook", "-i", self.inventory, playbook, "-e", f"@{self.plan}", *options],
            cwd=self.foreign.folder, timeout=300, env=self.environment,
        )  # fmt: skip

    def well(self, playbook: str | Path, *options: str) -> str:
        """The same; it has to succeed."""
        done = self.play(playbook, *options)
        assert done.ok, done.out + done.err
        return done.out


SITE = ROOT / "playbooks" / "site.yml"
RESET = ROOT / "playbooks" / "reset.yml"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with with_nodes(tmp_path_factory.mktemp("hand"), 2, ("bookworm", "trixie")) as lab:
        foreign = Foreign(lab.cluster(), tmp_path_factory.mktemp("user"))
        for name in "ab":
            foreign.on(name, USER)
        yield foreign


@pytest.fixture(scope="module")
def hand(foreign: Foreign) -> Hand:
    """An inventory in INI: user ops, sudo with a password from a vault; b is reached by way of a, as root."""
    folder = foreign.folder / "inventory"
    (folder / "group_vars" / "nodes").mkdir(parents=True)
    hosts = [f"{name} ansible_host={node.address}" for name, node in zip("ab", foreign.machines.nodes, strict=True)]
    config = foreign.machines.ssh_config
    way_in = foreign.folder / "my-ssh-config"  # as the lab's, but for shared connections, and with the user of each
    text = config.read_text().replace("  ControlMaster auto\n", "").replace("  User root\n", "")
    way_in.write_text(f"Host gate\n  HostName {foreign.machines.nodes[0].address}\n  User root\n\n{text}")
    (folder / "hosts").write_text("[nodes]\n" + "\n".join(hosts) + "\n")
    known: dict[str, object] = {
        "ansible_user": "ops",
        "ansible_become_password": "{{ vault_sudo }}",
        "ansible_ssh_common_args": f"-F '{way_in}'",
        "nodeport_client_netns": str(foreign.machines.client_netns),
        "node_base_lock_timeout": 7,
    }
    (folder / "group_vars" / "nodes" / "main.yml").write_text(yaml.safe_dump(known))
    (folder / "host_vars").mkdir()
    jump = {"ansible_ssh_common_args": f"-F '{way_in}' -o ProxyUseFdpass=no -o ProxyJump=gate"}
    (folder / "host_vars" / "b.yml").write_text(yaml.safe_dump(jump))
    (foreign.folder / "vault-password").write_text("open sesame\n")
    environment = {
        **os.environ,
        "ANSIBLE_VAULT_PASSWORD_FILE": str(foreign.folder / "vault-password"),
        "ANSIBLE_NOCOLOR": "1",
        # Connections that are kept go by user and address, and the nodes of other labs have the same ones.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(foreign.folder / "cp"),
    }
    vault = folder / "group_vars" / "nodes" / "vault.yml"
    vault.write_text(yaml.safe_dump({"vault_sudo": PASSWORD}))
    process.check([BIN / "ansible-vault", "encrypt", vault], what="a vault", env=environment)
    plan = foreign.folder / "plan.yml"
    harness: list[str | Path] = [BIN / "harness", "-i", folder]
    process.check([*harness, "up"], what="harness up", cwd=foreign.folder, env=environment)
    process.check(
        [*harness, "plan", "-f", WEB_APP, "-o", plan], what="harness plan", cwd=foreign.folder, env=environment
    )
    return Hand(foreign, folder, plan, environment)


def ours(hand: Hand) -> dict[str, int]:
    return {name: len(hand.foreign.on(name, OURS).split()) for name in "ab"}


def test_check_and_diff_say_what_would_be_and_do_nothing(hand: Hand) -> None:
    said = hand.well(SITE, "--check", "--diff")
    assert "+net.ipv4.ip_forward = 1" in said
    assert ours(hand) == {"a": 0, "b": 0}


def test_tags_and_limit(hand: Hand) -> None:
    hand.well(SITE, "--tags", "preflight")
    assert ours(hand) == {"a": 0, "b": 0}
    said = hand.well(SITE, "--limit", "b", "-e", "ansible_pipelining=false")  # as with a sudo that wants a terminal
    assert "\na  " not in said
    found = ours(hand)
    assert found["a"] == 0 < found["b"]
    said = hand.well(SITE, "--limit", "b", "--tags", "network,pods")
    assert "changed=0 " in said
    assert "forwarder : Install" not in said
    done = hand.play(SITE, "--limit", "nodess")
    assert done.code != 0


def test_the_whole_by_hand_and_the_harness_finds_nothing_to_do(hand: Hand) -> None:
    hand.well(SITE)
    again = hand.well(SITE, "--check", "--diff")
    assert again.count("changed=0 ") == 2, again
    words: list[str | Path] = [BIN / "harness", "-i", hand.inventory, "run", "-f", WEB_APP]
    done = process.run(words, cwd=hand.foreign.folder, env=hand.environment, timeout=300)
    assert done.code == 0, done.out + done.err
    assert "; 0 tasks changed something" in done.err, "releases mixed, a gate, a password: the same state"
    assert re.search(r"node-state +2 PASS", done.out), "what a machine says of itself, it says to root"
    assert re.search(r"hairpin +[1-9][0-9]* PASS", done.out), "pods are asked as root"
    kept = (hand.foreign.folder / ".harness" / "default" / "inventory.yml").read_text()
    assert "node_base_lock_timeout: 7" in kept, "settings of roles reach `harness apply` too"


def test_a_wrong_become_password_is_told_and_the_others_go_on(hand: Hand) -> None:
    wrong = hand.inventory / "host_vars" / "a.yml"
    wrong.write_text("ansible_become_password: wrong\n")
    words: list[str | Path] = [BIN / "harness", "-i", hand.inventory, "apply", "-f", WEB_APP]
    try:
        done = process.run(words, cwd=hand.foreign.folder, env=hand.environment, timeout=300)
    finally:
        wrong.unlink()
    assert done.code == 4, done.out + done.err
    assert "a: the become password is wrong: sudo does not take it" in done.err
    assert "b: " not in done.err
    assert re.search(r"of the [12] pods? of a, others take over default/web-app-\S+ to b", done.err), done.err
    mended = process.run(words, cwd=hand.foreign.folder, env=hand.environment, timeout=300)
    assert mended.code == 0, mended.err


def test_a_password_given_for_one_run_is_used_everywhere_and_seen_nowhere(hand: Hand, tmp_path: Path) -> None:
    settings = hand.inventory / "group_vars" / "nodes" / "main.yml"
    before = settings.read_text()
    settings.write_text("".join(line for line in before.splitlines(True) if "become_password" not in line))
    harness: list[str | Path] = [BIN / "harness", "-i", hand.inventory]
    secret, packed = tmp_path / "sudo", tmp_path / "told.tar.gz"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    environment = {**hand.environment, "HARNESS_BECOME_PASSWORD_FILE": str(secret)}
    try:
        process.check([*harness, "up"], what="harness up", cwd=hand.foreign.folder, env=hand.environment)
        without = process.run([*harness, "verify"], cwd=hand.foreign.folder, env=hand.environment, timeout=300)
        with listed_processes() as seen:
            done = process.run([*harness, "run", "-f", WEB_APP], cwd=hand.foreign.folder, env=environment, timeout=300)
            tar = process.run(
                [*harness, "collect", "-o", packed], cwd=hand.foreign.folder, env=environment, timeout=300
            )
        secret.write_text("wrong\n")
        wrong = process.run([*harness, "verify"], cwd=hand.foreign.folder, env=environment, timeout=300)
    finally:
        settings.write_text(before)
    assert without.code == 4, without.out + without.err
    assert "node-state: a could not be asked over SSH" in flat(without.out), without.out
    assert "sudo: a password is required" in flat(without.out), without.out
    assert done.code == 0, done.out + done.err
    assert tar.code == 0, tar.err
    assert wrong.code == 4, wrong.out + wrong.err
    assert re.search(r"node-state: [ab] could not be asked .*password", flat(wrong.out)), wrong.out
    assert any(b"sudo" in words for words in seen)
    assert not [words for words in seen if PASSWORD.encode() in words]
    process.check(["tar", "-xf", packed, "-C", tmp_path], what="the tar")
    assert "table ip nodeport" in next(tmp_path.glob("*/a/ruleset.nft")).read_text(), "root was asked"
    secret.unlink()
    kept = process.run(["grep", "-rl", PASSWORD, tmp_path, hand.foreign.folder / ".harness"], timeout=60)
    assert kept.out == "", kept.out


def test_a_person_is_root_on_a_machine_by_the_inventory(hand: Hand, tmp_path: Path) -> None:
    harness: list[str | Path] = [BIN / "harness", "-i", hand.inventory]

    def asked(*words: str, stdin: str | None = None) -> process.Completed:
        return process.run([*harness, *words], cwd=hand.foreign.folder, env=hand.environment, stdin=stdin)

    assert asked("up").code == 0
    for name in "ab":  # b by way of a gate
        assert asked("exec", name, "--", "sh", "-c", "id -u; exit 7").out == "0\n"
    way_in = hand.foreign.folder / ".harness" / "default" / "ssh_config"
    shared = process.run(["ssh", "-F", way_in, "-O", "check", "b"])
    assert "Master running" in shared.err, "the way through the gate lasts as long as the connection that is shared"
    done = asked("exec", "a", "--", "sh", "-c", "cat; exit 7", stdin="of mine\n")
    assert (done.code, done.out) == (7, "of mine\n"), done.err
    hand.foreign.on("b", "echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops")
    try:
        assert asked("exec", "b", "--", "cat", stdin="of mine\n").out == "of mine\n", "sudo did not want the password"
        assert asked("shell", "b", stdin="id -u\n").out == "0\n"
        assert typed(hand, "b", "exit 5") == 5
    finally:
        hand.foreign.on("b", "echo 'ops ALL=(ALL) ALL' > /etc/sudoers.d/ops")
    assert typed(hand, "a", "exit 6") == 6


def typed(hand: Hand, name: str, last: str) -> int:
    """The exit code of ``harness shell NAME``, called on a terminal, where root has said so and typed ``last``."""
    words = ["-i", str(hand.inventory), "shell", name]
    person = pexpect.spawn(str(BIN / "harness"), words, cwd=hand.foreign.folder, env=hand.environment, timeout=60)
    person.expect_exact("# ")
    person.sendline("echo I am user $(id -u), $(stty size)")
    person.expect_exact("I am user 0, 24 80")
    person.sendline(last)
    person.expect_exact(pexpect.EOF)
    said = (person.before or b"").decode()
    assert PASSWORD not in said
    person.close()
    return int(person.exitstatus)


def flat(text: str) -> str:
    """The text without its breaks of lines."""
    return " ".join(text.split())


@contextmanager
def listed_processes() -> Iterator[set[bytes]]:
    """The words of every process that was seen while the block ran: nodes' processes are this machine's as well."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(entry.read_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize(
    ("inventory", "said"),
    [
        ("", "no host in a group `nodes`"),
        ("[other]\nx ansible_host=192.0.2.1\n", "no host in a group `nodes`"),
        ("[nodes]\nx ansible_host=192.0.2.1\n", "the plan is for a, b, but the inventory has x"),
    ],
)
def test_an_inventory_that_the_plan_is_not_for_is_no_success(
    hand: Hand, tmp_path: Path, inventory: str, said: str
) -> None:
    (tmp_path / "hosts").write_text(inventory)
    words: list[str | Path] = [BIN / "ansible-playbook", "-i", tmp_path / "hosts", SITE, "-e", f"@{hand.plan}"]
    done = process.run(words, env=hand.environment)
    assert done.code != 0, done.out
    assert said in " ".join(done.out.split()), done.out


@pytest.mark.long
def test_the_collection_is_built_and_its_playbooks_do_the_same(hand: Hand, tmp_path: Path) -> None:
    words: list[str | Path] = [BIN / "harness", "-i", hand.inventory]
    process.check([*words, "up"], what="harness up", cwd=hand.foreign.folder, env=hand.environment)
    words += ["plan", "-f", WEB_APP, "-o", hand.plan]  # what runs by now, whatever other tests did
    process.check(words, what="harness plan", cwd=hand.foreign.folder, env=hand.environment)
    process.check([BIN / "python", ROOT / "playbooks" / "collection" / "build.py", tmp_path], what="the collection")
    (archive,) = tmp_path.glob("*.tar.gz")
    words = [
        BIN / "ansible-galaxy",
        "collection",
        "install",
        "--offline",
        "-p",
        tmp_path / "got",
        archive,
    ]
    process.check(words, what="installing it")
    hand.environment["ANSIBLE_COLLECTIONS_PATH"] = str(tmp_path / "got")
    said = process.check([BIN / "ansible-doc", "-t", "role", "nodeport.harness.preflight"], what="ansible-doc",
                         env=hand.environment).out  # fmt: skip
    assert "preflight_accepted" in said
    found = hand.well("nodeport.harness.site", "--check", "--diff")
    assert found.count("changed=0 ") == 2, f"not the same state: {found}"
    hand.well("nodeport.harness.reset")
    assert ours(hand) == {"a": 0, "b": 0}
    hand.well("nodeport.harness.site")
    assert hand.well(SITE).count("changed=0 ") == 2
