"""Runs alone, with ansible-core: an inventory as Ansible itself understands it, to JSON on stdout.

    python resolve.py INVENTORY   →   {"host": {"ansible_host": …, …}, …}

Only what the harness needs is told, templates filled in and vaults opened. A fault is one line on stderr, exit code 1.
"""

import json
import sys

from ansible import constants
from ansible.cli import CLI
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

WANTED = (
    "ansible_host", "ansible_port", "ansible_user", "ansible_connection", "ansible_python_interpreter",
    "ansible_ssh_private_key_file", "ansible_private_key_file", "ansible_ssh_common_args", "ansible_ssh_extra_args",
    "ansible_become", "ansible_become_user", "ansible_become_method", "ansible_become_exe", "ansible_become_flags",
    "ansible_become_password", "ansible_become_pass", "ansible_password", "ansible_ssh_pass",
    "nodeport_address", "nodeport_client_netns", "nodeport_client_address", "nodeport_client_range",
    "nodeport_forwarder", "nodeport_addresses", "nodeport_pod_network", "nodeport_address6",
    "nodeport_client_address6", "nodeport_client_range6",
)  # fmt: skip
OF_ROLES = ("preflight_", "node_base_", "pod_network_", "workload_", "forwarder_")
"""What the names of settings of our roles begin with."""


def resolve(source: str) -> dict[str, dict[str, object]]:
    """The wanted variables of every host of the group ``nodes``, or of all hosts of an inventory without any group."""
    loader = DataLoader()
    files = [constants.DEFAULT_VAULT_PASSWORD_FILE] if constants.DEFAULT_VAULT_PASSWORD_FILE else []
    ids = list(constants.DEFAULT_VAULT_IDENTITY_LIST)
    if files or ids:
        loader.set_vault_secrets(CLI.setup_vault_secrets(loader, ids, vault_password_files=files, auto_prompt=False))
    inventory = InventoryManager(loader=loader, sources=[source])
    variables = VariableManager(loader=loader, inventory=inventory)
    groups = sorted(set(inventory.groups) - {"all", "ungrouped"})
    if groups and "nodes" not in groups:
        raise ValueError(f"it has no group `nodes`, but {', '.join(groups)}: which machines may be changed?")
    found = {}
    for host in inventory.get_hosts("nodes" if groups else "all"):
        known = variables.get_vars(host=host)
        templar = Templar(loader=loader, variables=known)
        wanted = [name for name in known if name in WANTED or name.startswith(OF_ROLES)]
        found[host.name] = {name: filled(templar, known, name, host.name) for name in wanted}
    return found


def filled(templar: Templar, known: dict[str, object], name: str, host: str) -> object:
    """A variable with its templates filled in; a fault names host and variable."""
    try:
        return templar.template(known[name])
    except Exception as error:
        raise ValueError(f"{host}: {name}: {error}") from error


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(resolve(sys.argv[1]), default=str))
    except Exception as error:  # noqa: BLE001 - whatever it is, a person shall read one line
        raise SystemExit(" ".join(str(error).split())) from None
