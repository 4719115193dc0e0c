"""What runs in a pod: a server that says who it is, speaking *netexec* (see ``netexec.py``) on every port it is given.

HTTP/1.1 on TCP, one command a datagram on UDP. Three headers are ours, on every HTTP answer: Nodeport-Pod,
Nodeport-Pod-Uid and Nodeport-Client (who the pod saw).

Configured by the environment: POD_NAME, POD_UID, POD_LISTENS ("80/TCP 53/UDP"); POD_ADDRESS6, if it has one;
POD_DELAY_SHUTDOWN, the seconds that it serves on after SIGTERM, not ready any more (0); POD_REQUEST_SECONDS, the
longest that one request may take to arrive (30). After the delay it takes nobody new, ends what is under way, and then
itself. SIGUSR1 makes it not ready, SIGUSR2 ready again: it answers as ever, but says so to who asks for its health.
Standard library only.
"""

import os
import signal
import socket
import sys

from netexec_server import ANY6, Server


class Pod:
    """Who this pod is, whether it is on its way out, and whether it was told to be not ready."""

    def __init__(self, name, uid):
        self.name, self.uid = name, uid
        self.leaving = self.unready = False
        self.introduction = f"Nodeport-Pod: {name}\r\nNodeport-Pod-Uid: {uid}\r\nNodeport-Client: "


def tell_systemd(state):
    """Tell systemd about this service, if it listens: sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + path[1:] if path.startswith("@") else path)
            notify.send(state.encode())


def main():
    """Run the pod that the environment describes."""
    listens = [listen.partition("/")[::2] for listen in os.environ.get("POD_LISTENS", "").split()]
    pod = Pod(os.environ["POD_NAME"], os.environ["POD_UID"])
    server = Server(pod, float(os.environ.get("POD_REQUEST_SECONDS", "30")))
    opened = [f"{server.listen(int(port), protocol)}/{protocol}" for port, protocol in listens]
    if os.environ.get("POD_ADDRESS6"):
        for name in opened:
            port, _, protocol = name.partition("/")
            server.listen(int(port), protocol, ANY6)
    delay = float(os.environ.get("POD_DELAY_SHUTDOWN", "0"))
    signal.signal(signal.SIGTERM, lambda *_: server.leave(delay))
    signal.signal(signal.SIGINT, lambda *_: server.leave(0))
    signal.signal(signal.SIGUSR1, lambda *_: setattr(pod, "unready", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(pod, "unready", False))
    signal.set_wakeup_fd(server.waker.fileno())
    print(f"pod {pod.name} listens on {' '.join(opened) or 'nothing'}", flush=True)
    tell_systemd("READY=1")
    server.run()


if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"the pod cannot run: {error!r}")
