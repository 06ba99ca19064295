"""Connections to DATA/spool.db: one a thread, none across a fork; transactions; SQLite's errors as ours.

Every write is one `BEGIN IMMEDIATE` transaction behind the live gate. Holds no table's name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from sqlite_utils import Database

from archiver.exceptions import EnvironmentFault, TryLater
from archiver.spool.heap import give_back
from archiver.spool.locks import Gate

MIB = 1024 * 1024
_WRITER_CACHE = 48 * MIB
_SMALL_CACHE = 8 * MIB
"""For a writer that goes from place to place in order, as the journal does: it comes back to few pages. And for a
daemon: what one of its threads has committed makes the others read their pages again."""
_READER_CACHE = 4 * MIB
_WAL_PAGES = 8_000
"""Checkpoint at 32 MiB, so that even behind a reader the journal file stays under 64 MiB."""
_WAL_LIMIT = 64 * MIB

_LATER = {
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another connection",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk refuses (full, over quota, or failing)",
    sqlite3.SQLITE_CANTOPEN: "its files can't be opened (disk full, or too many open files)",
    sqlite3.SQLITE_PROTOCOL: "it is locked by another process",
}
_ALLOW = "let the archiver's user read and write the data directory and what is in it"
_RESTORE = "stop the daemon, keep a copy of the file, and put back a backup"
_BROKEN = {
    sqlite3.SQLITE_READONLY: ("it is read-only", _ALLOW),
    sqlite3.SQLITE_PERM: ("permission is denied", _ALLOW),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", _RESTORE),
    sqlite3.SQLITE_NOTADB: ("it is not a spool", _RESTORE),
}
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_ABANDONED: list[_Own] = []
"""Connections of the parent, kept in a forked child for ever: SQLite forbids even closing them there."""


_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST})
"""A path that can't be a data directory: forbidden, or something else lies there."""


@contextlib.contextmanager
def faults(path: Path) -> Iterator[None]:
    """SQLite's and the disk's refusals as `TryLater` or `EnvironmentFault`; everything else is a bug, untouched."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and _is_forbidden(path):
            raise EnvironmentFault(
                f"the spool can't be used: it is no file that the archiver may read ({path})",
                hint=_ALLOW,
                spool=str(path),
            ) from error
        if code in _LATER:
            raise TryLater(
                f"the spool can't be used now: {_LATER[code]}",
                hint="nothing was changed; it goes on by itself when there is room and no lock",
                spool=str(path),
            ) from error
        if code in _BROKEN:
            what, hint = _BROKEN[code]
            raise EnvironmentFault(f"the spool can't be used: {what} ({path})", hint=hint, spool=str(path)) from error
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise TryLater(
                f"the spool can't take more now: {error.strerror}", hint="make room on the disk", spool=str(path)
            ) from error
        if error.errno in _NOT_OURS:
            raise EnvironmentFault(
                f"{error.filename or path}: {error.strerror}",
                hint="name a data directory with --data that the archiver may make and write",
                spool=str(path),
            ) from error
        raise


def _is_forbidden(path: Path) -> bool:
    """SQLite tells of this what it tells of a full disk, a failing one or too many open files."""
    return path.exists() and not (path.is_file() and os.access(path, os.R_OK))


def _make(path: Path) -> None:
    """An empty file that nobody else may read, as SQLite's log beside it then is: it leaves that to the umask.

    Not where there is one: closing any descriptor of it would drop the locks that SQLite holds.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


class Transaction:
    """One write transaction; `held` is how many seconds it held the write lock, once it has ended.

    A checkpoint that falls to its commit is counted in, though SQLite runs it after the lock was freed.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.held = 0.0


class _Own:
    """One thread's connection; `used` is held while it is in use."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.used = threading.RLock()


class Connections:
    """The connections of one process to one spool; each thread gets its own."""

    def __init__(self, path: Path, gate: Gate, *, readonly: bool, patience: float) -> None:
        self.path = path
        self._gate = gate
        self._readonly = readonly
        self._patience = patience
        self._cache = _READER_CACHE if readonly else _WRITER_CACHE
        self._local = threading.local()
        self._all: weakref.WeakSet[_Own] = weakref.WeakSet()
        _INSTANCES.add(self)

    @property
    def db(self) -> Database:
        """This thread's connection, as sqlite-utils sees it."""
        return self._own.db

    @property
    def _own(self) -> _Own:
        found: _Own | None = getattr(self._local, "own", None)
        if found is None:
            found = self._local.own = _Own(self._connect())
            self._all.add(found)
        return found

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with faults(self.path), self._own.used:
            yield self.db.conn

    @contextlib.contextmanager
    def writing(self, *, live: bool = False) -> Iterator[Transaction]:
        """One transaction: all of it durable when the block ends, or nothing of it."""
        if self._readonly:
            raise EnvironmentFault("this spool was opened for reading only", spool=str(self.path))
        with faults(self.path), self._own.used:
            transaction = Transaction(self.db.conn)
            if live:
                with self._gate.live():
                    yield from self._run(transaction)
            else:
                self._gate.pass_through()
                yield from self._run(transaction)

    def _run(self, transaction: Transaction) -> Iterator[Transaction]:
        connection = transaction.connection
        started = time.perf_counter()
        try:
            connection.execute("BEGIN IMMEDIATE")
            started = time.perf_counter()
            yield transaction
            connection.execute("COMMIT")
        except BaseException as error:
            self._undo(connection, error)
            raise
        finally:
            transaction.held = time.perf_counter() - started

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        # After an I/O error SQLite's view of its files isn't to be trusted: the next call opens them anew.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) or connection.in_transaction:
            self.close_mine()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and cut it, unless somebody reads it just now."""
        with faults(self.path), self._own.used:
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self) -> None:
        """Drop this thread's pages, and give back all memory that is free; from now on its connection keeps few."""
        self._cache = min(self._cache, _SMALL_CACHE)
        self.close_mine()
        give_back()  # half of a backfill's

    def close_mine(self) -> None:
        found: _Own | None = getattr(self._local, "own", None)
        if found is not None:
            del self._local.own
            found.db.close()

    def close(self) -> None:
        """Those of all threads, but for what another one has in use just now, as one that hangs.

        To close that would take the connection from under a running statement, which ends the process. It is left to
        its thread, or to the process's end.
        """
        every = list(self._all)
        self._local = threading.local()
        for own in every:
            if own.used.acquire(blocking=False):
                own.db.close()
                own.used.release()

    def _connect(self) -> Database:
        uri = self.path.resolve().as_uri() + ("?mode=ro" if self._readonly else "?mode=rwc")
        with faults(self.path):
            if not self._readonly:
                _make(self.path)
            # isolation_level None: no transaction that we didn't begin. The thread check is off for `close` only.
            connection = sqlite3.connect(
                uri,
                uri=True,
                timeout=self._patience,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            db = Database(connection, execute_plugins=False)
            for pragma in self._pragmas():
                connection.execute(f"PRAGMA {pragma}")
        return db

    def _pragmas(self) -> tuple[str, ...]:
        common = ("foreign_keys = ON", "temp_store = MEMORY", f"cache_size = -{self._cache // 1024}")
        if self._readonly:
            return (*common, "query_only = ON")
        return (
            *common,
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {_WAL_PAGES}",
            f"journal_size_limit = {_WAL_LIMIT}",
        )

    def _abandon(self) -> None:
        _ABANDONED.extend(self._all)
        self._all = weakref.WeakSet()
        self._local = threading.local()


_INSTANCES: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_INSTANCES):
        connections._abandon()


os.register_at_fork(after_in_child=_after_fork)
