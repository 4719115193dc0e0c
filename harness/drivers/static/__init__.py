"""The ``static`` driver: machines of an Ansible inventory that answer to SSH. It never makes or removes one."""

from harness.drivers.static.driver import StaticDriver

__all__ = ["StaticDriver"]
