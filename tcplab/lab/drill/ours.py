"""Our stack under a script: one host in virtual time, without a device."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

from tcplab.api.counters import COUNTERS
from tcplab.api.states import State
from tcplab.engines import plugins
from tcplab.host.machine import Machine
from tcplab.lab.drill import polls, symbols
from tcplab.lab.drill.polls import Blocked
from tcplab.lab.drill.script import NULL
from tcplab.lab.drill.shell import Deed, wrong_count
from tcplab.lab.drill.stack import LOCAL, REMOTE, UNSPECIFIED, Outcome, Sniffed
from tcplab.rng import Rng
from tcplab.tcp import cc, user
from tcplab.tcp.profile import LINUX
from tcplab.units import NEVER, SEC, US
from tcplab.wire import ethernet, ipv4

_START: Final = 1_000 * SEC
"""The host has been up for a while: timestamps and clocks are not at 0."""
_MAC: Final = bytes.fromhex("020000000001")
_PEER: Final = bytes.fromhex("020000000002")
_NONBLOCK: Final = 0o4000
_DONTWAIT: Final = 0x40
_ERRQUEUE: Final = 0x2000
_FASTOPEN: Final = 0x20000000
_WITHOUT_MEANING: Final = """
    tcp_fack tcp_notsent_lowat tcp_limit_output_bytes tcp_autocorking
    tcp_no_metrics_save tcp_no_ssthresh_metrics_save tcp_mem tcp_adv_win_scale
    tcp_app_win tcp_tso_rtt_log
    tcp_challenge_ack_limit tcp_backlog_ack_defer tcp_shrink_window tcp_plb_enabled
    tcp_child_ehash_entries tcp_reflect_tos tcp_stdurg
    tcp_workaround_signed_windows mptcp.enabled enabled rmem_max wmem_max default_qdisc netdev_budget_usecs
    tcp_pingpong_thresh tcp_rcvbuf_low_rtt
"""
"""Settings of Linux that scripts make and that this stack does not have: said, and no more."""


_WITHOUT_EFFECT: Final = ("SO_MARK", "SO_PRIORITY")
"""Socket options for routers and queues that this host has not."""


class Waiting:
    """A call on its way: `attempt` is repeated whenever something happened."""

    def __init__(self, attempt: Callable[[], Outcome]) -> None:
        self.attempt = attempt
        self.outcome: Outcome | None = None
        self.at = 0


class Ours:
    """`tcplab.lab.drill.stack.Stack` on `tcplab.host.machine.Machine`."""

    exact = True

    def __init__(self, options: dict[str, str]) -> None:
        self.local = options.get("local_ip") or LOCAL
        self.remote = options.get("remote_ip") or REMOTE
        cc.look_in(plugins.congestion)
        self.machine = Machine("dut", ipv4.address(self.local), _MAC, Rng(1))
        self.machine.sysctl.adopt(options.get("profile") or LINUX.name)
        self.machine.learn(ipv4.address(self.remote), _PEER)
        self.machine.mtu = int(options.get("mtu") or self.machine.mtu)
        self.machine.gso_size = int(options.get("mss") or 0)
        self.clock = _START
        self.machine.now = _START
        self.sent: deque[Sniffed] = deque()
        self.waiting: list[Waiting] = []
        self.flags: dict[int, int] = {}
        """Descriptor -> O_NONBLOCK or 0."""
        self.counted: dict[str, int] = {}

    # --- time and packets -----------------------------------------------------------------------------------

    def now(self) -> int:
        """Microseconds from the start."""
        return (self.clock - _START) // US

    def advance(self, until: int) -> None:
        """Fire every timer up to `until`."""
        self._run(until, lambda: False)

    def _run(self, until: int, enough: Callable[[], bool]) -> None:
        end = _START + until * US
        while not enough() and self.machine.deadline != NEVER and self.machine.deadline <= end:
            self.clock = max(self.clock, self.machine.deadline)
            self.machine.on_timer(self.clock)
            self._happened()
        if not enough():
            self.clock = max(self.clock, end)

    def _happened(self) -> None:
        """Something was done: take what the host sent, and let the calls that wait try again."""
        self._collect()
        for waiting in list(self.waiting):
            self._try(waiting)
            self._collect()

    def _collect(self) -> None:
        out, self.machine.out = self.machine.out, []
        for outgoing in out:
            if ethernet.parse(outgoing.frame)[2] == ethernet.ETH_IP:
                packet = bytes(outgoing.frame[ethernet.HEADER :])
                self.sent.append(Sniffed(self.now(), packet, f"{outgoing.why} ({outgoing.ref})"))

    def inject(self, packet: bytes) -> None:
        """A packet arrives."""
        frame = ethernet.header(_MAC, _PEER, ethernet.ETH_IP) + packet
        self.machine.on_frame(self.clock, frame)
        self._happened()

    def sniff(self, until: int) -> Sniffed | None:
        """The next packet that the host sends."""
        if not self.sent:
            self._run(until, lambda: bool(self.sent))
        return self.sent.popleft() if self.sent else None

    def close(self) -> None:
        """Nothing was taken."""

    # --- calls ----------------------------------------------------------------------------------------------

    def start(self, name: str, args: dict[str, Any]) -> Waiting:
        """Try the call now; it stays on its way if it would block."""
        function = _CALLS.get(name)
        if function is None:
            raise NotImplementedError("this stack has no such call")
        waiting = Waiting(function(self, args))
        self.waiting.append(waiting)
        self._happened()
        self._happened()  # what the host sent to itself has arrived by now
        return waiting

    def finish(self, pending: Any, until: int) -> None:
        """Let time pass until it ends."""
        self._run(until, lambda: pending.outcome is not None)

    def _try(self, waiting: Waiting) -> None:
        try:
            waiting.outcome = waiting.attempt()
        except Blocked:
            return
        except OSError as error:
            waiting.outcome = Outcome(-1, error.errno or errno.EIO)
        waiting.at = self.now()
        if waiting in self.waiting:
            self.waiting.remove(waiting)

    def call(self, op: str, *args: Any) -> Any:
        """A call of the host, now."""
        return self.machine.call(self.clock, op, *args)

    def _patient(self, fd: int, flags: int = 0) -> bool:
        return not (self.flags.get(fd, 0) & _NONBLOCK or flags & _DONTWAIT)

    def _blocking(self, fd: int, flags: int, op: str, *args: Any) -> Any:
        """The call; Blocked when the caller waits for it, else EAGAIN as it is."""
        try:
            return self.call(op, *args)
        except BlockingIOError:
            if self._patient(fd, flags):
                raise Blocked from None
            raise

    def _socket(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        def attempt() -> Outcome:
            if args["type"] & 0xF != 1:
                raise OSError(errno.ESOCKTNOSUPPORT, "only stream sockets")
            fd = self.call("socket")
            self.flags[fd] = args["type"] & _NONBLOCK
            return Outcome(fd)

        return attempt

    def _bind(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        addr, port = args["address"]
        return self._plain("bind", args["fd"], ipv4.address(addr) if addr else 0, port)

    def _plain(self, op: str, *args: Any) -> Callable[[], Outcome]:
        def attempt() -> Outcome:
            self.call(op, *args)
            return Outcome()

        return attempt

    def _accept(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        fd = args["fd"]

        def attempt() -> Outcome:
            new, (_, port) = self._blocking(fd, 0, "accept", fd)
            self.flags[new] = args.get("flags", 0) & _NONBLOCK
            return Outcome(new, out={"port": port})

        return attempt

    def _connect(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        fd = args["fd"]
        addr, port = args["address"]
        if args["address"] == UNSPECIFIED:
            return self._plain("disconnect", fd)

        def attempt() -> Outcome:
            self._blocking(fd, 0, "connect", fd, ipv4.address(addr or self.remote), port)
            return Outcome()

        return attempt

    def _read(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        fd, flags = args["fd"], args.get("flags", 0)

        def attempt() -> Outcome:
            if flags & _ERRQUEUE:
                return self._read_errors(fd, args["size"], flags)
            if args.get("buffer") == NULL:
                if self._blocking(fd, flags, "recv", fd, 1, flags & ~_DONTWAIT | user.MSG_PEEK):
                    raise OSError(errno.EFAULT, "NULL")
                return Outcome()
            extra = (flags & ~_DONTWAIT,) if flags & ~_DONTWAIT else ()
            data = self._blocking(fd, flags, "recv", fd, args["size"], *extra)
            return Outcome(len(data), out={"data": data})

        return attempt

    def _read_errors(self, fd: int, size: int, flags: int) -> Outcome:
        """The error queue; times are seconds and nanoseconds from the script's start."""
        data, found = self.call("recvmsg", fd, size, flags & ~_DONTWAIT)
        control: list[tuple[int, int, Any]] = []
        if "SCM_TIMESTAMPING" in found:
            control.append((1, symbols.CONSTANTS["SCM_TIMESTAMPING"], divmod(found["SCM_TIMESTAMPING"] - _START, SEC)))
        control.append((0, symbols.CONSTANTS["IP_RECVERR"], found["IP_RECVERR"]))
        return Outcome(len(data), out={"data": data, "flags": found["msg_flags"], "control": control})

    def _write(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        fd, flags = args["fd"], args.get("flags", 0)
        null = args["data"] == NULL
        rest = b"" if null else bytes(args["data"])
        done = 0
        opening = waits = False

        def woken() -> None:
            nonlocal waits
            waits = False

        def attempt() -> Outcome:
            nonlocal done, opening, waits
            if waits or (opening and self._opening(fd)):
                raise Blocked
            while True:
                try:
                    done += self._send(args, rest, done)
                    if null:
                        raise OSError(errno.EFAULT, "NULL")
                except BlockingIOError as error:
                    if self._patient(fd, flags):
                        self._write_pending(fd, True)
                        waits = True  # room alone is not enough: sk_stream_write_space wakes at a third
                        self.machine.wait(fd, True, woken)
                        raise Blocked from None
                    raise error from None
                except OSError:
                    if done and not opening:
                        return Outcome(done)
                    raise
                if self._patient(fd, flags) and self._opening(fd):
                    self._write_pending(fd, done < len(rest))
                    opening = True  # Fast Open: what the SYN took counts only if the handshake succeeds
                    raise Blocked
                if done >= len(rest) or not self._patient(fd, flags):
                    return Outcome(done)

        return attempt

    def _send(self, args: dict[str, Any], rest: bytes, done: int) -> int:
        """One attempt: how much was taken."""
        fd, flags, address = args["fd"], args.get("flags", 0), args.get("address")
        plain = flags & ~(_DONTWAIT | _FASTOPEN)
        if address == UNSPECIFIED and flags & _FASTOPEN:
            raise OSError(errno.EOPNOTSUPP, "Fast Open needs an address")
        if address and address != UNSPECIFIED and not done:
            to = ipv4.address(address[0] or self.remote)
            return int(self.call("sendto", fd, rest, flags & ~_DONTWAIT, to, address[1]))
        if "parts" in args and not done:
            return int(self.call("sendmsg", fd, args["parts"], plain))
        return int(self.call("send", fd, rest[done:], plain))

    def _write_pending(self, fd: int, more: bool) -> None:
        if self._opening(fd):
            conn = self.machine.sockets[fd].conn
            assert conn is not None
            conn.write_pending = more

    def _opening(self, fd: int) -> bool:
        sock = self.machine.sockets.get(fd)
        return sock is not None and sock.conn is not None and sock.conn.state is State.SYN_SENT

    def _recvmsg(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        message = args["message"]
        inner = self._read({"fd": args["fd"], "size": message["size"], "flags": args["flags"]})

        def attempt() -> Outcome:
            outcome = inner()
            if args["flags"] & _ERRQUEUE:
                return outcome
            control = []
            if message["control"] is not None and self.call("getsockopt", args["fd"], "TCP_INQ"):
                control.append((6, 36, self._inq(args["fd"])))
            outcome.out |= {"flags": 0, "control": control}
            return outcome

        return attempt

    def _sendmsg(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        message = args["message"]
        ends = list(accumulate(message["parts"]))
        parts = [message["data"][end - size : end] for end, size in zip(ends, message["parts"], strict=True)]
        return self._write({**args, "data": message["data"], "parts": parts})

    def _shutdown(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        how = {0: "rd", 1: "wr", 2: "rdwr"}.get(args["how"], str(args["how"]))
        return self._plain("shutdown", args["fd"], how)

    def _close(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        fd = args["fd"]

        def attempt() -> Outcome:
            try:
                self.call("close", fd)
            except BlockingIOError:  # SO_LINGER waits even with O_NONBLOCK
                raise Blocked from None
            return Outcome()

        return attempt

    def _setsockopt(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        name = symbols.option_name(args["level"], args["option"])
        value = args["setting"]
        if isinstance(value, int) and value >= 1 << 31:
            value -= 1 << 32
        if name == "TCP_CONGESTION" and isinstance(value, bytes):
            value = value.rstrip(b"\0").decode(errors="replace")
        if name in _WITHOUT_EFFECT:
            return self._plain("getsockopt", args["fd"], "SO_TYPE")
        return self._plain("setsockopt", args["fd"], name, value)

    def _getsockopt(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        name = symbols.option_name(args["level"], args["option"])

        def attempt() -> Outcome:
            value = self.call("getsockopt", args["fd"], name)
            if isinstance(value, str):
                value = value.encode()
            return Outcome(out={} if isinstance(value, dict) else {"value": value})

        return attempt

    def _fcntl(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        fd = args["fd"]

        def attempt() -> Outcome:
            if fd not in self.machine.sockets:
                raise OSError(errno.EBADF, "no such descriptor")
            if args["command"] == symbols.CONSTANTS["F_SETFL"]:
                self.flags[fd] = (args.get("argument") or 0) & _NONBLOCK
                return Outcome()
            if args["command"] == symbols.CONSTANTS["F_GETFL"]:
                return Outcome(2 | self.flags.get(fd, 0))
            return Outcome()

        return attempt

    def _ioctl(self, args: dict[str, Any]) -> Callable[[], Outcome]:
        def attempt() -> Outcome:
            sock = self.machine.sockets.get(args["fd"])
            if sock is None:
                raise OSError(errno.EBADF, "no such descriptor")
            if sock.conn is None:
                raise OSError(errno.EINVAL, "not connected")
            if args["request"] == symbols.CONSTANTS["SIOCINQ"]:
                return Outcome(out={"value": self._inq(args["fd"])})
            conn = sock.conn
            if args["request"] == symbols.CONSTANTS["SIOCOUTQ"]:
                return Outcome(out={"value": len(conn.sndq) + (conn.fin_queued and conn.snd_nxt != conn.snd_una)})
            if args["request"] == symbols.CONSTANTS["SIOCOUTQNSD"]:
                return Outcome(out={"value": (conn.data_end - conn.snd_nxt) & 0xFFFFFFFF})
            raise OSError(errno.ENOTTY, "no such ioctl")

        return attempt

    def _inq(self, fd: int) -> int:
        sock = self.machine.sockets[fd]
        return len(sock.conn.rcvq) + (sock.conn.fin_rcvd and not sock.conn.rcvq) if sock.conn is not None else 0

    # --- the rest -------------------------------------------------------------------------------------------

    def info(self, fd: int) -> dict[str, int]:
        """TCP_INFO, TCP_CC_INFO, and SO_MEMINFO as `SK_MEMINFO_...`."""
        if fd not in self.machine.sockets:
            return {}
        try:
            found: dict[str, int] = self.call("getsockopt", fd, "TCP_INFO")
            found = found | self.call("getsockopt", fd, "TCP_CC_INFO")
        except OSError:
            return {}
        memory = self.call("getsockopt", fd, "SO_MEMINFO")
        return found | {f"SK_MEMINFO_{name}": value for name, value in memory.items()}

    def configure(self, deed: Deed) -> str:
        """Settings go to the host; what has no meaning for it is said."""
        if deed.kind == "sysctl":
            if deed.name in _WITHOUT_MEANING.split():
                return f"sysctl {deed.name} has no meaning for this stack"
            self.machine.sysctl.set(deed.name.removeprefix("route."), deed.value)
        elif deed.kind == "mtu":
            self.machine.mtu = int(deed.value)
        elif deed.kind == "forget":
            self.machine.fastopen.peers.clear()
        elif deed.kind == "nstat":
            self.counted = dict(self.machine.counters)
        elif deed.kind == "counted":
            if deed.name not in COUNTERS:
                return "there is no such counter"
            return wrong_count(deed, self.machine.counters.get(deed.name, 0) - self.counted.get(deed.name, 0))
        return ""


_CALLS: Final[dict[str, Callable[[Ours, dict[str, Any]], Callable[[], Outcome]]]] = {
    "socket": Ours._socket,
    "bind": Ours._bind,
    "listen": lambda self, args: self._plain("listen", args["fd"], args["backlog"]),
    "accept": Ours._accept,
    "accept4": Ours._accept,
    "connect": Ours._connect,
    "read": Ours._read,
    "recv": Ours._read,
    "recvfrom": Ours._read,
    "recvmsg": Ours._recvmsg,
    "write": Ours._write,
    "send": Ours._write,
    "sendto": Ours._write,
    "sendmsg": Ours._sendmsg,
    "shutdown": Ours._shutdown,
    "close": Ours._close,
    "setsockopt": Ours._setsockopt,
    "getsockopt": Ours._getsockopt,
    "fcntl": Ours._fcntl,
    "ioctl": Ours._ioctl,
    "poll": polls.poll,
    "epoll_create": polls.epoll_create,
    "epoll_create1": polls.epoll_create,
    "epoll_ctl": polls.epoll_ctl,
    "epoll_wait": polls.epoll_wait,
    "getsockname": lambda self, args: self._plain("getsockname", args["fd"]),
    "getpeername": lambda self, args: self._plain("getpeername", args["fd"]),
}
