"""``inventory.yml``, the one of the two files every driver leaves that Ansible reads: literal values only."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import yaml

from harness.model.cluster import Cluster

Known = Mapping[str, object]


def inventory(cluster: Cluster, ways: Mapping[str, Known], everywhere: Known | None = None) -> str:
    """The inventory of a cluster: the group ``nodes``.

    ``ways`` has for each node what only its driver knows, above all the way in; ``everywhere`` what holds for all.
    """
    hosts = {
        node.name: {
            "ansible_host": node.name,  # a Host of ssh_config, which has all the rest
            "nodeport_address": node.address,
            **({"nodeport_address6": node.address6} if node.address6 else {}),
            **ways[node.name],
        }
        for node in cluster.nodes
    }
    variables = {
        "ansible_connection": "ssh",
        "ansible_ssh_args": "-o BatchMode=yes",  # Ansible's default brings control masters that `down` would not find
        "ansible_ssh_common_args": f"-F {shlex.quote(str(cluster.ssh_config))}",
        "harness_driver": cluster.driver,
        "harness_lab": cluster.lab,
        "harness_lab_uid": cluster.uid,
        **(everywhere or {}),
    }
    whole = {"all": {"vars": variables, "children": {"nodes": {"hosts": hosts}}}}
    return yaml.dump(whole, Dumper=_Literal, sort_keys=False, width=200)


class _Literal(yaml.SafeDumper):
    """Writes text so that Ansible takes it as it is: what looks like a template was filled in already."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("!unsafe" if "{{" in value or "{%" in value else "tag:yaml.org,2002:str", value)


_Literal.add_representer(str, _text)
