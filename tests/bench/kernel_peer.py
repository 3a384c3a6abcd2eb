"""The kernel's TCP with plain Python sockets between two namespaces of our own, joined by one veth pair."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from tcplab.engines.netns import Namespaces

ADDR_A, ADDR_B = "10.78.0.1", "10.78.0.2"
PORT = 9000


class KernelPair:
    """Namespaces a and b with a direct link beside the lab's wire."""

    def __init__(self) -> None:
        from pyroute2 import IPRoute

        self.spaces = Namespaces()
        self.spaces.unshare()
        self.spaces.join()
        with self.spaces.inside("a"), IPRoute() as route:
            peer = {"ifname": "direct", "net_ns_fd": self.spaces.net["b"]}
            route.link("add", ifname="direct", kind="veth", peer=peer)
        for host, addr in (("a", ADDR_A), ("b", ADDR_B)):
            with self.spaces.inside(host), IPRoute() as route:
                index = socket.if_nametoindex("direct")
                route.addr("add", index=index, address=addr, prefixlen=24)
                route.link("set", index=index, state="up")

    def server(self, serve: Callable[[socket.socket], None]) -> int:
        """Fork a child that listens in b and serves; its pid."""
        pid = os.fork()
        if pid:
            time.sleep(0.2)
            return pid
        with self.spaces.inside("b"):
            listener = socket.create_server((ADDR_B, PORT), backlog=128)
        try:
            serve(listener)
        finally:
            os._exit(0)

    def client(self) -> socket.socket:
        """A socket of namespace a."""
        with self.spaces.inside("a"):
            return socket.socket()

    def close(self) -> None:
        self.spaces.close()


def bulk(size: int) -> float:
    """Octets per second."""
    pair = KernelPair()

    def serve(listener: socket.socket) -> None:
        conn, _ = listener.accept()
        while conn.recv(1 << 20):
            pass
        conn.close()

    pid = pair.server(serve)
    client = pair.client()
    client.connect((ADDR_B, PORT))
    chunk, left = bytes(1 << 16), size
    begin = time.perf_counter()
    while left > 0:
        client.sendall(chunk)
        left -= len(chunk)
    client.shutdown(socket.SHUT_WR)
    client.recv(1)
    spent = time.perf_counter() - begin
    client.close()
    os.waitpid(pid, 0)
    pair.close()
    return size / spent


def connects(count: int) -> float:
    """Connections opened, given one octet each way, and closed, per second."""
    pair = KernelPair()

    def serve(listener: socket.socket) -> None:
        for _ in range(count):
            conn, _ = listener.accept()
            conn.send(conn.recv(1))
            conn.close()

    pid = pair.server(serve)
    begin = time.perf_counter()
    for _ in range(count):
        client = pair.client()
        client.connect((ADDR_B, PORT))
        client.send(b"x")
        client.recv(1)
        client.close()
    spent = time.perf_counter() - begin
    os.waitpid(pid, 0)
    pair.close()
    return count / spent
