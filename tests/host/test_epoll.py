"""An epoll descriptor lets go of its sockets, and they of it (epoll(7)); what it tells is in tests/pkt/sockets."""

from __future__ import annotations

import errno

from support.pair import Pair

ADD, DEL = 1, 2
IN = 1


def watching() -> tuple[Pair, int, int, int]:
    """Two epoll descriptors that watch one socket."""
    pair = Pair()
    fd = pair.call("a", "socket")
    first, second = pair.call("a", "epoll_create"), pair.call("a", "epoll_create")
    for epoll in (first, second):
        assert pair.call("a", "epoll_ctl", epoll, ADD, fd, IN, 7) is None
    return pair, fd, first, second


def test_close_of_the_epoll_descriptor() -> None:
    pair, fd, first, second = watching()
    assert pair.call("a", "close", first) is None
    assert [watch.epoll for watch in pair.a.sockets[fd].watches] == [pair.a.epolls[second]]
    assert pair.errno("a", "epoll_wait", first, 1) == errno.EBADF


def test_close_of_the_socket() -> None:
    pair, fd, first, second = watching()
    assert pair.call("a", "close", fd) is None
    assert not pair.a.epolls[first].watches
    assert not pair.a.epolls[second].watches


def test_del_of_one() -> None:
    pair, fd, first, second = watching()
    assert pair.call("a", "epoll_ctl", first, DEL, fd, 0, 0) is None
    assert [watch.epoll for watch in pair.a.sockets[fd].watches] == [pair.a.epolls[second]]
    assert pair.errno("a", "epoll_ctl", first, DEL, fd, 0, 0) == errno.ENOENT
