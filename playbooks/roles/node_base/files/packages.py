#!/usr/bin/python3
"""Debian packages by apt-get itself: Ansible's own module would first install python3-apt, which nobody asked for.

    packages.py find SECONDS NAME…       JSON list of all packages that would be new if these were installed
    packages.py install SECONDS NAME…    install them

SECONDS is how long to wait for another apt to end. Standard library only.
"""

import json
import os
import re
import subprocess
import sys
import time

APT = ("apt-get", "--quiet", "--no-install-recommends")


def apt(seconds, *words):
    """Call apt-get, again while another one holds a lock: whether it succeeded, and what it said."""
    ends = time.monotonic() + float(seconds)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    while True:
        done = subprocess.run([*APT, *words], env=environment, capture_output=True, text=True, check=False)
        locked = done.returncode != 0 and "Could not get lock" in done.stderr
        if not locked or time.monotonic() > ends:
            return done.returncode == 0, done.stdout if done.returncode == 0 else faults(done.stderr)
        time.sleep(0.5)  # there is nothing that tells when a lock of apt is free


def faults(said):
    """apt's own words on what went wrong."""
    lines = [line.partition(":")[2].strip() for line in said.splitlines() if line.startswith(("E:", "Err:"))]
    return " ".join(lines) or said.strip() or "no word of apt-get"


def fresh(seconds, *words):
    """Call apt-get, and if it fails once more with new lists of packages; ends the program when that fails."""
    well, said = apt(seconds, *words)
    if not well:
        updated, trouble = apt(seconds, "update")
        well, said = apt(seconds, *words) if updated else (False, trouble)
    if not well:
        sys.exit(f"packages that nodePorts need cannot be installed: {said}; mend that, or install them yourself: "
                 f"{' '.join(word for word in words if word[0] != '-')}")  # fmt: skip
    return said


def main(verb="", seconds="0", *names):
    """Carry out one verb."""
    if verb == "find" and names:
        said = fresh(seconds, "--simulate", "install", *names)
        print(json.dumps(sorted(re.findall(r"^Inst (\S+) \(", said, re.MULTILINE))))  # with [old] it is not new
    elif verb == "install" and names:
        fresh(seconds, "--yes", "install", *names)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
