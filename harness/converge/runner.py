"""The one door to ansible-runner.

What is tuned, and why: pipelining and as many forks as nodes (an unchanged task costs a round trip and a
Python start on the node), no facts, and no ``ControlPath`` of Ansible's own, so that it shares the masters of the
lab's ``ssh_config`` with testinfra and with people. What is guarded: ansible-runner leaves its SIGINT handler installed
and, on a cancel, Ansible's workers alive (they lead sessions of their own since core 2.19), so we bring
our own of both; its artifacts hold the whole environment, so they live in a folder that goes away.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.converge import events
from harness.errors import ConvergeError
from harness.model.cluster import Cluster
from harness.model.convergence import Convergence, NodeRecap, TaskResult, TaskStatus
from harness.model.progress import Listener, TaskStarted
from harness.support import clock
from harness.support.files import write_atomic

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
IN_PODS = ("responder.py", "netexec_server.py", "netexec.py", "nodeport-pod@.service")

_MARK = "NODEPORT_HARNESS_CONVERGE"


@dataclass(slots=True)
class _Collector:
    """Gathers what one playbook run tells, and passes it on."""

    listener: Listener
    recaps: tuple[NodeRecap, ...] = ()
    changed: list[TaskResult] = field(default_factory=list)
    failed: list[TaskResult] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __call__(self, event: Mapping[str, Any]) -> bool:
        value = events.read(event)
        if isinstance(value, tuple):
            self.recaps = value
        elif isinstance(value, TaskResult):
            if value.status is TaskStatus.CHANGED:
                self.changed.append(value)
            elif value.status in (TaskStatus.FAILED, TaskStatus.UNREACHABLE):
                self.failed.append(value)
            elif value.message:
                self.said.append(value.message)
            self.listener(value)
        elif isinstance(value, TaskStarted):
            self.listener(value)
        return False  # the event is not written to a file of its own


def programs() -> str:
    """A digest of all that the roles install or do: nodes that were set up by others have other programs."""
    files = sorted(path for path in (PLAYBOOKS / "roles").rglob("*") if path.is_file() and path.suffix != ".pyc")
    whole = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        whole.update(f"{path.relative_to(PLAYBOOKS)} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def pod_programs() -> str:
    """A digest of what runs in a pod (podctl's ``PROGRAM``): where it is another one, pods have to be started anew."""
    folder = PLAYBOOKS / "roles/workload/files"
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in IN_PODS)).hexdigest()


def play(playbook: str, cluster: Cluster, variables: Path | None, log: Path, listener: Listener) -> Convergence:
    """Run one of our playbooks on all nodes and say what it did.

    ``variables`` is a JSON or YAML file for ``--extra-vars``; what Ansible prints goes to ``log``.

    Raises :class:`ConvergeError`, which names every node and task that failed.
    """
    import ansible_runner  # noqa: PLC0415 - a tenth of a second that only this takes

    collector = _Collector(listener)
    began = clock.monotonic()
    with tempfile.TemporaryDirectory(prefix="nph-") as folder, _cancellable() as cancelled:
        mark = uuid.uuid4().hex
        environment = _environment(cluster, Path(folder), mark)
        if "" in cluster.become_passwords:  # that of the inventory's hosts, if they have one of their own, wins
            secret = Path(folder, "become")
            write_atomic(secret, cluster.become_passwords[""] + "\n", mode=0o600)
            environment["ANSIBLE_BECOME_PASSWORD_FILE"] = str(secret)
        try:
            done = ansible_runner.interface.run(
                private_data_dir=folder,
                playbook=str(PLAYBOOKS / playbook),
                inventory=str(cluster.inventory),
                cmdline=f"--extra-vars @{variables}" if variables else None,
                envvars=environment,
                settings={"suppress_ansible_output": True, "fact_cache_type": "", "pexpect_timeout": 1},
                event_handler=collector,
                cancel_callback=cancelled,
                quiet=True,
            )
            write_atomic(log, Path(done.config.artifact_dir, "stdout").read_text(encoding="utf-8", errors="replace"))
        finally:
            _end_marked(mark)
        if cancelled():
            raise KeyboardInterrupt
    seconds = clock.monotonic() - began
    result = Convergence(
        collector.recaps, tuple(collector.changed), tuple(collector.failed), seconds, tuple(collector.said)
    )
    if done.rc != 0 or result.failed:
        raise ConvergeError(_complaint(playbook, result, log), hint=f"the whole output is in {log}")
    return result


def _complaint(playbook: str, result: Convergence, log: Path) -> str:
    if not result.failed:
        tail = log.read_text(encoding="utf-8").strip().splitlines()[-6:]
        return f"{playbook} did not run:\n" + "\n".join(f"  {line}" for line in tail)
    lines = []
    for fault in result.failed:
        message = fault.message.replace("\n", "\n      ")
        lines.append(f"  {fault.node}: {fault.task}: {fault.status}: {message}")
    return f"{playbook} failed on {len({fault.node for fault in result.failed})} node(s):\n" + "\n".join(lines)


def _environment(cluster: Cluster, folder: Path, mark: str) -> dict[str, str]:
    own_programs = Path(sys.executable).parent  # ansible-playbook, also when the virtual environment is not activated
    return {
        "PATH": f"{own_programs}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(max(5, min(50, len(cluster.nodes)))),
        "ANSIBLE_SSH_ARGS": "-o BatchMode=yes",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONWARNINGS": "ignore",
        _MARK: mark,
    }


@contextmanager
def _cancellable() -> Iterator[Callable[[], bool]]:
    """While it holds, Ctrl-C is remembered instead of raised, so that ansible-runner can end its child first."""
    seen: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, _frame: seen.append(number))
    except ValueError:  # not the main thread: nothing can be pressed here
        yield lambda: False
        return
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


def _end_marked(mark: str) -> None:
    """End every process that this run started and that outlived it: Ansible's workers, and what they started."""
    wanted = f"{_MARK}={mark}".encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
