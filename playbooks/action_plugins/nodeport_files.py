"""Ansible action: carries out the module nodeport_files without what Ansible packs round a module.

The usual wrapper has the node's Python compile some ten thousand lines for every task: 0.15 s of CPU, ten times that on
an emulated machine. Here the module's own text is sent, as pipelining sends it, with a few lines in the place of
AnsibleModule. Where Ansible may not pipeline (sudo that wants a terminal), or finds no Python, the module goes the
usual way, and Ansible says what is missing.
"""

from __future__ import annotations

import json
from pathlib import Path

from ansible.plugins.action import ActionBase

NO_PROGRAM = (126, 127)
"""Exit codes of a shell that cannot run a program (POSIX, 2.8.2)."""
FRAME = '''\
import json, shlex, subprocess, sys, types

class AnsibleModule:
    """What the module uses of Ansible's class of that name."""

    def __init__(self, argument_spec, supports_check_mode):
        self.params, self.check_mode = filled(argument_spec, ARGUMENTS), CHECK_MODE

    def exit_json(self, **result):
        print(json.dumps(result))
        sys.exit(0)

    def fail_json(self, **result):
        print(json.dumps({"failed": True, **result}))
        sys.exit(1)

    def run_command(self, words, data=None):
        words = shlex.split(words) if isinstance(words, str) else words
        try:
            done = subprocess.run(words, input=data or "", capture_output=True, encoding="utf-8", errors="replace")
        except OSError as error:
            return error.errno, "", error.strerror
        return done.returncode, done.stdout, done.stderr

    from_json = staticmethod(json.loads)

def filled(spec, given):
    """The arguments, with the defaults of those that were not given."""
    found = {name: given.get(name, about.get("default")) for name, about in spec.items()}
    for name, about in spec.items():
        if "options" in about:
            found[name] = [filled(about["options"], each) for each in found[name]]
    return found

for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["ansible.module_utils.basic"].AnsibleModule = AnsibleModule
'''


class ActionModule(ActionBase):
    """The module of the same name, on the node, in one visit."""

    def run(self, tmp=None, task_vars=None):
        """What the module returned."""
        super().run(tmp, task_vars)
        if not self._connection.is_pipelining_enabled(False):
            return self._execute_module(task_vars=task_vars)
        command = f"{self._compute_environment_string()} {self.interpreter(task_vars)} -I -".strip()
        done = self._low_level_execute_command(command, in_data=self.program().encode())
        if done["rc"] in NO_PROGRAM:
            return self._execute_module(task_vars=task_vars)
        try:
            return json.loads(done["stdout"])
        except ValueError:
            return {"failed": True, "msg": f"{self._task.action} broke off: {done['stderr'].strip() or done['rc']}"}

    def interpreter(self, task_vars):
        """The node's Python; Ansible is not asked to look for one, because ours is Debian's."""
        named = self._templar.template(task_vars.get("ansible_python_interpreter", "auto"))
        return "/usr/bin/python3" if named.startswith("auto") else named

    def program(self):
        """The module's text, with its arguments and the frame before it."""
        modules = self._shared_loader_obj.module_loader
        module = modules.find_plugin(self._task.action, collection_list=self._task.collections)
        text = Path(module).read_text(encoding="utf-8")
        given = {name: value for name, value in self._task.args.items() if value is not None}
        values = json.dumps([given, bool(self._task.check_mode)])
        return f"{FRAME}\nARGUMENTS, CHECK_MODE = json.loads({values!a})\nexec(compile({text!a}, 'module', 'exec'))\n"
