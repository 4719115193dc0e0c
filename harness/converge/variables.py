"""Variables as text for ``ansible-playbook -e @FILE``. Pure.

Ansible takes what is in such a file for templates and carries them out on the machine where it runs. Text out of
manifests, such as the path of a readinessProbe, is never one: it is marked as what Ansible calls *unsafe*, which
means taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

_MARK = "__ansible_unsafe"
"""How ``ansible.module_utils.common.json`` writes such text in JSON; YAML has the tag ``!unsafe``."""


def as_json(document: Mapping[str, object]) -> str:
    """JSON that Ansible reads, ending with a newline."""
    return json.dumps(_marked(document), indent=1) + "\n"


def as_yaml(document: Mapping[str, object]) -> str:
    """YAML that Ansible reads."""
    return yaml.dump(dict(document), Dumper=_Literal, sort_keys=False, width=120)


def is_template(text: str) -> bool:
    """Whether Ansible would see more than text in it."""
    return "{" in text  # Jinja's signs are {{, {% and {#


def _marked(value: object) -> object:
    if isinstance(value, str):
        return {_MARK: value} if is_template(value) else value
    if isinstance(value, Mapping):
        return {key: _marked(each) for key, each in value.items()}
    return [_marked(each) for each in value] if isinstance(value, list | tuple) else value


class _Literal(yaml.SafeDumper):
    """Writes text so that Ansible takes it as it is."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("!unsafe" if is_template(value) else "tag:yaml.org,2002:str", value)


_Literal.add_representer(str, _text)
