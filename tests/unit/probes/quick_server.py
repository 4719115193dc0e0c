"""A server in a process of its own, quick enough not to be what is measured: ADDRESS PORT; prints its port."""

import select
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nNodeport-Pod-Uid: u1\r\n\r\npod-1"

listening = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=4096)
listening.setblocking(False)
sys.stdout.write(f"{listening.getsockname()[1]}\n")
sys.stdout.flush()
poll = select.epoll()
poll.register(listening, select.EPOLLIN)
clients: dict[int, socket.socket] = {}
while True:
    for fd, _ in poll.poll():
        if fd == listening.fileno():
            client, _ = listening.accept()
            clients[client.fileno()] = client
            poll.register(client, select.EPOLLIN)
            continue
        try:
            if clients[fd].recv(4096):
                clients[fd].send(ANSWER)
                continue
        except ConnectionResetError:
            pass
        clients.pop(fd).close()
