"""Wait, inside the fabric's namespace, until every node sends an SSH banner; prints the nodes that did not.

Arguments: seconds, then addresses. Standard library only.
"""

import socket
import sys
import time

deadline = time.monotonic() + float(sys.argv[1])
silent = sys.argv[2:]
while silent and time.monotonic() < deadline:
    for address in list(silent):
        try:
            with socket.create_connection((address, 22), timeout=0.5) as connection:
                if connection.recv(4) == b"SSH-":
                    silent.remove(address)
        except OSError:
            continue
    time.sleep(0.02 if silent else 0)  # noqa: TID251 - runs apart from the harness, by itself
print(" ".join(silent))  # noqa: T201 - its answer
sys.exit(1 if silent else 0)  # noqa: TID251 - a program of its own
