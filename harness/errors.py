"""Everything that can go wrong in a way a person can mend, with the exit code it leads to.

::

    HarnessError
    ├── InputError            exit 2   what the user gave is wrong
    │   ├── UsageError                 … on the command line or in the configuration
    │   ├── ManifestError              … in a manifest: every fault at once, each with file:line and field path
    │   └── PlanError                  … in what the manifests ask of these nodes
    └── RigError              exit 4   the rig is broken, so nothing can be said about the data plane
        ├── DriverError                … nodes could not be made, found or removed
        ├── ConvergeError              … Ansible, or a node that does not run what it was given
        └── RemoteError                … a node or its SSH did not answer

A failed check is *not* an error: it is a verdict (exit 1), see ``harness.model.verdict``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class HarnessError(Exception):
    """A fault told to a person: what and where in ``message``, what to do in ``hint``."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, and the hint in brackets if there is one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(HarnessError):
    """What the user gave is wrong; nothing was changed."""

    exit_code = 2


class UsageError(InputError):
    """The command line or the configuration asks for something that cannot be."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault in one place of a manifest.

    ``line`` counts from 1; ``field`` is the path within the object, such as ``spec.ports[0].nodePort``,
    empty when the fault is not about one field.
    """

    file: str
    line: int
    field: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        """``file:line: field.path: what is wrong (hint)``, as compilers write it."""
        where = f"{self.file}:{self.line}: " + (f"{self.field}: " if self.field else "")
        return where + self.reason + (f" ({self.hint})" if self.hint else "")


class ManifestError(InputError):
    """All faults of a set of manifests, in the order of files and lines."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PlanError(InputError):
    """The manifests are right, but cannot be carried out on these nodes."""


class RigError(HarnessError):
    """The rig is broken: no verdict about the data plane is possible."""


class DriverError(RigError):
    """Nodes could not be made, found or removed."""


class ConvergeError(RigError):
    """Ansible failed, or a node does not run the wanted generation."""


class RemoteError(RigError):
    """A node, or its SSH, did not answer."""
