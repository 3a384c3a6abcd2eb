"""The HTTP server, driven as a generator: what comes in, what goes out."""

from __future__ import annotations

import struct

import pytest

from tcplab.engines import http


def serve(*received):
    """Feed one client's octets to the server; what it answered, and whether it closed."""
    program = http._serve(4, "b", (0x0A4D0065, 51000))
    incoming, sent = list(received), b""
    call = next(program)
    try:
        while True:
            if call[0] == "recv":
                call = program.send(incoming.pop(0) if incoming else b"")
            elif call[0] == "send":
                sent += call[2]
                call = program.send(len(call[2]))
            else:
                assert call == ("close", 4)
                program.send(None)
    except StopIteration:
        return sent


def answers(sent):
    """(status line, headers, body) of each answer."""
    found = []
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["Content-Length"])
        found.append((status, headers, rest[:length]))
        sent = rest[length:]
    return found


def test_the_page_says_where_it_comes_from():
    [(status, headers, body)] = answers(serve(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"))
    assert status == "HTTP/1.1 200 OK"
    assert headers["Connection"] == "close"
    assert b"tcplab's own TCP on host b" in body
    assert b"10.77.0.101:51000" in body


def test_bytes_tell_their_place():
    [(_, headers, body)] = answers(serve(b"GET /bytes/1000000 HTTP/1.0\r\n\r\n"))
    assert headers["Content-Type"] == "application/octet-stream"
    assert body == struct.pack(">250000I", *range(250000))
    [(_, _, body)] = answers(serve(b"GET /bytes/6 HTTP/1.0\r\n\r\n"))
    assert body == bytes([0, 0, 0, 0, 0, 0])
    [(_, _, body)] = answers(serve(b"GET /bytes/0 HTTP/1.0\r\n\r\n"))
    assert body == b""


def test_keep_alive_answers_each_request_in_order_however_they_are_cut():
    requests = b"GET /bytes/4 HTTP/1.1\r\nHost: b\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: b\r\n\r\n"
    whole = answers(serve(requests))
    assert [status for status, _, _ in whole] == ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]
    assert answers(serve(*(requests[at : at + 1] for at in range(len(requests))))) == whole


def test_head_has_no_body():
    sent = serve(b"HEAD /bytes/100000 HTTP/1.1\r\nHost: b\r\n\r\n")
    assert b"Content-Length: 100000\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


def test_http_1_0_closes_unless_asked():
    two = b"GET /bytes/1 HTTP/1.0\r\n\r\n" * 2
    assert len(answers(serve(two))) == 1
    kept = b"GET /bytes/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2
    assert len(answers(serve(kept))) == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: b", 400),
        (b"GET / HTTP/2.0\r\nHost: b\r\n\r\n", 505),
        (b"\xff\xfe\x00" * 9000, 400),
        (b"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"GET /bytes/-1 HTTP/1.0\r\n\r\n", 404),
        (b"GET /bytes/\xb2 HTTP/1.0\r\n\r\n", 404),
        (b"GET /bytes/ HTTP/1.0\r\n\r\n", 404),
        (b"GET /bytes/99999999999999999999 HTTP/1.0\r\n\r\n", 404),
        (b"GET /../etc/passwd HTTP/1.0\r\n\r\n", 404),
    ],
)
def test_bad_input_gets_an_answer(request_, status):
    [(line, _, _)] = answers(serve(request_))
    assert line.startswith(f"HTTP/1.1 {status} ")


def test_a_client_that_says_nothing_gets_nothing():
    assert serve() == b""
    assert serve(b"\r\n") == b""
