"""A user's inventory, resolved: by Ansible what belongs to Ansible, by OpenSSH what belongs to OpenSSH."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.drivers.static import values
from harness.errors import DriverError, UsageError
from harness.support import process

_RESOLVE = Path(__file__).with_name("resolve.py")
_OF_SSH = frozenset({
    "hostname", "port", "user", "proxycommand", "proxyjump", "proxyusefdpass", "userknownhostsfile", "hostkeyalias",
    "identitiesonly", "globalknownhostsfile",
})  # fmt: skip
"""What of ``ssh -G`` is kept beside keys and host key checking."""

_OF_ROLES = ("preflight_", "node_base_", "pod_network_", "workload_", "forwarder_")
"""What the names of settings of our roles begin with: they go to Ansible as they are."""

_BECOME = ("become", "become_user", "become_method", "become_exe", "become_flags", "become_password", "become_pass")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}")
"""What a host may be called: ssh is asked for it by this name, and blanks, * and ! mean something in ssh_config."""

_ON_THE_WAY = ("kex_exchange_identification", "Connection closed by", "banner exchange")
"""How ssh ends when what it goes through ended; the reason stands before that."""

_TRY_SUDO = 'sh -c \'test "$(id -u)" = 0 || exec sudo -k -S -p "" true\''
"""Whatever sudo remembers of an earlier password is not asked."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One host: its serving address, what OpenSSH does to reach it (ssh_config words), and what Ansible needs more."""

    name: str
    address: str
    ssh: tuple[tuple[str, str], ...]
    variables: Mapping[str, object] = field(default_factory=dict, repr=False)
    client_netns: str = ""
    client_address: str = ""
    client_range: str = ""
    forwarder: str = ""
    nodeport_addresses: tuple[str, ...] = ()
    pod_network: str = ""
    address6: str = ""
    client_address6: str = ""
    client_range6: str = ""

    @property
    def by_sudo(self) -> bool:
        """Whether root is got by sudo, as far as the inventory says."""
        return str(self.variables.get("ansible_become_method") or "sudo") == "sudo"

    @property
    def become_password(self) -> str:
        """The one that the inventory says, empty when it says none."""
        said = (self.variables.get(f"ansible_{each}") for each in ("become_password", "become_pass"))
        return next((str(each) for each in said if each), "")


def read(source: Path) -> tuple[Machine, ...]:
    """The machines of an inventory (INI, YAML, a folder, a program), in its order.

    Raises :class:`UsageError` with every fault that the inventory has.
    """
    if not source.exists():
        raise UsageError(f"there is no inventory {source}", hint="-i PATH, or `inventory` in harness.toml")
    done = process.run([sys.executable, _RESOLVE, source], timeout=60, env=_strictly())
    if not done.ok:
        raise UsageError(
            f"{source}: Ansible cannot read it: {_said(done)}", hint=f"ansible-inventory -i {source} --list"
        )
    hosts: Mapping[str, Mapping[str, object]] = json.loads(done.out)
    if not hosts:
        raise UsageError(f"{source}: there is no host in it, or none in its group `nodes`")
    faults: list[str] = []
    faults += [
        f"{name!r} cannot be a machine's name: letters and digits, then . _ - : too (ansible_host may be any)"
        for name in hosts
        if not _NAME.fullmatch(name)
    ]
    if faults:  # ssh would be asked for it
        raise UsageError(f"{source}:\n" + "\n".join(f"  {fault}" for fault in faults))
    machines = tuple(_machine(name, known, faults) for name, known in hosts.items())
    faults += _twice(machines)
    if faults:
        raise UsageError(f"{source}:\n" + "\n".join(f"  {fault}" for fault in faults))
    return machines


def _twice(machines: Sequence[Machine]) -> Iterator[str]:
    """Machines that are in the inventory under two names, in words: they would run two nodes' pods."""
    taken: dict[str, str] = {}
    ways: dict[tuple[str, ...], str] = {}
    for machine in machines:
        ssh = dict(machine.ssh)
        way = tuple(ssh.get(word, "") for word in ("hostname", "port", "proxycommand", "hostkeyalias"))
        if taken.setdefault(machine.address, machine.name) != machine.name:
            yield f"{machine.name}: {machine.address} is the address of {taken[machine.address]} too"
        elif ways.setdefault(way, machine.name) != machine.name and any(way):
            yield f"{machine.name}: ssh goes to {way[0]}, port {way[1]}, for {ways[way]} too: it is one machine"


def _said(done: process.Completed) -> str:
    """What Ansible says of an inventory: each of its ways to read one tells on its own what it does not understand."""
    tried = dict.fromkeys(
        line.partition(": ")[2] for line in done.err.splitlines() if line.startswith("[WARNING]: Failed")
    )
    return "\n  ".join([done.last_words(), *tried])


def _strictly() -> dict[str, str]:
    return {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "ANSIBLE_NOCOLOR": "1"}


def _machine(name: str, known: Mapping[str, object], faults: list[str]) -> Machine:
    def text(*names: str) -> str:
        return next((str(known[each]) for each in names if known.get(each) not in (None, "")), "")

    by_ssh = text("ansible_connection") in ("", "ssh", "smart")
    if not by_ssh:
        faults.append(f"{name}: ansible_connection is {text('ansible_connection')}; only ssh proves anything here")
    if text("ansible_password", "ansible_ssh_pass"):
        faults.append(f"{name}: it asks for an SSH password; use a key (ssh-copy-id), passwords are for become alone")
    ssh = _ssh(name, known, faults)
    host = dict(ssh).get("hostname", name)
    address = text("nodeport_address") or host
    if ssh and by_ssh and not values.serves(address):
        faults.append(f"{name}: which IPv4 address serves its nodePorts? {address!r} is none; set nodeport_address")
    variables = {f"ansible_{each}": known[f"ansible_{each}"] for each in _BECOME if f"ansible_{each}" in known}
    variables |= {each: value for each, value in known.items() if each.startswith(_OF_ROLES)}
    faults.extend(values.faults(name, text, dict(ssh)))
    interpreter = text("ansible_python_interpreter") or "/usr/bin/python3"
    if interpreter.startswith("auto"):
        interpreter = "/usr/bin/python3"
    return Machine(
        name, address, ssh, {**variables, "ansible_python_interpreter": interpreter},
        text("nodeport_client_netns"), text("nodeport_client_address"), text("nodeport_client_range"),
        text("nodeport_forwarder"),
        _words(known.get("nodeport_addresses")), text("nodeport_pod_network"),
        text("nodeport_address6"), text("nodeport_client_address6"), text("nodeport_client_range6"),
    )  # fmt: skip


def _ssh(name: str, known: Mapping[str, object], faults: list[str]) -> tuple[tuple[str, str], ...]:
    """What OpenSSH itself makes of the host's options and of the user's own configuration (``ssh -G``)."""
    words = [str(known.get(each) or "") for each in ("ansible_ssh_common_args", "ansible_ssh_extra_args")]
    try:
        argv = ["ssh", "-G", *shlex.split(" ".join(words))]
    except ValueError as error:
        faults.append(f"{name}: its ssh arguments cannot be read: {error}")
        return ()
    key = known.get("ansible_ssh_private_key_file") or known.get("ansible_private_key_file")
    for option, value in (("-p", known.get("ansible_port")), ("-l", known.get("ansible_user")), ("-i", key)):
        argv += [option, str(value)] if value else []
    done = process.run([*argv, "--", str(known.get("ansible_host") or name)])
    if not done.ok:
        faults.append(f"{name}: ssh does not understand its options: {done.last_words()}")
        return ()
    said = [line.partition(" ")[::2] for line in done.out.splitlines()]
    return _kept(said, key=str(key) if key else "", file=_file_of(argv))


def _file_of(argv: Sequence[str]) -> list[str]:
    """The option ``-F`` of a call of ssh with its file, as ssh hands it on to the ssh of a jump; empty without one."""
    for number, word in enumerate(argv):
        if word == "-F" and number + 1 < len(argv):
            return ["-F", str(Path(argv[number + 1]).absolute())]
        if word.startswith("-F") and word != "-F":
            return ["-F", str(Path(word[2:]).absolute())]
    return []


def _kept(said: list[tuple[str, str]], key: str, file: Sequence[str]) -> tuple[tuple[str, str], ...]:
    kept = [(word, value) for word, value in said if word in _OF_SSH and value not in ("none", "")]
    keys = [value for word, value in said if word == "identityfile" and Path(value).expanduser().exists()]
    kept += [("identityfile", value) for value in ([key] if key else keys)]
    checking = dict(said).get("stricthostkeychecking", "")
    kept.append(("stricthostkeychecking", "accept-new" if checking == "accept-new" else "yes"))
    jump = dict(kept).get("proxyjump")
    if jump:  # the probes' SSH library knows ProxyCommand alone
        first, _, last = jump.rpartition(",")
        through = ["ssh", *file, "-o", "BatchMode=yes", *(["-J", first] if first else []), "-W", "%h:%p", last]
        kept = [pair for pair in kept if pair[0] not in ("proxyjump", "proxyusefdpass")] + [
            ("proxycommand", shlex.join(through))
        ]
    return tuple(kept)


def _words(value: object) -> tuple[str, ...]:
    """A list, or words with commas or spaces between them; what they mean is the plan's."""
    listed = value if isinstance(value, list) else str(value or "").replace(",", " ").split()
    return tuple(str(word) for word in listed)


def addresses(ssh_config: Path, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Every IPv4 address of machines that answer, with its network (``10.0.0.5/24``), loopback left out."""

    def ask(name: str) -> process.Completed:
        return process.run(["ssh", "-F", ssh_config, name, "ip -json -4 address show"], timeout=60)

    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = dict(zip(names, pool.map(ask, names), strict=True))
    return {name: _told(done.out) for name, done in answers.items() if done.ok}


def _told(text: str) -> tuple[str, ...]:
    """The addresses in what ``ip -json`` says; none when that cannot be understood."""
    try:
        links = json.loads(text or "[]")
    except ValueError:
        return ()
    found = [entry for link in links for entry in link.get("addr_info", ()) if entry.get("scope") == "global"]
    return tuple(f"{entry['local']}/{entry['prefixlen']}" for entry in found)


def unreachable(ssh_config: Path, names: list[str], *, accept_new: bool = False) -> dict[str, str]:
    """The machines that cannot be used over SSH, and why in ssh's own words.

    Each is asked over a connection of its own: one that is open already would tell nothing of keys that changed.
    With ``accept_new`` the host keys of machines never met before are learnt first, as ssh itself keeps them.
    """
    alone = ["-o", "BatchMode=yes", "-o", "ControlPath=none"]
    alone += ["-o", "StrictHostKeyChecking=accept-new"] if accept_new else []

    def ask(name: str) -> process.Completed:
        return process.run(["ssh", "-F", ssh_config, *alone, name, "command -v python3"], timeout=60)

    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = dict(zip(names, pool.map(ask, names), strict=True))
    return {name: _why(done) for name, done in answers.items() if not done.ok}


def refused(ssh_config: Path, passwords: Mapping[str, str]) -> dict[str, str]:
    """The machines whose sudo does not take the password that there is for it, and why in sudo's own words.

    Where there is none, nothing is asked: what needs root says so by itself.
    """

    def ask(name: str) -> process.Completed:
        words = ["ssh", "-F", str(ssh_config), "-o", "BatchMode=yes", name, f"LC_ALL=C {_TRY_SUDO}"]
        return process.run(words, stdin=f"{passwords[name]}\n", timeout=60)

    names = [name for name, password in passwords.items() if password]
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = dict(zip(names, pool.map(ask, names), strict=True))
    return {name: _of_sudo(done) for name, done in answers.items() if not done.ok}


def _of_sudo(done: process.Completed) -> str:
    wrong = "incorrect password" in done.err or "no password was provided" in done.err
    return "the become password is wrong: sudo does not take it" if wrong else f"no root by sudo: {done.last_words()}"


def _why(done: process.Completed) -> str:
    if done.code != 255 and not done.err:
        return "python3 is not installed there; on it: apt-get install python3"
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    said = done.last_words()
    if len(lines) > 1 and said.startswith(_ON_THE_WAY):
        said = f"{lines[-2]}; {said}"
    return f"{said.rstrip('.')}; if it is new to you: --accept-new" if "ost key verification failed" in said else said


def complain(source: Path, silent: Mapping[str, str], ssh_config: Path) -> DriverError:
    """The error that names every machine that does not answer."""
    lines = "\n".join(f"  {name}: {why}" for name, why in silent.items())
    first = next(iter(silent))
    return DriverError(f"machines of {source} that cannot be used:\n{lines}", hint=f"ssh -F {ssh_config} {first}")
