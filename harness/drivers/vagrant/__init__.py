"""Nodes as virtual machines with a kernel of their own, made by Vagrant from the folder's ``Vagrantfile``.

`vagrant up` by hand and ``harness up`` make the same machines and find each other's.
"""

from harness.drivers.vagrant.driver import VagrantDriver
from harness.drivers.vagrant.settings import running

__all__ = ["VagrantDriver", "running"]
