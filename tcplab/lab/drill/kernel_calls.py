"""The system calls of a script, made for real: plain arguments in, results and what the kernel wrote out."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tcplab.engines.libc import check, libc
from tcplab.engines.tcp_info import cc_info, tcp_info
from tcplab.engines.tun import TunHost
from tcplab.lab.drill import symbols
from tcplab.lab.drill.script import NULL
from tcplab.lab.drill.stack import UNSPECIFIED, Outcome

_TCP_INFO: Final = 11
_TCP_CC_INFO: Final = 26
_SO_LINGER: Final = (socket.SOL_SOCKET, socket.SO_LINGER)
_SOCK_TYPE: Final = 0xF
_LONGEST_OPTION: Final = 1024
_ROOM_FOR_CONTROL: Final = 4096
_ERRORS: Final = ((0, 11), (41, 25))
"""(SOL_IP, IP_RECVERR) and (SOL_IPV6, IPV6_RECVERR)."""
_TIMESTAMP: Final = (socket.SOL_SOCKET, 37)
"""SCM_TIMESTAMPING."""
_SO_MEMINFO: Final = 55
_MEMINFO: Final = "RMEM_ALLOC RCVBUF WMEM_ALLOC SNDBUF FWD_ALLOC WMEM_QUEUED OPTMEM BACKLOG DROPS"
_SECOND: Final = 1_000_000_000


class Syscalls:
    """The calls on one host; it holds the descriptors that the script has open."""

    def __init__(self, host: TunHost, local: str, remote: str) -> None:
        self.host = host
        self.local, self.remote = local, remote
        self.open: set[int] = set()
        self.epolls: dict[int, select.epoll] = {}
        self.watched: dict[tuple[int, int], int] = {}
        """(epoll descriptor, descriptor) -> what the script wants told about it."""
        self.epoch = 0
        """When the script began, by CLOCK_REALTIME in nanoseconds."""
        self.congestion = ""
        """The congestion control of new sockets. As a namespace's default the kernel takes only those that the whole
        machine allows to everybody; a socket may have any."""

    @staticmethod
    def named(name: str) -> Callable[[Syscalls, dict[str, Any]], Outcome] | None:
        """The call of that name."""
        return _CALLS.get(name)

    def _mine(self, fd: int) -> int:
        """Only the script's own descriptors: others of this process are none of its business."""
        if fd not in self.open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return fd

    @contextmanager
    def _socket_of(self, fd: int) -> Iterator[socket.socket]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=self._mine(fd))
        try:
            yield sock
        finally:
            sock.detach()

    def _new(self, fd: int, **out: Any) -> Outcome:
        self.open.add(fd)
        return Outcome(fd, out=out)

    def _address(self, address: tuple[str, int], default: str) -> tuple[str, int]:
        return address[0] or default, address[1]

    def _raw_address(self, address: tuple[str, int] | None) -> tuple[bytes | None, int]:
        """struct sockaddr_in and its length."""
        if address is None:
            return None, 0
        family = 0 if address == UNSPECIFIED else int(socket.AF_INET)
        host = socket.inet_aton("0.0.0.0" if address == UNSPECIFIED else address[0] or self.remote)
        return struct.pack("=H", family) + struct.pack("!H4s8x", address[1], host), 16

    # --- sockets --------------------------------------------------------------------------------------------

    def _socket(self, args: dict[str, Any]) -> Outcome:
        outcome = self._new(self.host.socket(args["type"]))
        if self.congestion and args["type"] & _SOCK_TYPE == socket.SOCK_STREAM:
            with self._socket_of(outcome.value) as sock:
                sock.setsockopt(socket.SOL_TCP, socket.TCP_CONGESTION, self.congestion.encode())
        return outcome

    def _bind(self, args: dict[str, Any]) -> Outcome:
        with self._socket_of(args["fd"]) as sock:
            sock.bind(self._address(args["address"], self.local))
        return Outcome()

    def _listen(self, args: dict[str, Any]) -> Outcome:
        with self._socket_of(args["fd"]) as sock:
            backlog = args["backlog"]
            sock.listen(
                backlog if backlog >= 0 else 0x7FFFFFFF
            )  # Python takes a negative one for 0, Linux for the most
        return Outcome()

    def _accept(self, args: dict[str, Any]) -> Outcome:
        with self._socket_of(args["fd"]) as sock:
            new, (_, port) = sock._accept()  # type: ignore[attr-defined]  # accept() would wrap it
        if args.get("flags", 0) & os.O_NONBLOCK:
            os.set_blocking(new, False)
        return self._new(new, port=port)

    def _connect(self, args: dict[str, Any]) -> Outcome:
        with self._socket_of(args["fd"]) as sock:
            if args["address"] == UNSPECIFIED:
                check(libc.connect(sock.fileno(), bytes(16), 16))
            else:
                sock.connect(self._address(args["address"], self.remote))
        return Outcome()

    def _shutdown(self, args: dict[str, Any]) -> Outcome:
        with self._socket_of(args["fd"]) as sock:
            sock.shutdown(args["how"])
        return Outcome()

    def _close(self, args: dict[str, Any]) -> Outcome:
        fd = self._mine(args["fd"])
        self.open.discard(fd)
        poller = self.epolls.pop(fd, None)
        if poller is not None:
            poller.close()
        else:
            os.close(fd)
        return Outcome()

    def _names(self, args: dict[str, Any], name: str) -> Outcome:
        with self._socket_of(args["fd"]) as sock:
            getattr(sock, name)()
        return Outcome()

    # --- data -----------------------------------------------------------------------------------------------

    def _null(self, name: str, args: dict[str, Any], *more: Any) -> Outcome:
        """A call with NULL where octets should lie."""
        result = getattr(libc, name)(self._mine(args["fd"]), None, args["size"], *more)
        check(min(result, 0))
        return Outcome(result)

    def _read(self, args: dict[str, Any]) -> Outcome:
        if args.get("buffer") == NULL:
            return self._null("read", args)
        data = os.read(self._mine(args["fd"]), args["size"])
        return Outcome(len(data), out={"data": data})

    def _recv(self, args: dict[str, Any]) -> Outcome:
        if args.get("buffer") == NULL:
            return self._null("recv", args, args["flags"])
        with self._socket_of(args["fd"]) as sock:
            data = sock.recv(args["size"], args["flags"])
        return Outcome(len(data), out={"data": data})

    def _write(self, args: dict[str, Any]) -> Outcome:
        if args["data"] == NULL:
            return self._null("write", args)
        return Outcome(os.write(self._mine(args["fd"]), args["data"]))

    def _send(self, args: dict[str, Any]) -> Outcome:
        if args["data"] == NULL:
            return self._null("sendto", args, args["flags"], *self._raw_address(args.get("address")))
        with self._socket_of(args["fd"]) as sock:
            if args.get("address") == UNSPECIFIED:
                check(min(libc.sendto(sock.fileno(), args["data"], len(args["data"]), args["flags"], bytes(16), 16), 0))
                return Outcome(len(args["data"]))
            if args.get("address"):
                return Outcome(sock.sendto(args["data"], args["flags"], self._address(args["address"], self.remote)))
            return Outcome(sock.send(args["data"], args["flags"]))

    def _recvmsg(self, args: dict[str, Any]) -> Outcome:
        message = args["message"]
        room = _ROOM_FOR_CONTROL if message["control"] is not None else 0
        with self._socket_of(args["fd"]) as sock:
            data, ancillary, flags, _ = sock.recvmsg(message["size"], room, args["flags"])
        control = [(level, kind, self._control(level, kind, value)) for level, kind, value in ancillary]
        return Outcome(len(data), out={"data": data, "flags": flags, "control": control})

    def _control(self, level: int, kind: int, value: bytes) -> Any:
        """A control message as scripts write it: a number, or the fields of its struct; times from the beginning."""
        if (level, kind) in _ERRORS and len(value) >= 16:
            return struct.unpack_from("IBBBxII", value)
        if (level, kind) == _TIMESTAMP and len(value) >= 16:
            seconds, part = struct.unpack_from("qq", value)
            return divmod(seconds * _SECOND + part - self.epoch, _SECOND)
        return int.from_bytes(value, "little") if len(value) == 4 else value

    def _sendmsg(self, args: dict[str, Any]) -> Outcome:
        data, parts = args["message"]["data"], []
        for length in args["message"]["parts"]:
            parts.append(data[:length])
            data = data[length:]
        with self._socket_of(args["fd"]) as sock:
            address = [self._address(args["address"], self.remote)] if args.get("address") else []
            return Outcome(sock.sendmsg(parts, [], args["flags"], *address))

    # --- options --------------------------------------------------------------------------------------------

    def _setsockopt(self, args: dict[str, Any]) -> Outcome:
        value = args["setting"]
        if isinstance(value, int):
            value = struct.pack("I", value & 0xFFFFFFFF)
        elif isinstance(value, tuple):
            value = struct.pack(f"{len(value)}i", *value)
        with self._socket_of(args["fd"]) as sock:
            if value is None:
                sock.setsockopt(args["level"], args["option"], None, 0)
            else:
                sock.setsockopt(args["level"], args["option"], value)
        return Outcome()

    def _getsockopt(self, args: dict[str, Any]) -> Outcome:
        level, option = args["level"], args["option"]
        with self._socket_of(args["fd"]) as sock:
            raw = sock.getsockopt(level, option, _LONGEST_OPTION)
        if level == socket.SOL_TCP and option in (_TCP_INFO, _TCP_CC_INFO):
            return Outcome()
        if (level, option) == _SO_LINGER:
            return Outcome(out={"value": struct.unpack("ii", raw)})
        return Outcome(out={"value": int.from_bytes(raw, "little") if len(raw) == 4 else raw.rstrip(b"\0")})

    def _fcntl(self, args: dict[str, Any]) -> Outcome:
        return Outcome(fcntl.fcntl(self._mine(args["fd"]), args["command"], args.get("argument") or 0))

    def _ioctl(self, args: dict[str, Any]) -> Outcome:
        answer = fcntl.ioctl(self._mine(args["fd"]), args["request"], bytes(4))
        return Outcome(out={"value": struct.unpack("i", answer)[0]})

    # --- poll and epoll -------------------------------------------------------------------------------------

    def _poll(self, args: dict[str, Any]) -> Outcome:
        poller = select.poll()
        for fd, events, _ in args["polled"]:
            if fd in self.open:
                poller.register(fd, events)
        closed = {fd: symbols.POLL["POLLNVAL"] for fd, _, _ in args["polled"] if fd >= 0 and fd not in self.open}
        found = closed | dict(poller.poll(0 if closed else args["timeout"]))
        return Outcome(len(found), out={"revents": [found.get(fd, 0) for fd, _, _ in args["polled"]]})

    def _epoll_create(self, args: dict[str, Any]) -> Outcome:
        poller = select.epoll()
        self.epolls[poller.fileno()] = poller
        return self._new(poller.fileno())

    def _epoll(self, fd: int) -> select.epoll:
        poller = self.epolls.get(self._mine(fd))
        if poller is None:
            raise OSError(errno.EINVAL, "no epoll descriptor")
        return poller

    def _epoll_ctl(self, args: dict[str, Any]) -> Outcome:
        poller, fd = self._epoll(args["epoll_fd"]), self._mine(args["fd"])
        events, data = args["epoll_event"]
        if args["command"] == symbols.POLL["EPOLL_CTL_DEL"]:
            poller.unregister(fd)
            return Outcome()
        if args["command"] == symbols.POLL["EPOLL_CTL_ADD"]:
            poller.register(fd, events)
        else:
            poller.modify(fd, events)
        self.watched[args["epoll_fd"], fd] = data
        return Outcome()

    def _epoll_wait(self, args: dict[str, Any]) -> Outcome:
        timeout = args["timeout"] / 1000 if args["timeout"] >= 0 else -1
        found = self._epoll(args["epoll_fd"]).poll(timeout, max(args.get("most", 1), 1))
        told = [(events, self.watched.get((args["epoll_fd"], fd), fd)) for fd, events in found]
        return Outcome(len(found), out={"events": told})

    # --- beside the script ----------------------------------------------------------------------------------

    def info(self, fd: int) -> dict[str, int]:
        """TCP_INFO, TCP_CC_INFO, and SO_MEMINFO as `SK_MEMINFO_...`; empty when the descriptor has none."""
        try:
            with self._socket_of(fd) as sock:
                found = tcp_info(sock.getsockopt(socket.SOL_TCP, _TCP_INFO, _LONGEST_OPTION))
                found.update(cc_info(sock.getsockopt(socket.SOL_TCP, _TCP_CC_INFO, _LONGEST_OPTION)))
                memory = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _LONGEST_OPTION)
        except OSError:
            return {}
        numbers = struct.unpack_from(f"{len(memory) // 4}I", memory)
        found.update((f"SK_MEMINFO_{name}", value) for name, value in zip(_MEMINFO.split(), numbers, strict=False))
        return found

    def wake(self) -> None:
        """Let calls that wait on one of the descriptors end."""
        for fd in self.open - self.epolls.keys():
            try:
                with self._socket_of(fd) as sock:
                    sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """Drop every connection and close every descriptor."""
        for fd in list(self.open):
            try:
                if fd not in self.epolls:
                    with self._socket_of(fd) as sock:
                        sock.setsockopt(*_SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            self._close({"fd": fd})


_CALLS: Final[dict[str, Callable[[Syscalls, dict[str, Any]], Outcome]]] = {
    "socket": Syscalls._socket,
    "bind": Syscalls._bind,
    "listen": Syscalls._listen,
    "accept": Syscalls._accept,
    "accept4": Syscalls._accept,
    "connect": Syscalls._connect,
    "read": Syscalls._read,
    "recv": Syscalls._recv,
    "recvfrom": Syscalls._recv,
    "recvmsg": Syscalls._recvmsg,
    "write": Syscalls._write,
    "send": Syscalls._send,
    "sendto": Syscalls._send,
    "sendmsg": Syscalls._sendmsg,
    "shutdown": Syscalls._shutdown,
    "close": Syscalls._close,
    "setsockopt": Syscalls._setsockopt,
    "getsockopt": Syscalls._getsockopt,
    "fcntl": Syscalls._fcntl,
    "ioctl": Syscalls._ioctl,
    "poll": Syscalls._poll,
    "epoll_create": Syscalls._epoll_create,
    "epoll_create1": Syscalls._epoll_create,
    "epoll_ctl": Syscalls._epoll_ctl,
    "epoll_wait": Syscalls._epoll_wait,
    "getsockname": lambda self, args: self._names(args, "getsockname"),
    "getpeername": lambda self, args: self._names(args, "getpeername"),
}
