"""A host that is nothing but the kernel: a TUN device in a network namespace of its own.

A small helper process, forked, lives in the namespace: it makes the device, opens sockets there and hands them over,
and reads and writes what /proc shows of the namespace. The process that asked never leaves its own namespaces, and may
have threads. When it ends, however it ends, the helper sees the end of its socket and ends too, and the kernel removes
the namespace with all that is in it.

What the host sends is seen by a packet socket, with the kernel's own timestamps; what is written to the device, the
host receives. Like packetdrill's, the device takes segments of up to 64 KB (TSO), with checksums left to be filled in.

See tuntap.txt of the kernel's documentation, netdevice(7), packet(7), unix(7).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import socket
import struct
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from tcplab.engines.errors import CANNOT, EngineError
from tcplab.engines.libc import CLONE_NEWNET, check, libc
from tcplab.engines.metrics import flush_metrics
from tcplab.engines.netns import exit_code, ipv6_off, new_user_namespace, why_refused
from tcplab.engines.offload import offload

DEVICE: Final = "tun0"
_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_IFF_TUN_NO_PI_VNET_HDR: Final = 0x5001
_VNET: Final = struct.Struct("BBHHHH")
"""struct virtio_net_hdr: it stands before every packet that is written to the device, or read."""
_GSO_TCPV4: Final = 1
_TUN_F_CSUM_TSO4_ECN: Final = 0x01 | 0x02 | 0x08
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8913, 0x8914, 0x8916, 0x891C, 0x8922
_SIOCADDRT: Final = 0x890B
_IFF_UP: Final = 1
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_MSG_CMSG_CLOEXEC: Final = 0x40000000
_OUTGOING: Final = 4  # sll_pkttype of linux/if_packet.h
_RECEIVE_BUFFER: Final = 32 << 20
_LONGEST: Final = 1 << 16
_PATIENCE: Final = 10.0
_SETTING: Final = re.compile(r"[a-z0-9_-]+(?:[./][a-zA-Z0-9_-]+)*")
_NET: Final = Path("/proc/sys/net")
_COUNTERS: Final = ("/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat")


class _Answer(msgspec.Struct):
    """Of the helper. `errno` is 0, or why not; `text` what it read, or the cause in words."""

    errno: int = 0
    text: str = ""
    code: int = 0


class TunHost:
    """The kernel's host behind `tun0`. EngineError: there can be none here, and why."""

    def __init__(self, local: str, netmask: str = "255.255.0.0", mtu: int = 1500, mss: int = 0) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._helper = os.fork()
        if self._helper == 0:
            try:
                _close_others(theirs.fileno())
                _help(theirs, local, netmask, mtu)
            finally:
                os._exit(0)
        theirs.close()
        self.mss = mss
        """What is received in one piece counts as segments of this size; 0: as one segment."""
        self._control = ours
        ours.settimeout(_PATIENCE)
        self._fds: list[int] = []
        try:
            answer, self._fds = self._receive()
            if answer.errno or len(self._fds) != 2:
                raise EngineError(answer.text, answer.code or CANNOT)
        except OSError as error:
            self.close()
            raise EngineError(f"the process that makes the TUN device gives no answer: {error}") from error
        except EngineError:
            self.close()
            raise
        self._packets = socket.socket(fileno=self._fds[1])

    # --- the wire -------------------------------------------------------------------------------------------

    def inject(self, packet: bytes) -> None:
        """The host receives this IP packet, now: what it answers at once is sent when this returns."""
        whole = self.mss and packet[9] == socket.IPPROTO_TCP
        head = _VNET.pack(0, _GSO_TCPV4, 0, self.mss, 0, 0) if whole else bytes(_VNET.size)
        os.write(self._fds[0], head + packet)

    def sniff(self) -> tuple[int, bytes] | None:
        """The next IP packet that the host sent and when, by time.monotonic_ns(); None: there is none."""
        while True:
            try:
                packet, ancillary, _, address = self._packets.recvmsg(_LONGEST, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            at, real = time.monotonic_ns(), time.time_ns()
            self._drain()
            if address[2] != _OUTGOING:
                continue
            for level, kind, stamp in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(stamp) == 16:
                    seconds, part = struct.unpack("qq", stamp)
                    at -= max(real - seconds * 1_000_000_000 - part, 0)
            return at, packet

    def fileno(self) -> int:
        """Readable when there is something to sniff."""
        return self._fds[1]

    def _drain(self) -> None:
        """The device's own queue must not fill up; what is in it was sniffed."""
        try:
            while os.read(self._fds[0], _LONGEST):
                pass
        except BlockingIOError:
            pass

    # --- the namespace --------------------------------------------------------------------------------------

    def socket(self, kind: int) -> int:
        """The descriptor of a new IPv4 socket of that type. OSError."""
        _, fds = self._ask("socket", kind)
        return fds[0]

    def sysctl(self, name: str, value: str) -> None:
        """Set `net.ipv4.NAME` or `net.core.NAME` of this namespace. OSError: there is none, or it refuses."""
        self._ask("sysctl", name, value)

    def mtu(self, octets: int) -> None:
        """Of the device. OSError."""
        self._ask("mtu", octets)

    def forget(self) -> None:
        """What TCP remembers of every peer (`ip tcp_metrics flush`). OSError: in a user namespace it may not."""
        self._ask("forget")

    def offload(self, name: str, on: bool) -> None:
        """Of the device, by ethtool's names: `tso`, `gso`. OSError."""
        self._ask("offload", name, on)

    def counters(self) -> dict[str, int]:
        """SNMP and extended counters as nstat names them: `TcpExtTCPLossProbes`."""
        text = self._ask("counters")[0].text
        found: dict[str, int] = {}
        lines = text.split("\n")
        for names, values in zip(lines[::2], lines[1::2], strict=False):
            group = names.partition(":")[0]
            pairs = zip(names.split()[1:], values.split()[1:], strict=False)
            found.update((group + name, int(value)) for name, value in pairs)
        return found

    def _ask(self, *request: Any) -> tuple[_Answer, list[int]]:
        try:
            self._control.send(msgspec.json.encode(request))
            answer, fds = self._receive()
        except OSError as error:
            raise EngineError(f"the process that holds the TUN device is gone: {error}") from error
        if answer.errno:
            raise OSError(answer.errno, answer.text)
        return answer, fds

    def _receive(self) -> tuple[_Answer, list[int]]:
        data, fds, _, _ = socket.recv_fds(self._control, 1 << 18, 2, _MSG_CMSG_CLOEXEC)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "it has ended")
        return msgspec.json.decode(data, type=_Answer), fds

    def close(self) -> None:
        """Device and namespace go; sockets that were handed over keep the namespace until they are closed."""
        if self._helper == 0:
            return
        for fd in self._fds[:1]:
            os.close(fd)
        if len(self._fds) == 2:
            self._packets.close()
        try:
            self._control.shutdown(socket.SHUT_RDWR)  # though another fork may hold this end too
        except OSError:
            pass
        self._control.close()
        os.waitpid(self._helper, 0)
        self._helper, self._fds = 0, []


# --- the helper -------------------------------------------------------------------------------------------------------


def _close_others(keep: int) -> None:
    """What the process that forked has open is none of the helper's business, and must not be kept open by it."""
    os.closerange(0, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))


def _help(control: socket.socket, local: str, netmask: str, mtu: int) -> None:
    try:
        fds = _make(local, netmask, mtu)
        socket.send_fds(control, [msgspec.json.encode(_Answer())], fds)
        for fd in fds:
            os.close(fd)
    except EngineError as cannot:
        control.send(msgspec.json.encode(_Answer(errno.EOPNOTSUPP, cannot.text, cannot.code)))
        return
    while data := control.recv(1 << 16):
        _answer(control, *msgspec.json.decode(data))


def _answer(control: socket.socket, op: str, *args: Any) -> None:
    fds: list[int] = []
    answer = _Answer()
    try:
        if op == "socket":
            fds = [socket.socket(socket.AF_INET, args[0]).detach()]
        elif op == "sysctl":
            _setting(args[0]).write_text(args[1])
        elif op == "mtu":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ifreq:
                fcntl.ioctl(ifreq, _SIOCSIFMTU, _ifreq(struct.pack("i", args[0])))
        elif op == "forget":
            flush_metrics()
        elif op == "offload":
            offload(DEVICE, args[0], args[1])
        else:
            answer.text = "".join(Path(name).read_text() for name in _COUNTERS)
    except OSError as error:
        answer = _Answer(error.errno or errno.EIO, error.strerror or str(error))
    socket.send_fds(control, [msgspec.json.encode(answer)], fds)
    for fd in fds:
        os.close(fd)


def _setting(name: str) -> Path:
    """The file of a setting; only those of this network namespace are to be seen below it."""
    if _SETTING.fullmatch(name) is None:
        raise OSError(errno.EINVAL, "that is no name of a setting")
    for folder in ("ipv4", "core"):
        path = _NET / folder / name.replace(".", "/")
        if path.is_file():
            return path
    raise OSError(errno.ENOENT, "there is no such setting in a network namespace of its own")


def _make(local: str, netmask: str, mtu: int) -> list[int]:
    """Namespace, device, address, route; the device and a packet socket that sees what is sent."""
    try:
        home = os.stat("/proc/thread-self/ns/net")
        try:
            check(libc.unshare(CLONE_NEWNET))
        except PermissionError:
            new_user_namespace()
            check(libc.unshare(CLONE_NEWNET))
        if os.path.samestat(home, os.stat("/proc/thread-self/ns/net")):
            raise EngineError("no network namespaces: still in the host's own one")
        ipv6_off()
    except OSError as error:
        raise EngineError(f"no network namespaces: {why_refused(error)}", exit_code(error)) from None
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN_NO_PI_VNET_HDR))
        fcntl.ioctl(tun, _TUNSETOFFLOAD, _TUN_F_CSUM_TSO4_ECN)
    except OSError as error:
        text = f"no TUN device: /dev/net/tun: {error.strerror}"
        raise EngineError(text, exit_code(error)) from None
    try:
        _configure(local, netmask, mtu)
        return [tun, _packet_socket()]
    except OSError as error:
        raise EngineError(f"no TUN device: {error.strerror}", exit_code(error)) from None


def _configure(local: str, netmask: str, mtu: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _up(control, "lo")
        fcntl.ioctl(control, _SIOCSIFMTU, _ifreq(struct.pack("i", mtu)))
        fcntl.ioctl(control, _SIOCSIFADDR, _ifreq(_sockaddr(local)))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _ifreq(_sockaddr(netmask)))
        _up(control, DEVICE)
        _default_route(control)


def _default_route(control: socket.socket) -> None:
    """Everybody is behind the device: struct rtentry of linux/route.h, with a pointer to the device's name."""
    name = ctypes.create_string_buffer(DEVICE.encode())
    pointer = ctypes.addressof(name)
    anywhere = _sockaddr("0.0.0.0")
    entry = struct.pack("@L16s16s16sHhLPhPLLH", 0, anywhere, anywhere, anywhere, _IFF_UP, 0, 0, 0, 0, pointer, 0, 0, 0)
    fcntl.ioctl(control, _SIOCADDRT, entry.ljust(128, b"\0"))


def _up(control: socket.socket, device: str) -> None:
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _ifreq(b"", device))
    (flags,) = struct.unpack_from("H", answer, 16)
    fcntl.ioctl(control, _SIOCSIFFLAGS, _ifreq(struct.pack("H", flags | _IFF_UP), device))


def _ifreq(value: bytes, device: str = DEVICE) -> bytes:
    return struct.pack("16s24s", device.encode(), value)


def _sockaddr(address: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _packet_socket() -> int:
    """Sees every packet that crosses the device, with its time."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    end.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    end.bind((DEVICE, _ETH_P_ALL))
    return end.detach()
