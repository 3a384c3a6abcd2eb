"""The engine process: one thread that runs a lab and answers whoever watches it.

It waits for four things at once: the screen that started it (whose end is its own end), guests at the door (a second
terminal), the world's packet sockets, and the time of the next event. Nobody can hold it up: sockets never block, a
question is answered only when the answer before it has been taken, and each turn serves one question per client.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable
from typing import Final

from tcplab.api.messages import Bye, Do, Down, Fds, Pull, Reply, Up
from tcplab.engines.errors import PERMISSION, EngineError
from tcplab.lab import framing
from tcplab.lab.rendezvous import Guests, peer_of
from tcplab.lab.session import Lab, Local

MOST_GUESTS: Final = 16

_PORTION: Final = 1 << 16


class Client:
    """One connected socket: octets in, one question at a time, one answer out."""

    def __init__(self, sock: socket.socket, session: Local, screen: bool) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.session = session
        self.screen = screen
        self.inbox = framing.down()
        self.question: Down | None = None
        self.gone = False
        self._outbox = memoryview(b"")
        self._fds: tuple[int, ...] = ()

    @property
    def interest(self) -> int:
        """What the selector must watch: an answer that is not taken yet comes before any new question."""
        return selectors.EVENT_WRITE if self._outbox else selectors.EVENT_READ

    def read(self) -> None:
        """Take what came, unless there is a question to answer first. An end makes the client `gone`."""
        if self.question is not None:
            return
        try:
            octets = self.sock.recv(_PORTION)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self.gone = True
            return
        self.inbox.feed(octets)

    def look(self) -> bool:
        """Is there a question that can be answered now? It is in `question` then. What is none ends the client."""
        if self.gone or self._outbox:
            return False
        if self.question is None:
            try:
                self.question = self.inbox.next()
            except framing.FramingError:
                self.gone = True
        return self.question is not None

    def put(self, answer: Up, fds: tuple[int, ...] = ()) -> None:
        """Begin to send the answer, with descriptors."""
        self._outbox = memoryview(framing.pack(answer))
        self._fds = fds
        self.flush()

    def flush(self) -> None:
        """Send as much as the socket takes."""
        try:
            while self._outbox:
                if self._fds:
                    taken = socket.send_fds(self.sock, [self._outbox], list(self._fds))
                    self._fds = ()
                else:
                    taken = self.sock.send(self._outbox)
                self._outbox = self._outbox[taken:]
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True

    def close(self, bye: Bye | None = None) -> None:
        """Close, with a last word if the socket takes it."""
        if bye is not None and not self._outbox:
            with contextlib.suppress(OSError):
                self.sock.send(framing.pack(bye))
        self.sock.close()


class Server:
    """Serves one lab. `screen` is the inherited socket, `door` a listening one; without a screen the caller says when
    it is over.

    `guests` decides who may come in by the door: make it before the lab makes a user namespace.
    """

    def __init__(
        self, lab: Lab, guests: Guests, screen: socket.socket | None = None, door: socket.socket | None = None
    ) -> None:
        self._lab = lab
        self._guests = guests
        self._door = door
        self._selector = selectors.DefaultSelector()
        self._clients: list[Client] = []
        self._world = lab.world
        self._watched: set[int] = set()
        if door is not None:
            self._selector.register(door, selectors.EVENT_READ)
        if screen is not None:
            self._add(screen, screen=True)

    def serve(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run the lab until its screen is gone, `quit` was said, or `until` is true; everybody gets a Bye."""
        why = Bye("the engine failed", 1)
        try:
            over = False
            while not over:
                self._watch_world()
                self._turn()
                over = self._lab.quit or until() or any(client.gone and client.screen for client in self._clients)
                self._bury()
            why = Bye("the lab has ended")
        except Exception as error:
            why = Bye(f"the engine failed: {_where(error)}", 1)
            raise
        finally:
            for client in self._clients:
                client.close(why)
            self._selector.close()
            if self._door is not None:
                self._door.close()

    def _turn(self) -> None:
        """Wait for something, and do what is due."""
        waiting = any(client.look() for client in self._clients)
        for key, ready in self._selector.select(0 if waiting else self._lab.timeout()):
            if key.fileobj is self._door:
                self._welcome()
            elif isinstance(key.data, Client):
                if ready & selectors.EVENT_WRITE:
                    key.data.flush()
                else:
                    key.data.read()
        self._lab.catch_up()
        for client in self._clients:
            if client.look():
                self._answer(client)
            if not client.gone:
                self._selector.modify(client.sock, client.interest, client)

    def _answer(self, client: Client) -> None:
        question, client.question = client.question, None
        if isinstance(question, Pull):
            client.put(client.session.pull(question.since, question.most))
        elif isinstance(question, Do):
            client.put(client.session.do(question.line, question.by if client.screen else "remote"))
        elif isinstance(question, Fds):
            try:
                client.put(Reply(""), self._lab.world.namespace_fds(question.host))
            except EngineError as error:
                client.put(Reply(error.text, error.code))
            except KeyError:
                client.put(Reply(f"no host {question.host!r}; the hosts are a and b", 2))

    def _welcome(self) -> None:
        """Somebody is at the door: the person whose lab it is, or root."""
        assert self._door is not None
        try:
            sock, _ = self._door.accept()
        except OSError:  # it left again, or there are no descriptors left
            return
        try:
            if not self._guests.welcome(peer_of(sock)[1]):
                _refuse(sock, Bye("this lab belongs to another user", PERMISSION))
            elif len(self._clients) >= MOST_GUESTS:
                _refuse(sock, Bye(f"{MOST_GUESTS} terminals are connected to this lab already"))
            else:
                self._add(sock)
        except OSError:
            sock.close()

    def _add(self, sock: socket.socket, screen: bool = False) -> None:
        client = Client(sock, Local(self._lab), screen)
        self._clients.append(client)
        self._selector.register(sock, client.interest, client)
        if screen:
            client.put(Reply(self._lab.view().notice))

    def _bury(self) -> None:
        """Forget the clients that left."""
        for client in [client for client in self._clients if client.gone]:
            self._clients.remove(client)
            self._selector.unregister(client.sock)
            client.close()

    def _watch_world(self) -> None:
        """Watch the present world's sockets: another world after `restart`, none while the lab is paused."""
        world = self._lab.world
        wanted = set(world.filenos())
        if world is not self._world:  # its descriptors are closed; new ones may have the same numbers
            kept: set[int] = set()
            self._world = world
        else:
            kept = self._watched & wanted
        for fd in self._watched - kept:
            self._selector.unregister(fd)
        for fd in wanted - kept:
            self._selector.register(fd, selectors.EVENT_READ)
        self._watched = wanted


def _refuse(sock: socket.socket, why: Bye) -> None:
    sock.setblocking(False)
    sock.send(framing.pack(why))
    sock.close()


def _where(error: Exception) -> str:
    """The error and the place in the source, in one line."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    at = f" at {place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return f"{type(error).__name__}: {error}{at}"
