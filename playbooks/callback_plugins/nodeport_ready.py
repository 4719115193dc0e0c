"""Ansible callback: what every worker would load and compile for itself is there before the first one is forked.

Ansible forks a worker for each task and node. Filters and tests are looked up when a template first uses one, in the
worker, so that each of them would import them all; what Python's collector looks through in a worker is copied.
"""

from __future__ import annotations

import gc

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader


class CallbackModule(CallbackBase):
    """Says nothing; only what it does at the start matters."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "nodeport_ready"

    def v2_playbook_on_start(self, playbook):
        """Load all filters and tests, and have the collector leave alone what is there by now."""
        for loader in (filter_loader, test_loader):
            for _plugin in loader.all():
                pass
        gc.collect()
        gc.freeze()
