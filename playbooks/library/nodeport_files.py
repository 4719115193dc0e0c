#!/usr/bin/python
"""Ansible module: all that is to be done on a node in one visit, because every task costs a third of a second and more.

The action of the same name carries it out; it uses no more of AnsibleModule than that action has.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: nodeport_files
short_description: Write or remove several files at once, and run what goes with them
description:
  - Like M(ansible.builtin.copy) for a list of text files, owned by root, in one go and in their order.
  - Folders that are missing are made, with mode 0755.
  - What was written, removed or enabled survives a power cut once the module has ended (fsync(2)).
  - systemd reads its units anew when a file of theirs was written or removed.
options:
  absent:
    description: Files, and folders with all that is in them, that shall not be there.
    type: list
    elements: path
    default: []
  files:
    description: The files that shall be there.
    type: list
    elements: dict
    default: []
    suboptions:
      dest: {description: Where the file shall be., type: path, required: true}
      content: {description: What it shall hold., type: str, required: true}
      mode: {description: "Its permissions, in octal.", type: str, default: "0644"}
      src: {description: Where the content came from; not read., type: str}
      validate: {description: "A command that accepts the file, with %s in the place of its path.", type: str}
  run:
    description:
      - A command to run afterwards, without a shell, whether or not a file was written; not in check mode.
      - It prints a JSON object of what it changed, or nothing.
    type: list
    elements: str
  check: {description: The command to run in check mode, type: list, elements: str}
  stdin: {description: What the command reads., type: str}
  units:
    description: Units that shall start at every boot; enabled before the command, and started after it.
    type: list
    elements: str
    default: []
attributes:
  check_mode: {support: full, description: Nothing is written or validated.}
  diff_mode: {support: full, description: Shows every file.}
"""
EXAMPLES = r"""
- name: Install a program and its configuration
  nodeport_files:
    files:
      - {dest: /usr/local/lib/thing/thing, mode: "0755", content: "…"}
      - {dest: /etc/thing.json, mode: "0644", content: "{}", validate: /usr/local/lib/thing/thing check %s}
"""
RETURN = r"""
written: {description: The paths of the files that were other than wanted., type: list, elements: str, returned: always}
removed: {description: The paths that were there and should not be., type: list, elements: str, returned: always}
said: {description: What the command printed., type: dict, returned: always}
"""

FILE = {
    "dest": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "src": {"type": "str"},
    "validate": {"type": "str"},
}
ROOT = (0, 0)
UNITS = "/etc/systemd/system/"


def state(path):
    """Content, mode and owner of a file; ``None`` when there is none."""
    if not path.is_file():
        return None
    about = path.stat()
    return path.read_bytes().decode(errors="replace"), about.st_mode & 0o7777, (about.st_uid, about.st_gid)


def write(module, file, path):
    """Put one file in place, whole and validated, or fail and leave what was there."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(file["content"].encode())
        new.chmod(int(file["mode"], 8))
        os.chown(new, *ROOT)
        keep(new)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        error.filename = str(path)
        raise
    if file["validate"]:
        code, out, err = module.run_command(file["validate"] % new)
        if code != 0:
            new.unlink()
            module.fail_json(msg=f"{path} would not be right: {(err or out).strip()}")
    new.replace(path)


def keep(path):
    """Have a file's content, or the names in a folder, outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def keep_names(touched):
    """The same for the folders in which files came or went, up to the root: they may be new themselves."""
    for folder in sorted({folder for path in touched for folder in Path(path).parents}):
        if folder.is_dir():
            keep(folder)


def remove(path):
    """Remove a file or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def carry_out(module, words):
    """Run a command and return what it printed, or fail with its words."""
    code, out, err = module.run_command(words, data=module.params["stdin"])
    if code != 0:
        module.fail_json(msg=f"{' '.join(words[:4])}: {(err or out).strip() or code}")
    return out


def printed(module, words):
    """The JSON object that a command printed, empty when there is no command or it printed nothing."""
    return module.from_json((carry_out(module, words) if words else "") or "{}")


def follow(module, touched):
    """What follows files: systemd knows its units, the command has run, the units run; returns what it said."""
    if module.check_mode:
        return printed(module, module.params["check"])
    units = module.params["units"]
    if units:
        carry_out(module, ["systemctl", "--no-reload", "enable", "--quiet", *units])
        keep_names(f"{wants}/*" for wants in Path(UNITS).glob("*.wants"))
    if units or any(path.startswith(UNITS) for path in touched):
        carry_out(module, ["systemctl", "daemon-reload"])
    said = printed(module, module.params["run"])
    if units:
        carry_out(module, ["systemctl", "start", *units])
    return said


def main():
    """Do what was asked, or say which file could not be written or removed, and why."""
    files = {"type": "list", "elements": "dict", "default": [], "options": FILE}
    absent = {"type": "list", "elements": "path", "default": []}
    command, units = {"type": "list", "elements": "str"}, {"type": "list", "elements": "str", "default": []}
    spec = {"absent": absent, "files": files, "units": units, "run": command, "check": command}
    spec["stdin"] = {"type": "str"}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        done = change(module)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}; mend that and run it again, it goes on from here")
    touched = done["written"] + done["removed"]
    said = follow(module, touched)
    module.exit_json(changed=bool(touched or said or module.params["units"]), said=said, **done)


def change(module):
    """Write what differs, remove what is there, and say what that was."""
    removed = [path for path in module.params["absent"] if os.path.lexists(path)]
    written, diff = [], [{"before": f"{path}\n", "after": ""} for path in removed]
    for path in removed if not module.check_mode else []:
        remove(Path(path))
    for file in module.params["files"]:
        path = Path(file["dest"])
        before = state(path)
        if before == (file["content"], int(file["mode"], 8), ROOT):
            continue
        written.append(str(path))
        text = {"before": before[0] if before else "", "after": file["content"]}
        diff.append({"before_header": str(path), "after_header": str(path), **text})
        if not module.check_mode:
            write(module, file, path)
    if not module.check_mode:
        keep_names(removed + written)
    return {"written": written, "removed": removed, "diff": diff}


if __name__ == "__main__":
    main()
