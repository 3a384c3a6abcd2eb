"""A small HTTP server as a scripted application, so that curl and browsers can talk to the lab's TCP.

HTTP/1.0 and HTTP/1.1 with keep-alive, GET and HEAD. `/` is a page that says where it comes from; `/bytes/N` is a body
of N octets: big-endian 32-bit numbers 0, 1, 2 ... so that each octet tells where it belongs. RFC 9110, RFC 9112.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from tcplab.engines.apps import Program, listen, send_all
from tcplab.wire import ipv4

_HEAD_LIMIT: Final = 16384
_BLOCK: Final = 1 << 16
_MOST: Final = 1 << 40
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    505: "HTTP Version Not Supported",
}


class Request(NamedTuple):
    """The head of a request, as far as this server cares. `error` is the status to answer at once, or 0."""

    method: str
    path: str
    keep: bool
    error: int = 0


def http_server(port: int, backlog: int = 16, host: str = "b") -> Program:
    """Serve until the lab ends; many clients at once. `host` is the name that the page gives."""
    listener = yield from listen(port, backlog)
    while True:
        fd, peer = yield "accept", listener
        yield "spawn", _serve(fd, host, peer)


def body(count: int) -> Iterator[bytes]:
    """The body of `/bytes/count`, in blocks."""
    for start in range(0, count, _BLOCK):
        first = start // 4
        words = ((first + word) & 0xFFFFFFFF for word in range(_BLOCK // 4))
        yield struct.pack(f">{_BLOCK // 4}I", *words)[: count - start]


def parse(head: bytes) -> Request:
    """Read a request's head, without its empty line. Never raises: what is wrong becomes `error`."""
    lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not all(words) or not words[2].startswith("HTTP/"):
        return Request("", "", False, 400)
    method, target, version = words
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        return Request(method, target, False, 505)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return Request(method, target, False, 400)
        headers[name.lower()] = value.strip().lower()
    if version == "HTTP/1.1" and "host" not in headers:  # RFC 9112 section 3.2
        return Request(method, target, False, 400)
    asked = headers.get("connection", "")
    keep = "keep-alive" in asked if version == "HTTP/1.0" else "close" not in asked
    if method not in ("GET", "HEAD"):
        return Request(method, target, False, 405)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        keep = False  # a body that is not read would be taken for the next request
    return Request(method, target.partition("?")[0], keep)


def _serve(fd: int, host: str, peer: tuple[int, int]) -> Program:
    """One client, from its first request to its last."""
    pending = b""
    try:
        while True:
            while b"\r\n\r\n" not in pending and b"\n\n" not in pending and len(pending) <= _HEAD_LIMIT:
                data = yield "recv", fd, _BLOCK
                if not data:
                    break
                pending += data
            if not pending.strip(b"\r\n"):
                break
            head, pending = _split(pending)
            request = parse(head.lstrip(b"\r\n")) if head else Request("", "", False, 400)
            yield from _answer(fd, host, peer, request)
            if not request.keep:
                break
    except OSError:  # the client is gone; the server goes on
        pass
    yield "close", fd


def _split(pending: bytes) -> tuple[bytes, bytes]:
    """The head of the first request and what follows it; no head: it is not complete, and never will be."""
    for end in (b"\r\n\r\n", b"\n\n"):
        head, found, rest = pending.partition(end)
        if found:
            return head, rest
    return b"", b""


def _answer(fd: int, host: str, peer: tuple[int, int], request: Request) -> Program:
    status, kind, length, blocks = _content(fd, host, peer, request)
    head = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Server: tcplab",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        f"Connection: {'keep-alive' if request.keep else 'close'}",
    ]
    if status == 405:
        head.append("Allow: GET, HEAD")
    first = "\r\n".join([*head, "", ""]).encode("latin-1")
    if request.method != "HEAD":
        first += next(blocks, b"")
    yield from send_all(fd, first)
    if request.method != "HEAD":
        for block in blocks:
            yield from send_all(fd, block)


def _content(fd: int, host: str, peer: tuple[int, int], request: Request) -> tuple[int, str, int, Iterator[bytes]]:
    """Status, content type, length and body of the answer."""
    if request.error:
        return _page(request.error, f"<h1>{request.error} {_REASONS[request.error]}</h1>")
    if request.path == "/":
        return _page(200, _welcome(host, peer))
    number = request.path.removeprefix("/bytes/")
    if number != request.path and number.isascii() and number.isdigit() and len(number) < 14 and int(number) <= _MOST:
        count = int(number)
        return 200, "application/octet-stream", count, body(count)
    return _page(
        404, '<h1>404 Not Found</h1>\n<p>There is <a href="/">/</a> and <a href="/bytes/1000">/bytes/N</a>.</p>'
    )


def _page(status: int, inner: str) -> tuple[int, str, int, Iterator[bytes]]:
    text = f"<!doctype html>\n<title>tcplab</title>\n{inner}\n".encode()
    return status, "text/html; charset=utf-8", len(text), iter([text])


def _welcome(host: str, peer: tuple[int, int]) -> str:
    return (
        f"<h1>Hello from tcplab's own TCP on host {host}</h1>\n"
        f"<p>Every segment of this page was made by a TCP written in Python, not by the kernel's, "
        f"and sent to {ipv4.text(peer[0])}:{peer[1]}.</p>\n"
        f'<p><a href="/bytes/1000000">/bytes/N</a> gives N octets.</p>'
    )
