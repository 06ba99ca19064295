"""SQLite databases of exports, read as rows of plain tables and nothing else.

A file on disk is opened read-only where it lies and never changed; one in an archive, packed, or with a write-ahead
log beside it is copied first. Nothing in it is run: no view, no virtual table, no function, no trigger, no trusted
schema. Nothing here knows a format.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from urllib.parse import quote

from archiver.events import chunks
from archiver.exceptions import EnvironmentFault, Unreadable
from archiver.importers.document import Document
from archiver.importers.metering import BUFFER, read_up_to

MAGIC = b"SQLite format 3\0"
VALUE_LIMIT = 32 * 1024 * 1024
"""Bytes of one value or row."""
CHUNK = 1024 * 1024
STEPS = 100_000
FEWEST = 20_000_000
STEPS_A_BYTE = 100
"""Steps of SQLite's machine that reading may take: far more than any file needs whose rows lie in it once."""
Tables = dict[str, tuple[str, ...]]
"""Names of tables, with those of their columns."""
_DAMAGED = (sqlite3.Error, OverflowError, UnicodeDecodeError)
"""What a damaged file raises: the last where the name of a column is."""


class Broken(Exception):
    """No database that can be read, or not further than to here."""


class Database:
    """An open one. `tables` are the plain ones there, by name, with their columns."""

    def __init__(self, connection: sqlite3.Connection, size: int, document: Document) -> None:
        self._connection = connection
        self._document = document
        self._steps = FEWEST + STEPS_A_BYTE * size
        self.tables: Tables = {}
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
            if isinstance(name, str) and not str(sql).lstrip().upper().startswith("CREATE VIRTUAL"):
                columns = connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()
                self.tables[name] = tuple(column for (column,) in columns)
        connection.set_authorizer(self._only_reading)
        connection.set_progress_handler(self._one_more, STEPS)

    def rows(self, query: str, parameters: tuple[object, ...] = (), *, through: str = "") -> Iterator[tuple[Any, ...]]:
        """What a query finds, by the number in its first column, which never falls. Raises `Broken` for a damaged file.

        A file that was made to harm can lead in circles: then the number falls, or the steps are too many for its size.
        `through` names the table whose rows they are: how far they are among all of them is how far the reading is.
        """
        last = None
        try:
            went = self._through(through) if through else None
            for row in self._connection.execute(query, parameters):
                if not isinstance(row[0], int) or (last is not None and row[0] < last):
                    raise Broken("the database leads in circles")
                last = row[0]
                if went is not None:
                    went(last)
                yield row
        except _DAMAGED as fault:
            raise Broken(f"the database can't be read: {fault}") from fault

    def _through(self, table: str) -> Callable[[int], None]:
        """Takes the rowids of a table in order, and says how far they are: as if rows were all of one size."""
        ends = f"SELECT rowid FROM {table} ORDER BY rowid {{}} LIMIT 1"  # noqa: S608
        (first,) = self._connection.execute(ends.format("ASC")).fetchone() or (0,)
        (last,) = self._connection.execute(ends.format("DESC")).fetchone() or (0,)
        size, told = self._document.size, 0

        def went(number: int) -> None:
            nonlocal told
            at = size if number >= last else size * (number - first) // (last - first)
            if at >= told + BUFFER or at == size:
                told = at
                read_up_to(self._document, at)

        return went

    def has(self, table: str, columns: Collection[str]) -> bool:
        return set(columns) <= set(self.tables.get(table, ()))

    def _only_reading(self, action: int, table: str | None, name: str | None, *_: str | None) -> int:
        reads = action == sqlite3.SQLITE_READ and table in self.tables
        is_plain = action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_FUNCTION and name == "min")
        return sqlite3.SQLITE_OK if reads or is_plain else sqlite3.SQLITE_DENY

    def _one_more(self) -> bool:
        """Whether to stop."""
        self._steps -= STEPS
        return self._steps < 0


@contextmanager
def opened(document: Document) -> Iterator[Database]:
    """Raises `Broken` for what is no database, or none that can be opened."""
    with TemporaryDirectory(prefix="archiver-") as folder:
        path = _readable(document, Path(folder))
        connection: sqlite3.Connection | None = None
        try:
            # Immutable: no lock, no journal, nothing made beside a file that isn't ours.
            mode = "mode=rw" if path.is_relative_to(folder) else "mode=ro&immutable=1"
            connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True, isolation_level=None)
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_LIMIT)
            for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
                connection.execute(f"PRAGMA {pragma}")
            database = Database(connection, path.stat().st_size, document)
        except _DAMAGED as fault:
            if connection is not None:
                connection.close()
            raise Broken(f"the database can't be opened: {fault}") from fault
        try:
            yield database
        finally:
            connection.close()


_LAST: dict[tuple[object, ...], Tables] = {}
"""What was looked at last: each format looks at the same, and what is packed is unpacked to be looked at."""


def tables_of(document: Document, head: bytes) -> Tables:
    """Its tables and their columns; none where it is no database. Raises `Unreadable` for a broken one."""
    if not head.startswith(MAGIC):
        return {}
    stamp = _stamp(document)
    if stamp not in _LAST:
        try:
            with opened(document) as database:
                _LAST.clear()
                _LAST[stamp] = database.tables
        except Broken as fault:
            raise Unreadable(f"{document.place}: {fault}", path=document.place) from fault
    return _LAST[stamp]


def _stamp(document: Document) -> tuple[object, ...]:
    """Equal while nothing changed it, or the archive it lies in; what lies in memory only equals itself."""
    file, log = document.tree.path(document.within) or Path(document.tree.place), _log_of(document)
    try:
        states = [each.stat() for each in (file, log) if each is not None]
    except OSError:
        return (object(),)
    return document.place, *((each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in states)


def is_copied(document: Document) -> bool:
    """Whether it is a database that can't be opened where it lies: it takes its size, unpacked, in the temporary
    folder."""
    is_database = document.head(len(MAGIC)) == MAGIC
    return is_database and (_place(document) is None or _log_of(document) is not None)


def _place(document: Document) -> Path | None:
    """Where it lies on disk and is not packed."""
    with document.tree.open(document.within) as stream:
        is_plain = stream.read(len(MAGIC)) == MAGIC
    return document.tree.path(document.within) if is_plain else None


def _log_of(document: Document) -> Path | None:
    path = document.tree.path(document.within)
    log = path.with_name(path.name + "-wal") if path is not None else None
    return log if log is not None and log.is_file() and log.stat().st_size > 0 else None


def _readable(document: Document, folder: Path) -> Path:
    """Where it can be opened: itself, or a copy in `folder`."""
    place, log = _place(document), _log_of(document)
    if place is not None and log is None:
        return place
    if document.head(len(MAGIC)) != MAGIC:
        raise Broken(document.damage() or "no SQLite database")
    copy = folder / "copy"
    with document.open() as stream:
        _copy(stream, copy)
    if log is not None:
        with log.open("rb") as stream:
            _copy(stream, folder / "copy-wal")
    return copy


def _copy(stream: BinaryIO, copy: Path) -> None:
    with _room_in(copy.parent), copy.open("wb") as target:
        for piece in chunks(stream, CHUNK):
            if isinstance(piece, str):
                raise Broken(piece)
            target.write(piece)


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "make room there, or name another folder as TMPDIR; a copy of the unpacked database has to fit"
        raise EnvironmentFault(f"{folder.parent}: {fault.strerror}", hint=hint) from fault
