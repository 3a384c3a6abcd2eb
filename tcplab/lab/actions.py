"""What the lines of the command language do to a world: socket calls, rules on the wire, the third party."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tcplab.api.events import AnyEvent, Called, Injected, Named, StateChanged
from tcplab.api.views import ConnView, HostView
from tcplab.engines import apps, http
from tcplab.engines.addresses import ADDRESS, MAC
from tcplab.engines.apps import Task
from tcplab.engines.world import World
from tcplab.lab.errors import LabError
from tcplab.lab.language import Command
from tcplab.link import inject
from tcplab.link.match import Match
from tcplab.link.stages import Delay, Drop, Duplicate, Mark
from tcplab.tcp import user
from tcplab.tcp.profile import PROFILES
from tcplab.units import SEC
from tcplab.wire import ipv4

MOST_FLOOD: Final = 10_000
_OTHER: Final = {"a": "b", "b": "a"}
_DEFAULT_BACKLOG: Final = 16


class Stage:
    """The actors of one run: which name stands for which socket, and what became of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tasks: dict[tuple[str, str], Task] = {}
        """(host, name) -> the task that opened or accepts the connection."""
        self.names: dict[str, dict[str, str]] = {}
        """Name -> host -> connection, as that host calls it."""
        self.states: dict[tuple[str, str], str] = {}
        """(host, connection) -> the state that it entered last."""
        self.changes = 0
        """How many states were entered so far."""
        self._flood_dice = world.rng.stream("x/flood")
        """For all floods of the run: a second one comes from other addresses."""
        world.subscribe(self._listen)

    def act(self, command: Command) -> str:
        """Do it; a line for the person. LabError: it makes no sense now. OSError: the host refuses."""
        return _ACTIONS[command.keyword](self, command)

    def alias(self, host: str, conn: str) -> str:
        """What the script calls the connection that `host` calls `conn`; its own host's name goes first."""
        mine = [name for (owner, name) in self.tasks if owner == host and self.names.get(name, {}).get(host) == conn]
        others = [name for name, labels in self.names.items() if labels.get(host) == conn]
        return next(iter([*mine, *others]), "")

    def state(self, host: str, name: str) -> str:
        """The state of a named connection on `host`; CLOSED when nothing is known of it."""
        label = self.names.get(name, {}).get(host, "")
        return self.states.get((host, label), "CLOSED")

    def _listen(self, event: AnyEvent) -> None:
        if isinstance(event, StateChanged):
            self.states[event.host, event.conn] = event.new
            self.changes += 1
        elif isinstance(event, Called) and event.op == "accept" and event.conn:
            task = self.tasks.get((event.host, event.app))
            if task is not None and event.app not in self.names:
                self._name(event.host, event.app, event.conn)

    def _name(self, host: str, name: str, conn: str) -> None:
        """From now on `name` is that connection, on both hosts."""
        local, _, peer = conn.partition(">")
        self.names[name] = {host: conn}
        now = self.world.loop.now
        self.world.emit(Named(now, host, name, conn, host))
        if local.partition(":")[0] != peer.partition(":")[0]:  # a connection to the host itself has no other host
            other = f"{peer}>{local}"
            self.names[name][_OTHER[host]] = other
            self.world.emit(Named(now, _OTHER[host], name, other, host))

    # --- sockets ---

    def listen(self, command: Command) -> str:
        """HOST listen"""
        backlog = command.get("backlog", _DEFAULT_BACKLOG)
        task = self.world.apps.start(command["host"], f":{command['port']}", apps.listen(command["port"], backlog))
        _raise(task)
        return f"{command['host']} listens on port {command['port']}, backlog {backlog}"

    def serve(self, command: Command) -> str:
        """HOST serve"""
        host, port, service = command["host"], command["port"], command["service"]
        backlog = command.get("backlog", _DEFAULT_BACKLOG)
        program = http.http_server(port, backlog, host) if service == "http" else apps.echo_server(port, backlog)
        _raise(self.world.apps.start(host, service, program))
        return f"{host} serves {service} on port {port}"

    def accept(self, command: Command) -> str:
        """HOST accept"""
        host, name = command["host"], self._new_name(command)
        program = apps.accept_one(self._listener(command, host, command["port"]))
        self.tasks[host, name] = self.world.apps.start(host, name, program)
        for event in reversed(self.world.events):  # it may have been there already
            if isinstance(event, Called) and (event.host, event.app, event.op) == (host, name, "accept"):
                self._listen(event)
                break
        return f"{name} is what {host} accepts next on port {command['port']}"

    def connect(self, command: Command) -> str:
        """HOST connect"""
        host, name = command["host"], self._new_name(command)
        target, port = command["target"]
        source = command.get("from")
        setup: tuple[tuple[object, ...], ...] = (
            (("setsockopt", "SO_REUSEADDR", 1), ("bind", 0, source)) if source else ()
        )
        task = self.world.apps.start(
            host, name, apps.connect(ADDRESS[target], port, setup, command.get("fastopen", b""))
        )
        self.tasks[host, name] = task
        conn = self.world.call(host, "conn", task.fd) if task.fd >= 0 else ""
        if conn:
            self._name(host, name, conn)
        _raise(task)
        return f"{name}: {host} connects to {target}:{port}"

    def send(self, command: Command) -> str:
        """HOST send"""
        flags = user.MSG_MORE * command["more"] | user.MSG_EOR * command["eor"]
        self._start(command, apps.send_all(self._fd(command), command["data"], flags))
        return f"{command['name']}: sends {len(command['data'])} octets"

    def recv(self, command: Command) -> str:
        """HOST recv"""
        flags = user.MSG_PEEK * command["peek"]
        self._start(command, apps.recv_some(self._fd(command), command["count"], flags))
        return f"{command['name']}: receives up to {command['count']} octets"

    def shutdown(self, command: Command) -> str:
        """HOST shutdown"""
        self._start(command, apps.single("shutdown", self._fd(command), command["how"]))
        return f"{command['name']}: shut down, {command['how']}"

    def close(self, command: Command) -> str:
        """HOST close"""
        host, fd, app = self._socket(command)
        target = command["socket"]
        _raise(self.world.apps.start(host, app, apps.single("close", fd)))
        return f"{host} closes the listener on port {target}" if target.isdigit() else f"{target}: {host} closes"

    def abort(self, command: Command) -> str:
        """HOST abort"""
        self._start(command, apps.single("abort", self._fd(command)))
        return f"{command['name']}: {command['host']} aborts"

    def setsockopt(self, command: Command) -> str:
        """HOST setsockopt"""
        first, second = command["value"], command.get("number")
        value = first if second is None else (first, second)
        host, fd, app = self._socket(command)
        _raise(self.world.apps.start(host, app, apps.single("setsockopt", fd, command["option"], value)))
        return f"{command['socket']}: {command['option']} = {value}"

    def getsockopt(self, command: Command) -> str:
        """HOST getsockopt"""
        host, fd, app = self._socket(command)
        task = self.world.apps.start(host, app, apps.single("getsockopt", fd, command["option"]))
        _raise(task)
        return f"{command['socket']}: {command['option']} = {_shown(task.result)}"

    def tcp_info(self, command: Command) -> str:
        """HOST tcp_info"""
        host, fd, _ = self._socket(command)
        return _shown(self.world.call(host, "getsockopt", fd, "TCP_INFO"))

    def sysctl(self, command: Command) -> str:
        """HOST sysctl"""
        name, value = command["setting"]
        self.world.call(command["host"], "sysctl", name, value)
        return f"{command['host']}: {name} = {value}"

    def profile(self, command: Command) -> str:
        """HOST profile"""
        name = command["profile"]
        self.world.call(command["host"], "profile", name)
        return f"{command['host']}: profile {name}: {PROFILES[name].text}"

    def _start(self, command: Command, program: apps.Program) -> None:
        _raise(self.world.apps.start(command["host"], command["name"], program))

    def _socket(self, command: Command) -> tuple[str, int, str]:
        """Host, descriptor, and what its calls are shown under: a connection's name, or a listener's port."""
        host, target = command["host"], command["socket"]
        if target.isdigit():
            return host, self._listener(command, host, int(target)), f":{target}"
        command.values["name"] = target
        return host, self._fd(command), target

    def _new_name(self, command: Command) -> str:
        name: str = command["name"]
        if (command["host"], name) in self.tasks:
            raise LabError(command.where, f"{name} is there already; take another name")
        return name

    def _fd(self, command: Command) -> int:
        """The descriptor behind a name on this host: its own, or the one that took the other host's connection."""
        host, name = command["host"], command["name"]
        task = self.tasks.get((host, name))
        if task is not None and task.fd >= 0:
            return task.fd
        label = self.names.get(name, {}).get(host, "")
        for conn in self.view(host).conns:
            if conn.conn == label and conn.fd >= 0:
                return conn.fd
        if label and task is None:
            raise LabError(
                command.where, f"no application on {host} has {name} open; first: {host} accept PORT as NAME"
            )
        if task is not None:
            raise LabError(command.where, f"{name} waits in accept(): there is no connection yet")
        known = sorted(other for owner, other in self.tasks if owner == host)
        there = f"{host} has {', '.join(known)}" if known else f"{host} has no connection with a name"
        raise LabError(command.where, f"no {name!r} on {host}; {there}")

    def _listener(self, command: Command, host: str, port: int) -> int:
        for listener in self.view(host).listeners:
            if listener.port == port:
                return listener.fd
        raise LabError(command.where, f"nothing listens on {host}:{port}; first: {host} listen {port}")

    def view(self, host: str) -> HostView:
        """The host now."""
        return self.world.hosts[host].view(self.world.loop.now)

    # --- the wire ---

    def drop(self, command: Command) -> str:
        """drop"""
        self.world.link.add(Drop(self._match(command), command.line))
        return f"on the wire: {command.line}"

    def delay(self, command: Command) -> str:
        """delay"""
        self.world.link.add(Delay(self._match(command), command["time"], command.line, command.get("jitter", 0)))
        return f"on the wire: {command.line}"

    def dup(self, command: Command) -> str:
        """dup"""
        self.world.link.add(Duplicate(self._match(command), command.line))
        return f"on the wire: {command.line}"

    def ce(self, command: Command) -> str:
        """ce"""
        self.world.link.add(Mark(self._match(command), command.line))
        return f"on the wire: {command.line}"

    def clear(self, command: Command) -> str:
        """clear"""
        count = len(self.world.link.rules)
        self.world.link.clear()
        return f"{count} rules taken off the wire"

    def _match(self, command: Command) -> Match:
        flow = None
        name = command.get("conn")
        if name is not None:
            if name not in self.names:
                raise LabError(command.where, f"no connection {name!r} yet: a rule for it comes after its connect")
            here, _, there = next(iter(self.names[name].values())).partition(">")
            flow = (*_endpoint(here), *_endpoint(there))
        return Match(
            command["dir"], command.get("flags"), command.get("data", False), command.get("nth"),
            ppm=command.get("p"), flow=flow,
        )  # fmt: skip

    # --- the third party ---

    def flood(self, command: Command) -> str:
        """inject flood"""
        host, port = command["target"]
        rate, count = command["rate"], command["count"]
        if count > MOST_FLOOD:
            raise LabError(command.where, f"count={count} is too many; a flood has at most {MOST_FLOOD} SYNs")
        frames = inject.syn_flood(self._flood_dice, ADDRESS[host], port, MAC[host], count)
        self._tell(f"SYN flood to {host}:{port}, {rate}/s, {count} in all")
        self._flood_on(host, frames, SEC // rate)
        return f"{count} SYNs from forged addresses on their way to {host}:{port}"

    def _flood_on(self, host: str, frames: Iterator[bytes], pause: int) -> None:
        frame = next(frames, None)
        if frame is None:
            return
        self.world.inject(host, frame, "forged: part of a SYN flood, from an address that nobody has", "RFC 4987 2")
        self.world.loop.at(self.world.loop.now + pause, lambda: self._flood_on(host, frames, pause), "flood: next SYN")

    def rst(self, command: Command) -> str:
        """inject rst"""
        host, name, where = command["to"], command["name"], command.get("seq", "exact")
        conn = self._victim(command, host, name)
        here, _, there = conn.conn.partition(">")
        victim = inject.Victim(MAC[host], (*_endpoint(there), *_endpoint(here)), conn.rcv_nxt, conn.rcv_wnd)
        which: str | int = where if where in inject.PLACES else int(where)
        self._tell(f"RST to {host}, as if from {there}, sequence number {where}")
        self.world.inject(host, inject.rst(victim, which), f"forged RST, sequence number {where}", "RFC 5961 3")
        return f"a forged RST is on its way to {host}"

    def _victim(self, command: Command, host: str, name: str) -> ConnView:
        label = self.names.get(name, {}).get(host)
        found = next((conn for conn in self.view(host).conns if conn.conn == label), None)
        if found is None:
            known = ", ".join(sorted(self.names)) or "none"
            raise LabError(command.where, f"{host} has no connection {name!r} now; named so far: {known}")
        return found

    def _tell(self, text: str) -> None:
        self.world.emit(Injected(self.world.loop.now, text))


def _endpoint(text: str) -> tuple[int, int]:
    addr, _, port = text.rpartition(":")
    return ipv4.address(addr), int(port)


def _shown(value: object) -> str:
    """What getsockopt() gave; of TCP_INFO a line for each field."""
    if isinstance(value, dict):
        return "\n".join(f"{name} {number}" for name, number in value.items())
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _raise(task: Task) -> None:
    """A call that failed at once is the line's own failure."""
    if task.error is not None:
        raise task.error


_ACTIONS: Final[dict[str, Callable[[Stage, Command], str]]] = {
    "listen": Stage.listen,
    "serve": Stage.serve,
    "accept": Stage.accept,
    "connect": Stage.connect,
    "send": Stage.send,
    "recv": Stage.recv,
    "shutdown": Stage.shutdown,
    "close": Stage.close,
    "abort": Stage.abort,
    "setsockopt": Stage.setsockopt,
    "getsockopt": Stage.getsockopt,
    "tcp_info": Stage.tcp_info,
    "sysctl": Stage.sysctl,
    "profile": Stage.profile,
    "drop": Stage.drop,
    "delay": Stage.delay,
    "dup": Stage.dup,
    "ce": Stage.ce,
    "clear": Stage.clear,
    "inject flood": Stage.flood,
    "inject rst": Stage.rst,
}
