"""What podctl makes of the wanted pods, before it touches anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.converge import runner
from harness.support import process
from tests.playbooks import load

FILES = Path(__file__).parents[3] / "playbooks/roles/workload/files"
UNIT = FILES / "nodeport-pod@.service"
POD: dict[str, Any] = {
    "name": "web-app-5d4f8c7b9-x2x7k",
    "namespace": "default",
    "uid": "8f6d",
    "address": "10.244.0.2",
    "listens": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
    "termination_grace_period_seconds": 7,
}


@pytest.fixture(scope="module")
def podctl() -> ModuleType:
    return load(FILES / "podctl.py")


def wanted(podctl: ModuleType, folder: Path, *pods: object) -> Any:
    path = folder / "pods.json"
    path.write_text(json.dumps(pods))
    return podctl.wanted(path)


def complaint(podctl: ModuleType, folder: Path, *pods: object) -> str:
    with pytest.raises(SystemExit) as ended:
        wanted(podctl, folder, *pods)
    return str(ended.value).replace(str(folder), "")


def test_the_key_is_of_namespace_and_name(podctl: ModuleType) -> None:
    assert podctl.key_of(POD) == hashlib.sha256(b"default/web-app-5d4f8c7b9-x2x7k").hexdigest()[:8]


def test_pods_of_one_name_in_two_namespaces_are_two(podctl: ModuleType, tmp_path: Path) -> None:
    other = {**POD, "namespace": "other", "address": "10.244.0.3"}
    assert len(wanted(podctl, tmp_path, POD, other)) == 2


def test_names_of_interface_and_namespace_fit_for_the_longest_pod_name(podctl: ModuleType, tmp_path: Path) -> None:
    longest = {**POD, "name": f"{'a' * 250}-z7"}
    (key,) = wanted(podctl, tmp_path, longest)
    assert len(f"pod{key}") <= 15
    assert len(podctl.unit_of(key)) <= 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../../etc"}, "name '../../etc' is not a name"),
        ({"name": "a b"}, "name 'a b' is not a name"),
        ({"name": ""}, "name '' is not a name"),
        ({"name": "a\n[Service]"}, r"name 'a\n[Service]' is not a name"),
        ({"namespace": "%H"}, "namespace '%H' is not a name"),
        ({"uid": 'x"'}, "uid 'x\"' is not a name"),
        ({"uid": None}, "uid None is not a name"),
        ({"address": "10.244.0.300"}, "Octet 300 (> 255) not permitted in '10.244.0.300'"),
        ({"address": "10.244.0.2\nlink delete eth0"}, "Only decimal digits permitted in '2\\nlink delete eth0' in"),
        ({"listens": [{"port": 0, "protocol": "TCP"}]}, "{'port': 0, 'protocol': 'TCP'} is not a port"),
        ({"listens": [{"port": "80", "protocol": "TCP"}]}, "{'port': '80', 'protocol': 'TCP'} is not a port"),
        ({"listens": [{"port": 80, "protocol": "SCTP"}]}, "{'port': 80, 'protocol': 'SCTP'} is not a port"),
        ({"listens": [{"port": 65536, "protocol": "UDP"}]}, "{'port': 65536, 'protocol': 'UDP'} is not a port"),
        ({"memory_limit": "32M"}, "memory_limit '32M' is not a number of bytes"),
        ({"memory_limit": 0}, "memory_limit 0 is not a number of bytes"),
        ({"termination_grace_period_seconds": -1}, "termination_grace_period_seconds -1 is not a number of seconds"),
        ({"listens": None}, "not a list of pods"),
    ],
)
def test_values_that_would_reach_a_file_or_a_command_are_checked(
    podctl: ModuleType, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    assert message in complaint(podctl, tmp_path, {**POD, **change})


def test_all_faults_are_said_at_once(podctl: ModuleType, tmp_path: Path) -> None:
    said = complaint(podctl, tmp_path, {**POD, "uid": "", "address": "x"}, {**POD, "namespace": "A"})
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**POD, "address": "10.244.0.3"}, "/pods.json: two pods of the same name, or whose names have the same key"),
        ({**POD, "name": "other"}, "/pods.json: two pods with the same address"),
        ("no pod", "/pods.json: not a list of pods: "),
    ],
)
def test_pods_must_not_collide(podctl: ModuleType, tmp_path: Path, other: object, message: str) -> None:
    assert complaint(podctl, tmp_path, POD, other).startswith(message)


def test_a_file_that_is_cut_short_is_told_of_in_one_line(podctl: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pods.json").write_text('[{"name"')
    with pytest.raises(SystemExit, match="not a list of pods"):
        podctl.wanted(tmp_path / "pods.json")


def test_no_file_means_no_pods(podctl: ModuleType, tmp_path: Path) -> None:
    assert podctl.wanted(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "8f6e"},
        {"address": "10.244.0.9"},
        {"listens": [{"port": 81, "protocol": "TCP"}]},
        {"termination_grace_period_seconds": 8},
        {"memory_limit": 33554432},
    ],
)
def test_another_identity_is_another_pod(podctl: ModuleType, change: dict[str, Any]) -> None:
    assert podctl.identity({**POD, **change}) != podctl.identity(POD)
    assert podctl.identity(dict(POD)) == podctl.identity(POD)


def test_a_pod_of_an_earlier_version_is_the_same_pod_where_that_is_all(podctl: ModuleType, tmp_path: Path) -> None:
    told = tmp_path / "pod.conf"
    told.write_text(podctl.identity(POD).replace(podctl.program(), "0123456789abcdef"))
    assert not podctl.is_told(told, POD, strict=True)
    assert podctl.is_told(told, POD, strict=False)
    assert not podctl.is_told(told, {**POD, "uid": "8f6e"}, strict=False)
    told.write_text(podctl.identity(POD))
    assert podctl.is_told(told, POD, strict=True)


def test_the_harness_knows_which_programs_run_in_pods(podctl: ModuleType) -> None:
    assert [path.name for path in podctl.PROGRAM] == list(runner.IN_PODS)


def test_systemd_understands_the_unit_and_what_it_is_told(podctl: ModuleType, tmp_path: Path) -> None:
    unit = tmp_path / "nodeport-pod@0123abcd.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/lib/nodeport/", f"{FILES}/").replace("file://", "file:"))
    drop_in = tmp_path / f"{unit.name}.d" / "pod.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(podctl.identity(POD))
    done = process.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit])
    assert done.code == 0, done.err
    complaints = [line for line in done.err.splitlines() if "nodeport" in line or "pod.conf" in line]
    assert complaints == []


def test_the_unit_has_nothing_to_lose() -> None:
    shown = process.check(["systemd-analyze", "security", "--offline=true", "--no-pager", UNIT], what="ask systemd")
    exposure = next(line for line in shown.out.splitlines() if "Overall exposure" in line)
    assert float(exposure.split()[-3]) < 2
