"""HAProxy from Debian's own package as a NodePort forwarder, and plain servers behind it, on nodes without network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.model.cluster import Cluster
from harness.session import remote
from harness.support import process

NODE_PORT, SERVER_PORT = 30080, 8080
PACKAGES = ("haproxy", "liblua5.3-0", "libopentracing1", "libopentracing-c-wrapper0")
"""HAProxy, and of what it needs what a node has not."""

BY_CHANCE = "random(1)"
"""One draw: HAProxy's plain `random` draws two servers and takes the less busy one, so shares follow their speed."""

SERVER = """
import http.server, json, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = json.dumps({"server": {"name": sys.argv[1]}, "client": self.client_address[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("", int(sys.argv[2])), Handler).serve_forever()
"""

RESTART = "systemctl reset-failed haproxy.service; systemctl restart haproxy.service"
"""Its unit may start five times in ten seconds; a test may do so more often."""

CONFIG = """
global
    maxconn 4000
defaults
    mode tcp
    retries 0
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
{binds}
    default_backend web
backend web
    balance {balance}
{servers}
"""


def install(cluster: Cluster, folder: Path) -> None:
    """Install HAProxy and start a server on every node; packages come by way of this machine's own apt."""
    process.check(["apt-get", "download", *PACKAGES], what="downloading haproxy", cwd=folder, timeout=120)
    (folder / "server.py").write_text(SERVER)
    process.check(["tar", "--create", "--file", folder / "all.tar", "--directory", folder, "--exclude", "all.tar", "."],
                  what="a tar")  # fmt: skip
    for node in cluster.nodes:
        send = " ".join(remote.command(cluster, node.name, ["tar", "--extract", "--directory", "/opt"]))
        process.check(["sh", "-c", f"{send} < {folder / 'all.tar'}"], what="sending packages", timeout=60)
        on(cluster, node.name, "DEBIAN_FRONTEND=noninteractive dpkg --install --force-depends /opt/*.deb")
        serve(cluster, node.name)


def serve(cluster: Cluster, node: str) -> None:
    """Start the server of a node."""
    on(cluster, node, f"systemd-run --unit server python3 /opt/server.py {node}-server {SERVER_PORT}")


def balance(cluster: Cluster, how: str, weights: Mapping[str, Mapping[str, int]] | None = None) -> None:
    """Every node forwards its nodePort to all servers, picking one as ``how`` says; ``weights`` by node and server."""
    for node in cluster.nodes:
        own = (weights or {}).get(node.name, {})
        servers = "\n".join(
            f"    server {each.name} {each.address}:{SERVER_PORT} weight {own.get(each.name, 10)}"
            for each in cluster.nodes
        )
        binds = "\n".join(f"    bind {each}:{NODE_PORT}" for each in (node.address, node.address6) if each)
        config = CONFIG.format(binds=binds, balance=how, servers=servers)
        on(cluster, node.name, f"cat > /etc/haproxy/haproxy.cfg <<'END'{config}END\n{RESTART}")


def on(cluster: Cluster, node: str, script: str) -> None:
    """Run a script on a node; it must succeed."""
    done = remote.run(cluster, node, ["sh", "-ec", script])
    assert done.ok, done.err
