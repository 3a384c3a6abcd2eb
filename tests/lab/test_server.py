"""The engine's server: questions and answers, unwelcome and slow clients, the end of the screen."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.fake_lab import FakeLab

from tcplab.api.messages import Bye, Do, Fds, Pull, Reply, Update
from tcplab.lab import framing, rendezvous
from tcplab.lab.rendezvous import Guests, open_door, peer_of
from tcplab.lab.server import MOST_GUESTS, Server
from tcplab.lab.session import Remote, SessionEnded

linux = pytest.mark.skipif(not os.path.exists("/proc/net/unix"), reason="abstract Unix sockets are Linux's")


class Strict(Guests):
    """Nobody may come in."""

    def welcome(self, uid: int) -> bool:
        return False


@contextmanager
def serving(lab: FakeLab, door: socket.socket | None = None, guests: Guests | None = None) -> Iterator[Remote]:
    """A server in a thread; the session of its screen. At the end the screen leaves, and the server must end."""
    ours, theirs = socket.socketpair()
    server = Server(lab, guests or Guests(), theirs, door)
    failures: list[BaseException] = []
    thread = threading.Thread(target=guarded(server.serve, failures))
    thread.start()
    screen = Remote(ours, greets=True)
    try:
        assert screen.ready() == Reply("a notice")
        yield screen
    finally:
        screen.close()
        thread.join(10)
        assert not thread.is_alive()
        assert not failures or isinstance(failures[0], AssertionError)


def guarded(serve: Callable[[], None], failures: list[BaseException]) -> Callable[[], None]:
    def run() -> None:
        try:
            serve()
        except AssertionError as failure:
            failures.append(failure)

    return run


def guest() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(f"\0tcplab-{os.geteuid()}-{os.getpid()}")
    sock.settimeout(10)
    return sock


def at_end(sock: socket.socket) -> bool:
    """The other end closed, with or without a last word."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    sock.close()
    return True


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    monkeypatch.delenv("SUDO_UID", raising=False)
    found = open_door()
    assert found is not None
    return found


def test_a_screen_does_and_pulls() -> None:
    with serving(FakeLab()) as screen:
        assert screen.do("play") == Reply("console: play")
        update = screen.pull(0)
        assert [event.line for event in update.events] == ["play"]
        assert update.view.seed == 1


def test_a_large_answer_arrives_whole() -> None:
    with serving(FakeLab()) as screen:
        for _ in range(3):
            screen.do("x" * 60_000)
        assert [len(event.line) for event in screen.pull(0).events] == [60_000] * 3


def test_quit_ends_the_lab_for_everybody() -> None:
    with serving(FakeLab()) as screen:
        assert screen.do("quit").code == 0
        with pytest.raises(SessionEnded, match="the lab has ended"):
            screen.pull(0)


def test_a_bug_of_ours_is_named_with_its_place() -> None:
    with serving(FakeLab()) as screen, pytest.raises(SessionEnded, match=r"AssertionError: a bug at .*fake_lab.py:\d+"):
        screen.do("crash")


@linux
def test_a_guest_speaks_as_remote_and_may_leave(door: socket.socket) -> None:
    lab = FakeLab()
    with serving(lab, door) as screen:
        second = Remote(guest())
        assert second.do("pause", by="script") == Reply("remote: pause")
        second.close()
        assert screen.pull(0).events[0].by == "remote"


@linux
@pytest.mark.parametrize(
    "octets",
    [struct.pack(">I", 1 << 31), struct.pack(">I", 3) + b"\xff\xff\xff", framing.pack(Bye("no question"))],
    ids=["too long", "no msgpack", "wrong message"],
)
def test_what_is_no_message_ends_only_its_sender(door: socket.socket, octets: bytes) -> None:
    with serving(FakeLab(), door) as screen:
        stranger = guest()
        stranger.sendall(octets)
        assert at_end(stranger)
        assert screen.do("play").code == 0


@linux
def test_a_client_that_does_not_read_holds_up_nobody(door: socket.socket) -> None:
    with serving(FakeLab(), door) as screen:
        for _ in range(20):
            screen.do("x" * 50_000)
        lazy = guest()
        lazy.sendall(framing.pack(Pull(0)) * 50)
        assert all(screen.do("play").code == 0 for _ in range(20))
        lazy.close()
        assert screen.do("play").code == 0


@linux
def test_questions_sent_at_once_are_answered_in_order(door: socket.socket) -> None:
    with serving(FakeLab(), door):
        eager = guest()
        eager.sendall(b"".join(framing.pack(Do(str(number))) for number in range(100)))
        inbox, answers = framing.up(), []
        while len(answers) < 100:
            inbox.feed(eager.recv(4096))
            while (answer := inbox.next()) is not None:
                answers.append(answer)
        assert answers == [Reply(f"remote: {number}") for number in range(100)]
        eager.close()


@linux
def test_who_is_not_welcome_is_told_so(door: socket.socket) -> None:
    with serving(FakeLab(), door, Strict()):
        session = Remote(guest())
        with pytest.raises(SessionEnded, match="another user") as ended:
            session.do("play")
        assert ended.value.code == 4
        session.close()


@linux
def test_the_house_is_full_at_some_point(door: socket.socket) -> None:
    with serving(FakeLab(), door) as screen:
        inside = [Remote(guest()) for _ in range(MOST_GUESTS - 1)]
        assert all(session.do("play").code == 0 for session in inside)
        late = Remote(guest())
        with pytest.raises(SessionEnded, match="connected"):
            late.do("play")
        for session in [*inside, late]:
            session.close()
        assert screen.do("play").code == 0


@linux
def test_descriptors_cross(door: socket.socket) -> None:
    lab = FakeLab()
    with serving(lab, door):
        session = Remote(guest())
        reply, fds = session.fds("a")
        assert (reply.code, fds) == (3, [])
        receive, send = os.pipe()
        lab.world.fds = {"a": (receive, send)}
        reply, fds = session.fds("a")
        assert reply.code == 0
        assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(fd).st_ino for fd in (receive, send)]
        assert session.fds("c")[0].code == 2
        for fd in (receive, send, *fds):
            os.close(fd)
        session.close()


def test_the_worlds_descriptors_are_watched_also_after_a_restart() -> None:
    lab = FakeLab()
    receive, send = os.pipe()
    lab.world.watched = [receive]
    with serving(lab) as screen:
        screen.do("restart")
        before = lab.caught_up
        os.write(send, b"x")  # nobody watches it any more
        screen.do("play")
        assert lab.caught_up <= before + 2
        lab.world.watched = [receive]
        screen.do("play")
        busy = lab.caught_up
        screen.pull(0)
        os.read(receive, 1)
        assert lab.caught_up > busy
    os.close(receive)
    os.close(send)


@linux
def test_a_running_lab_is_found_by_its_person(door: socket.socket) -> None:
    with serving(FakeLab(), door):
        assert [(lab.pid, lab.uid) for lab in rendezvous.running() if lab.pid == os.getpid()] == [
            (os.getpid(), os.geteuid())
        ]
        session = rendezvous.connect(os.getpid())
        assert session.do("play") == Reply("remote: play")
        session.close()
    with pytest.raises(rendezvous.NoLab):
        rendezvous.connect(os.getpid())


def test_a_peer_is_known_by_its_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == (os.getpid(), os.geteuid())


def test_guests_are_the_person_and_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("SUDO_UID", raising=False)
    plain = Guests()
    assert [plain.welcome(uid) for uid in (1000, 0, 1001, 65534)] == [True, True, False, False]
    monkeypatch.setattr(os, "geteuid", lambda: 65534)  # in a user namespace whose map was refused: all are nobody
    assert [plain.welcome(uid) for uid in (0, 1000, 65534)] == [False, False, False]


def test_guests_under_sudo_are_root_and_who_typed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")
    guests = Guests()
    assert [guests.welcome(uid) for uid in (1000, 0, 1001, 65534)] == [True, True, False, False]


def test_update_and_fds_are_messages_of_their_own_kind() -> None:
    inbox = framing.down()
    inbox.feed(framing.pack(Fds("a")))
    assert inbox.next() == Fds("a")
    assert Update.__struct_fields__[-1] == "run"
