"""``ProxyCommand`` with ``ProxyUseFdpass``: connect, hand the connection to ssh, and end.

Run inside the fabric's network namespace, so that ssh on the host reaches nodes to which the host has no route;
no relay remains. Standard library only; see ssh_config(5), ProxyUseFdpass.
"""

import socket
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    connection.settimeout(None)
    with socket.socket(fileno=1) as ssh:
        socket.send_fds(ssh, [b"\0"], [connection.fileno()])
        ssh.detach()
