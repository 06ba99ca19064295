"""Where a source listens: sockets that are bound before anything serves on them, so that what fails, fails at once.

A port may be handed to the daemon by who starts it (sd_listen_fds(3)): then whoever connects while the daemon isn't
there waits until it is.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from archiver.exceptions import EnvironmentFault

BACKLOG = 1024
_FIRST = 3
"""SD_LISTEN_FDS_START."""


class Address(Struct, frozen=True):
    """`path` is a socket file, made with `mode`, else `host` and `port`; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    path: Path | None = None
    mode: int = 0o660

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return str(self.path) if self.path else f"{host}:{self.port}"


class Accepted(NamedTuple):
    """A client's connection, and the host it comes from: "" at a socket file."""

    connection: socket.socket
    client: str


ACCEPTED: ContextVar[Accepted | None] = ContextVar("accepted", default=None)
"""Whose connection this task was begun for: what asyncio keeps to itself until TLS stands."""


class Listening(socket.socket):
    """asyncio begins a task for each client right after it was accepted, in a copy of the context then."""

    def accept(self) -> tuple[socket.socket, Any]:
        connection, peer = super().accept()
        ACCEPTED.set(Accepted(connection, peer[0] if isinstance(peer, tuple) else ""))
        return connection, peer


def bind(address: Address) -> list[socket.socket]:
    """A listening socket for each address that the host stands for. Raises `EnvironmentFault`."""
    bound: list[socket.socket] = []
    try:
        if address.path is not None:
            bound.append(_at_path(address.path, address.mode))
        else:
            _at_port(address.host, address.port, bound)
    except OSError as fault:
        release(bound)
        raise EnvironmentFault(
            f"can't listen on {address}: {fault.strerror or fault}",
            hint="choose another address, or stop what uses this one",
            address=str(address),
        ) from fault
    return bound


def port_of(bound: list[socket.socket]) -> int:
    """The port that was really taken; 0 for a socket file."""
    first = bound[0]
    return 0 if first.family == socket.AF_UNIX else int(first.getsockname()[1])


def fault_of(bound: list[socket.socket]) -> str:
    """Why nobody can connect any more; "" while one can. The system may close what nobody here has closed."""
    for each in bound:
        try:
            if _hangs_up(each):
                return "its socket takes no connections any more"
            if each.family == socket.AF_UNIX and not Path(each.getsockname()).is_socket():
                return f"its socket file {each.getsockname()} is gone"
        except (OSError, ValueError):
            return "its socket is gone"
    return ""


def _hangs_up(listening: socket.socket) -> bool:
    """Raises `ValueError` where it was closed."""
    poll = select.poll()
    poll.register(listening.fileno(), 0)
    return bool(poll.poll(0))


def withdraw(bound: list[socket.socket]) -> None:
    """Take socket files away; to be called before the sockets are closed by whoever serves on them."""
    for each in bound:
        if each.family == socket.AF_UNIX and each.fileno() >= 0:
            with suppress(OSError):
                Path(each.getsockname()).unlink()


def release(bound: list[socket.socket]) -> None:
    """Give up what nobody serves on."""
    withdraw(bound)
    for each in bound:
        each.close()


def _at_port(host: str, port: int, bound: list[socket.socket]) -> None:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, place in dict.fromkeys(found):
        if (handed := _handed(family, place)) is not None:
            bound.append(handed)
            continue
        listening = Listening(family, kind, protocol)
        bound.append(listening)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # One port for all, also where any will do.
        listening.bind((place[0], port or (port_of(bound[:1]) if len(bound) > 1 else 0), *place[2:]))
        listening.listen(BACKLOG)
        listening.setblocking(False)


def _handed(family: int, place: tuple[Any, ...]) -> socket.socket | None:
    """One of our own that shares what was handed: to close it leaves the other open, for the next who serves there."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):  # meant for another, as it is for children of ours
        return None
    count = os.environ.get("LISTEN_FDS", "")
    for number in range(_FIRST, _FIRST + int(count) if count.isdecimal() else _FIRST):
        os.set_inheritable(number, False)
        handed = Listening(fileno=os.dup(number))
        if handed.family == family and handed.getsockname()[:2] == place[:2] and _listens(handed):
            handed.setblocking(False)
            return handed
        handed.close()
    return None


def _listens(handed: socket.socket) -> bool:
    return bool(handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _at_path(path: Path, mode: int) -> socket.socket:
    _refuse_taken(path)
    path.unlink(missing_ok=True)
    listening = Listening(socket.AF_UNIX)
    try:
        listening.bind(str(path))
        path.chmod(mode)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _refuse_taken(path: Path) -> None:
    """A socket file left by a dead process is replaced, one that somebody answers on is theirs."""
    if not path.is_socket():
        if path.exists():
            raise FileExistsError(f"{path} is no socket")
        return
    with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError, FileNotFoundError):
        probe.connect(str(path))
        raise OSError(f"somebody listens on {path}")
