"""KVM or not: decided by a guest that really runs, see ``kvm.sh``; the Vagrantfile asks the same program."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.drivers import Check
from harness.support import process

PROBE = Path(__file__).with_name("kvm.sh")
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether guests run under KVM, and why they do or do not."""

    kvm: bool
    why: str

    @property
    def told(self) -> str:
        """One line for a person."""
        return f"the guests run under {'KVM' if self.kvm else 'QEMU without KVM'}: {self.why}"


def read(said: str) -> Decision:
    """What ``kvm.sh`` printed: ``kvm`` or ``qemu``, and on a second line the reason."""
    answer, _, why = said.strip().partition("\n")
    return Decision(answer == "kvm", why.strip() or f"{PROBE.name} did not say why")


@cache
def decided() -> Decision:
    """The decision for this machine; a guest is tried once in each of its boots."""
    return read(process.run([PROBE], timeout=_SECONDS).out)


def check() -> Check:
    """For ``harness doctor``: machines come up either way, so neither is a fault."""
    slow = "" if decided().kvm else "; each VM takes a whole core while it boots"
    return Check("accelerator", True, decided().told.removeprefix("the ") + slow)
