"""The one boundary between a lab and whoever watches and commands it: the same three calls, in-process or across.

`Local` drives a lab of this process. `Remote` speaks to an engine process over a Unix socket (api/messages.py).
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Final, Protocol

from tcplab.api.events import AnyEvent
from tcplab.api.messages import Bye, Do, Down, Fds, Pull, Reply, Up, Update
from tcplab.api.views import LabView
from tcplab.lab import framing, invocation

ANSWER: Final = 60.0
"""Seconds to wait for an answer of the engine: a long `jump` takes its time."""
FAREWELL: Final = 2.0
"""Seconds that an engine gets to end by itself after its screen is gone."""
MOST: Final = 20_000
"""More events than this are never sent in one Update."""

_PORTION: Final = 1 << 16
_MOST_FDS: Final = 4


class SessionEnded(Exception):
    """The engine is gone or refused; `why` in words, `code` the exit code that fits."""

    def __init__(self, why: str, code: int = 3) -> None:
        super().__init__(why)
        self.why = why
        self.code = code


class World(Protocol):
    """What a server needs of the lab's world (engines.world)."""

    def filenos(self) -> list[int]:
        """Descriptors to watch for reading."""
        ...

    def namespace_fds(self, host: str) -> tuple[int, ...]:
        """Descriptors to enter the host's namespaces; EngineError if it has none."""
        ...


class Lab(Protocol):
    """What a session needs of a lab: lab.runner.Runner has it."""

    quit: bool

    @property
    def world(self) -> World:
        """The present world; another object after `restart` and `load`."""
        ...

    @property
    def events(self) -> Sequence[AnyEvent]:
        """The trace of the present world."""
        ...

    def do(self, line: str, by: str = "console") -> Reply:
        """One line of the command language."""
        ...

    def view(self) -> LabView:
        """The lab at this instant."""
        ...

    def timeout(self) -> float | None:
        """Seconds of wall time until `catch_up` has something to do; None: not by itself."""
        ...

    def catch_up(self) -> None:
        """Run what is due by the wall clock."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Session(Protocol):
    """A lab as a screen sees it. All three raise SessionEnded once the lab is gone."""

    def do(self, line: str, by: str = "console") -> Reply:
        """Run one line of the command language."""
        ...

    def pull(self, since: int, most: int = 2000) -> Update:
        """The events from index `since` on, at most the newest `most`, and the lab at this instant."""
        ...

    def close(self) -> None:
        """Leave; a lab that belongs to this session ends."""
        ...


class Local:
    """A session with a lab of this very process: nothing happens between the calls. Also a server's end of one."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._world = lab.world
        self._run = 0

    def do(self, line: str, by: str = "console") -> Reply:
        """Run one line of the command language."""
        return self.lab.do(line, by)

    def pull(self, since: int, most: int = 2000) -> Update:
        """At most the newest `most` (and MOST) events from index `since` on, and a snapshot; see Session."""
        if self.lab.world is not self._world:
            self._world = self.lab.world
            self._run += 1
            since = 0
        events = self.lab.events
        end = len(events)
        since = min(max(since, 0), end)
        first = max(since, end - min(max(most, 0), MOST))
        return Update(first, first - since, tuple(events[first:end]), self.lab.view(), self._run)

    def close(self) -> None:
        """End the lab."""
        self.lab.close()


class Remote:
    """A session with an engine process. Any thread may call; each call waits for its answer (ANSWER seconds)."""

    def __init__(
        self,
        sock: socket.socket,
        process: subprocess.Popen[bytes] | None = None,
        words: IO[bytes] | None = None,
        greets: bool = False,
    ) -> None:
        self._sock = sock
        self._process = process
        self._words = words
        """What the engine wrote to stderr."""
        self._inbox = framing.up()
        self._lock = threading.Lock()
        self._ended: SessionEnded | None = None
        self._greeting: Reply | None = None if greets else Reply("")
        """The Reply with which an engine greets the screen that spawned it; a lab that is joined is ready."""
        sock.settimeout(ANSWER)

    def ready(self) -> Reply:
        """Wait until the engine that was spawned has its lab; SessionEnded with its own words if it could not."""
        with self._lock:
            return self._await_greeting()

    def do(self, line: str, by: str = "console") -> Reply:
        """Run one line of the command language."""
        answer = self._ask(Do(line, by))[0]
        assert isinstance(answer, Reply), answer
        return answer

    def pull(self, since: int, most: int = 2000) -> Update:
        """Events and snapshot; see Session."""
        answer = self._ask(Pull(since, most))[0]
        assert isinstance(answer, Update), answer
        return answer

    def fds(self, host: str) -> tuple[Reply, list[int]]:
        """Descriptors to enter the host's namespaces, in the order of setns(2); the caller closes them.

        None of them, and a Reply that says why, if the engine has no namespaces.
        """
        answer, fds = self._ask(Fds(host))
        assert isinstance(answer, Reply), answer
        return answer, fds

    def close(self) -> None:
        """Leave. An engine that was spawned by this process ends; it is killed if it takes longer than FAREWELL."""
        self._sock.close()
        if self._process is not None:
            try:
                self._process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                try:
                    self._process.kill()
                    self._process.wait()
                except PermissionError:  # root's, and we are not root any more; it watches our end of the socket
                    pass
        if self._words is not None:
            self._words.close()

    def _ask(self, question: Down) -> tuple[Up, list[int]]:
        with self._lock:
            self._await_greeting()
            try:
                self._sock.sendall(framing.pack(question))
            except (BrokenPipeError, ConnectionResetError):
                pass  # its last words may still be there to be read
            except OSError as error:
                raise self._end(f"the engine cannot be reached: {error}") from error
            return self._receive()

    def _await_greeting(self) -> Reply:
        if self._ended is not None:
            raise self._ended
        if self._greeting is None:
            answer = self._receive()[0]
            assert isinstance(answer, Reply), answer
            self._greeting = answer
        return self._greeting

    def _receive(self) -> tuple[Up, list[int]]:
        """One message and the descriptors that came with it."""
        fds: list[int] = []
        try:
            while (message := self._inbox.next()) is None:
                octets, some, _, _ = socket.recv_fds(self._sock, _PORTION, _MOST_FDS)
                fds += some
                if not octets:
                    raise self._end(self._last_words())
                self._inbox.feed(octets)
        except TimeoutError as error:
            raise self._end(f"the engine has not answered for {ANSWER:.0f} s") from error
        except ConnectionResetError as error:
            raise self._end(self._last_words()) from error
        except OSError as error:
            raise self._end(f"the engine cannot be reached: {error}") from error
        except framing.FramingError as error:
            raise self._end(f"the engine's answer makes no sense: {error}") from error
        if isinstance(message, Bye):
            raise self._end(message.why, message.code)
        return message, fds

    def _end(self, why: str, code: int = 3) -> SessionEnded:
        self._ended = SessionEnded(why, code)
        return self._ended

    def _last_words(self) -> str:
        """Why an engine is gone that did not say so itself."""
        said = ""
        if self._words is not None:
            self._words.seek(0)
            said = self._words.read().decode(errors="replace").strip()
        return f"the engine ended: {said.splitlines()[-1]}" if said else "the engine is gone"


def spawn_engine(lab: str | None, engine: str = "auto", seed: int | None = None, rate: str | None = None) -> Remote:
    """Start an engine process with a lab (None: free play), and return at once; `Remote.ready` waits for it.

    `engine`: veth, sim, or auto (veth where it works). `rate`: as the language's `rate` wants it. The process has
    its own session, so that no key of the terminal reaches it, and ends when this end of its socket is closed.
    """
    ours, theirs = socket.socketpair()
    words = tempfile.TemporaryFile()  # noqa: SIM115  Remote closes it
    command = [*invocation.command(), "engine", "--fd", str(theirs.fileno()), "--engine", engine]
    for option, value in (("--lab", lab), ("--seed", seed), ("--rate", rate)):
        if value is not None:
            command += [option, str(value)]
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=os.environ | invocation.environment(),
        )
    return Remote(ours, process, words, greets=True)
