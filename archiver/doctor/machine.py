"""What the archiver runs on: directories, their file systems, room, the ports it listens on. Leaves no trace."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from archiver.assembly import archive_of, store_of
from archiver.config import Config
from archiver.config.sources.servers import SipTable
from archiver.config.values import Endpoint
from archiver.doctor.finding import Check, Finding, Verdict, judged
from archiver.spool.locks import holder

_ROOM = 512 * 1024 * 1024
_INODES = 10_000
_RIGHT = "give the archiver's user the right to write there"


def data_directory(config: Config, data: Path, now: int) -> Iterator[Finding]:
    nearest = _nearest(data)
    there = _exists(data)
    if there and not data.is_dir():
        yield Finding("data directory", Verdict.BAD, f"{data} is no directory", "name another with --data")
        return
    found = f"{data} can be written" if there else f"{data} will be made at the first use"
    can = _is_writable(nearest)
    yield judged("data directory", can, found if can else f"{nearest} can't be written", _RIGHT)
    if there:
        yield _privacy(data, data.stat().st_mode & 0o777)


def _privacy(data: Path, mode: int) -> Finding:
    """A mail server of another user must pass through the directory; nobody else has to read it or the spool."""
    found, spool = f"{data} has mode {mode:04o}", data / "spool.db"
    if mode & 0o006:
        return Finding("privacy", Verdict.WARN, found, f"others can look into the spool's folder: chmod o= {data}")
    if mode & 0o001 and spool.exists() and spool.stat().st_mode & 0o007:
        return Finding("privacy", Verdict.WARN, found, f"others can read what is spooled: chmod o= {spool}*")
    return Finding("privacy", Verdict.OK, found)


def mail_root(config: Config, data: Path, now: int) -> Iterator[Finding]:
    root = store_of(config, data).root
    nearest = _nearest(root)
    can = nearest.is_dir() and _is_writable(nearest)
    advice = f"{_RIGHT}, or name another [store] mail"
    yield judged("mail root", can, f"{root} {'can' if can else 'can not'} be written", advice)
    if can:
        yield from _file_system(nearest)


def archive_root(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Nobody but the archiver may enter what is there already; what is made is made so."""
    root = archive_of(config, data).root
    nearest = _nearest(root)
    can = nearest.is_dir() and _is_writable(nearest)
    found = f"{root} {'can' if can else 'can not'} be written"
    yield judged("archive root", can, found, f"{_RIGHT}, or name another [store] archive")
    if can and _exists(root):
        status = root.stat()
        own = status.st_uid == os.geteuid() and not status.st_mode & 0o077
        found = f"{root} has mode {status.st_mode & 0o777:04o} and belongs to user {status.st_uid}"
        yield judged("archive's privacy", own, found, f"give it to the archiver's user alone: chmod 0700 {root}")


def _file_system(directory: Path) -> Iterator[Finding]:
    """Files without a name, and hard links: what makes filing quick and leaves nothing behind."""
    name = f".archiver-doctor.{secrets.token_hex(8)}"
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        nameless, links = _tried(top, name)
    finally:
        os.close(top)
    yield judged(
        "nameless files",
        nameless,
        "the file system has O_TMPFILE" if nameless else "the file system has no O_TMPFILE",
        "filing works, through named files in tmp; a killed process may leave some until the next start",
        otherwise=Verdict.WARN,
    )
    yield judged(
        "hard links",
        links,
        "people who saw the same share one file" if links else "the file system has no hard links",
        "filing works, with a copy for each mailbox",
        otherwise=Verdict.WARN,
    )


def _tried(top: int, name: str) -> tuple[bool, bool]:
    try:
        file = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=top)
    except OSError:
        return False, _links(top, name)
    try:
        os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=top, follow_symlinks=True)
        os.unlink(name, dir_fd=top)
    except OSError:
        return True, False
    finally:
        os.close(file)
    return True, True


def _links(top: int, name: str) -> bool:
    other = f"{name}.link"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=top))
        try:
            os.link(name, other, src_dir_fd=top, dst_dir_fd=top)
            os.unlink(other, dir_fd=top)
        finally:
            os.unlink(name, dir_fd=top)
    except OSError:
        return False
    return True


def room(config: Config, data: Path, now: int) -> Iterator[Finding]:
    roots = (data, store_of(config, data).root, archive_of(config, data).root)
    places = {_nearest(root) for root in roots}
    for number, place in enumerate(sorted({place.stat().st_dev: place for place in places}.values())):
        free, status = shutil.disk_usage(place).free, os.statvfs(place)
        enough = free >= _ROOM and (status.f_files == 0 or status.f_favail >= _INODES)
        yield judged(
            "room" if number == 0 else f"room at {place}",
            enough,
            f"{free // 1024 // 1024:,} MiB and {status.f_favail:,} files free",
            "free some: when the disk is full, capture answers `try later`",
            otherwise=Verdict.WARN,
        )


def listeners(config: Config, data: Path, now: int) -> Iterator[Finding]:
    if not config.endpoints:
        yield Finding("listeners", Verdict.OK, "none: mail intake is switched off in [smtp] enabled")
        return
    try:
        daemon = holder(data / "run", "daemon")
    except OSError:
        daemon = None
    both = {table.listen for table in config.source if isinstance(table, SipTable)}
    for key, endpoint in config.endpoints:
        yield _listener(key, endpoint, daemon, datagrams=endpoint in both)


def _listener(key: str, endpoint: Endpoint, daemon: str | None, *, datagrams: bool) -> Finding:
    where = endpoint.path or f"{endpoint.host}:{endpoint.port}"
    why = _path_taken(Path(endpoint.path)) if endpoint.path else _port_taken(endpoint, socket.SOCK_STREAM)
    if why is None and datagrams:
        where = f"{where} over TCP and UDP"
        why = _port_taken(endpoint, socket.SOCK_DGRAM)
    if why is None:
        return Finding(key, Verdict.OK, f"{where} is free")
    if daemon is not None and why == _USED:
        return Finding(key, Verdict.OK, f"{where} is in use, by {daemon} as it seems")
    advice = f"name another {key}, or free it"
    if why == _USED:
        advice += "; unless systemd holds it for the daemon (archiver.socket): then all is well"
    return Finding(key, Verdict.BAD, f"{where}: {why}", advice)


_USED = "another program listens there"


def _port_taken(endpoint: Endpoint, by: socket.SocketKind) -> str | None:
    """Why one can't listen there; None where one can."""
    try:
        kind, *_, address = socket.getaddrinfo(endpoint.host or None, endpoint.port, type=by, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(kind, by) as probe:
            if by is socket.SOCK_STREAM:  # for datagrams it would share the port with whoever allows that
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            if by is socket.SOCK_STREAM:
                probe.listen(1)
    except OSError as error:
        return _USED if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return None


def _path_taken(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path.parent} can't be written"
    if not path.exists():
        return None
    if not path.is_socket():
        return "something that is no socket lies there"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
    except OSError:  # left by a dead process: the next one replaces it
        return None
    return _USED


def _nearest(path: Path) -> Path:
    """The path, or what exists above it."""
    return next(each for each in (path, *path.parents) if _exists(each))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _is_writable(directory: Path) -> bool:
    return os.access(directory, os.W_OK | os.X_OK)


CHECKS: tuple[Check, ...] = (data_directory, mail_root, archive_root, room, listeners)
