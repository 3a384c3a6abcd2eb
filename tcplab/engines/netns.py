"""Three anonymous network namespaces, `a - wire - b`, joined by two veth pairs.

The namespaces have no name anywhere: they live as long as this process's descriptors, so that nothing is left behind,
however the process ends. Without root they are made in a new user namespace. Nothing is created in the host's own
namespace at any moment: the pairs are born inside.

See namespaces(7), user_namespaces(7), veth(4), packet(7).
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tcplab.engines.addresses import ADDRESS, GATEWAY, KERNEL_ADDRESS, KERNEL_MAC, MAC, PREFIX
from tcplab.engines.errors import CANNOT, PERMISSION, EngineError
from tcplab.engines.libc import CLONE_NEWNET, CLONE_NEWUSER, check, libc
from tcplab.engines.offload import offloads_off
from tcplab.host.machine import GATEWAY_MAC
from tcplab.wire import ipv4

NAMES: Final = ("a", "wire", "b")
ENDS: Final = {"a": ("a", "eth0"), "wire:a": ("wire", "a"), "wire:b": ("wire", "b"), "b": ("b", "eth0")}
"""Port of the fabric -> namespace and device."""

_ETH_P_ALL: Final = 0x0003
_SOL_PACKET: Final = 263
_PACKET_IGNORE_OUTGOING: Final = 23
_SO_RCVBUFFORCE: Final = 33
_RECEIVE_BUFFER: Final = 32 << 20
_NUD_PERMANENT: Final = 0x80

_in_own_user_namespace = False
"""For good: the next lab of this process is made in the same one."""


class Namespaces:
    """The namespaces of one lab, set up in steps: `unshare`, `join`, `open_sockets`; `close` gives all back.

    `net`: name -> descriptor of the network namespace; `user`: descriptor of the user namespace, or None as root.
    A step that fails raises EngineError with the cause.
    """

    def __init__(self) -> None:
        self.net: dict[str, int] = {}
        self.user: int | None = None
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def unshare(self) -> None:
        """Make the namespaces, in a user namespace if this process may not otherwise."""
        try:
            try:
                self.net["a"] = self._new_net()
            except PermissionError:
                new_user_namespace()
                self.net["a"] = self._new_net()
            if _in_own_user_namespace:
                self.user = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            for name in NAMES[1:]:
                self.net[name] = self._new_net()
        except OSError as error:
            raise EngineError(f"no network namespaces: {why_refused(error)}", exit_code(error)) from error
        finally:
            self._go_home()

    def join(self, seats: Collection[str] = ()) -> None:
        """Create the veth pairs, set addresses, and bring everything up.

        On the hosts of `seats` the kernel has the host's own address, and knows its neighbours, as ours does.
        """
        from pyroute2 import IPRoute  # here, because importing it costs 0.1 s or more

        try:
            with self.inside("wire"), IPRoute() as route:
                for host in ("a", "b"):
                    mac = MAC[host] if host in seats else KERNEL_MAC[host]
                    route.link("add", ifname=host, kind="veth", peer=_host_end(mac, self.net[host]))
                    offloads_off(host)
                    route.link("set", ifname=host, state="up")
            for host in ("a", "b"):
                with self.inside(host), IPRoute() as route:
                    offloads_off("eth0")
                    index = socket.if_nametoindex("eth0")
                    address = ipv4.text(ADDRESS[host]) if host in seats else KERNEL_ADDRESS[host]
                    route.addr("add", index=index, address=address, prefixlen=PREFIX)
                    route.link("set", index=index, state="up")
                    route.link("set", ifname="lo", state="up")
                    if host in seats:
                        _acquaint(route, host, index)
            for name, device in ENDS.values():
                with self.inside(name), IPRoute() as route:
                    _await_up(route, device)
        except EngineError:
            raise
        except Exception as error:  # pyroute2's NetlinkError is no OSError, and which one it is depends on the version
            raise EngineError(f"no veth pair: {error}", CANNOT) from error

    def open_sockets(self) -> dict[str, socket.socket]:
        """A packet socket on each end, by port name."""
        sockets: dict[str, socket.socket] = {}
        try:
            for port, (name, device) in ENDS.items():
                with self.inside(name):
                    sockets[port] = _packet_socket(device)
        except OSError as error:
            for end in sockets.values():
                end.close()
            raise EngineError(f"no packet sockets: {error.strerror}", exit_code(error)) from error
        return sockets

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """This thread is in that network namespace meanwhile."""
        _setns(self.net[name], CLONE_NEWNET)
        try:
            yield
        finally:
            self._go_home()

    def close(self) -> None:
        """Let go of the namespaces; the kernel removes them and all that is in them."""
        for fd in (*self.net.values(), self._home, *(() if self.user is None else (self.user,))):
            os.close(fd)
        self.net.clear()
        self.user = None

    def _new_net(self) -> int:
        """A network namespace of our own without IPv6, whose neighbour discovery would talk on the wire unasked."""
        check(libc.unshare(CLONE_NEWNET))
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        assert not os.path.samestat(os.fstat(fd), os.fstat(self._home)), "still in the host's own namespace"
        ipv6_off()
        return fd

    def _go_home(self) -> None:
        """Back to where the process came from.

        setns(2) wants CAP_SYS_ADMIN in the user namespace that owns the target. Once in a user namespace of our own
        we do not have it in the host's any more, so that there is no way back: the process stays in the last of our
        namespaces. Unix sockets with a path, all that an engine needs of the world, work from there.
        """
        if self.net and self.user is None:
            _setns(self._home, CLONE_NEWNET)


def ipv6_off() -> None:
    """No IPv6 on any device of the network namespace that this thread is in."""
    for scope in ("all", "default"):
        switch = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        try:
            switch.write_text("1")
        except OSError:  # no IPv6 at all, or /proc/sys read-only in a container: what it says is then foreign
            pass


def _await_up(route: Any, device: str) -> None:
    """Wait until frames sent at `device` are carried.

    Of each pair one end is opened before it has a carrier. A kernel worker gives it its queue later (linkwatch), up to
    a second later when it was busy; until then it silently drops all that is sent. Asking for the link's state does
    that work at once on newer kernels (rtnl_getlink), and tells when it was done on all.
    """
    patience = time.monotonic() + 2
    while route.link("get", ifname=device)[0].get_attr("IFLA_OPERSTATE") != "UP":
        if time.monotonic() > patience:
            raise EngineError(f"no veth pair: {device} was brought up, but has no carrier after 2 s")
        time.sleep(0.001)


def _host_end(mac: bytes, fd: int) -> dict[str, object]:
    return {"ifname": "eth0", "net_ns_fd": fd, "address": mac.hex(":")}


def _acquaint(route: Any, host: str, index: int) -> None:
    """The kernel knows the other host, and a way to everybody else; nobody asks by ARP."""
    other = "b" if host == "a" else "a"
    for address, mac in ((ipv4.text(ADDRESS[other]), MAC[other]), (GATEWAY, GATEWAY_MAC)):
        route.neigh("add", dst=address, lladdr=mac.hex(":"), ifindex=index, state=_NUD_PERMANENT)
    route.route("add", dst="default", gateway=GATEWAY)


def new_user_namespace() -> None:
    """A user namespace in which we have all capabilities and keep our name; nobody else is mapped (user_namespaces(7)).

    We are not called root in it: programs that find themselves root give it up in ways that fail here (tcpdump wants
    setgroups(2), which an unprivileged user namespace forbids).
    """
    global _in_own_user_namespace
    uid, gid = os.geteuid(), os.getegid()
    check(libc.unshare(CLONE_NEWUSER))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    _in_own_user_namespace = True


def _packet_socket(device: str) -> socket.socket:
    """Non-blocking, sees every frame that comes in at the device, and none of those that go out."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        try:
            end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:  # in a user namespace: as much as net.core.rmem_max allows
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        end.bind((device, _ETH_P_ALL))
    except OSError:
        end.close()
        raise
    return end


def _setns(fd: int, kind: int) -> None:
    check(libc.setns(fd, kind))


def exit_code(error: OSError) -> int:
    """PERMISSION or CANNOT."""
    return PERMISSION if error.errno in (errno.EPERM, errno.EACCES) else CANNOT


def why_refused(error: OSError) -> str:
    """The cause in the words of the setting that does it."""
    if _sysctl("user/max_user_namespaces") == "0":
        return "user namespaces are switched off (sysctl user.max_user_namespaces = 0); root can make the lab"
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return "only root may make user namespaces here (sysctl kernel.unprivileged_userns_clone = 0)"
    if error.errno in (errno.EPERM, errno.EACCES):
        if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
            return (
                "AppArmor takes the rights away in user namespaces "
                "(sysctl kernel.apparmor_restrict_unprivileged_userns = 1); root can make the lab"
            )
        return f"{error.strerror}; in a container, its seccomp or capability settings forbid unshare(2)"
    if error.errno == errno.ENOSPC:
        return "no more are allowed (sysctl user.max_user_namespaces or user.max_net_namespaces, or 32 levels)"
    if error.errno == errno.EINVAL:
        return "this kernel has none (CONFIG_USER_NS, CONFIG_NET_NS), or the process has more than one thread"
    return error.strerror or str(error)


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
