"""KVM or not, in words; that a guest is really tried is in tests/vm/test_acceleration.py."""

from __future__ import annotations

import pytest

from harness.drivers.vagrant import acceleration


@pytest.mark.parametrize(
    ("said", "kvm", "told"),
    [
        ("kvm\na guest under it ran\n", True, "the guests run under KVM: a guest under it ran"),
        ("qemu\nthere is no /dev/kvm\n", False, "the guests run under QEMU without KVM: there is no /dev/kvm"),
        ("", False, "the guests run under QEMU without KVM: kvm.sh did not say why"),
    ],
)
def test_the_decision_is_told_with_its_reason(said: str, kvm: bool, told: str) -> None:
    decision = acceleration.read(said)
    assert (decision.kvm, decision.told) == (kvm, told)


@pytest.mark.parametrize("answer", ["kvm", "qemu"])
def test_doctor_takes_neither_for_a_fault(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "decided", lambda: acceleration.read(f"{answer}\nreasons"))
    check = acceleration.check()
    assert check.ok
    assert check.found == (
        "guests run under KVM: reasons" if answer == "kvm" else
        "guests run under QEMU without KVM: reasons; each VM takes a whole core while it boots"
    )  # fmt: skip
