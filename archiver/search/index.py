"""The index: a SQLite file of its own that holds nothing that can't be made again from people's folders.

    document   one row a rendering; its number grows with its date, so that the newest come first without sorting
    texts      what was indexed, packed: for excerpts, and because FTS5 takes words out only who names them again
    copy       which mailbox has it, where: a search in a mailbox sees the documents that lie there, and no other
    words      FTS5 over the folded words of each field, without content of its own
    folder     when each folder was last gone through

Holds no folder and no query language. `Index.open` makes the file anew where it is damaged or another version's.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import DecodeError, Struct, json

from archiver.events import SECOND
from archiver.exceptions import EnvironmentFault, TryLater
from archiver.search.document import Document, Texts
from archiver.search.words import tokens
from archiver.store.protocol import Where

VERSION = 1
"""Of the tables and of how text becomes words; another one's index is made anew."""

_TABLES = """
CREATE TABLE mailbox (n INTEGER PRIMARY KEY, address BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE document (
    n INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    kind TEXT NOT NULL,
    missed INTEGER NOT NULL,
    has_file INTEGER NOT NULL
) STRICT;
CREATE TABLE texts (document INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT;
CREATE TABLE copy (
    mailbox INTEGER NOT NULL,
    folder BLOB NOT NULL,
    name BLOB NOT NULL,
    document INTEGER NOT NULL,
    PRIMARY KEY (mailbox, folder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX copy_document ON copy (document, mailbox);
CREATE TABLE folder (
    mailbox INTEGER NOT NULL, folder BLOB NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (mailbox, folder)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(authors, subject, people, room, said, files, content='', tokenize='ascii');
"""
# To SQLite's `ascii` every character beyond ASCII is part of a word: what a word is was decided before.

_IN_A_SECOND = 1 << 16
"""Numbers of documents that begin in one second; with more of them, some are sorted a second late."""
_CACHE_KIB = 4 * 1024
"""Of pages. More makes nothing faster, and a daemon that opens an ever larger index would fill ever more of it."""
_WAL_LIMIT = 64 * 1024 * 1024
_PATIENCE = 5.0
_NOT_OURS = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LATER = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_decode = json.Decoder(Texts).decode


class Seen(Struct, frozen=True):
    """An item that was read: where it lies, and what of it is searched; None where the index has that already."""

    where: Where
    digest: bytes
    document: Document | None


class Visit(Struct, frozen=True):
    """A folder that was gone through; `stamp` is what its store tells of it, empty where that can't be relied on."""

    mailbox: str
    folder: str
    stamp: str


class Row(Struct, frozen=True):
    """A document as the index knows it, and where it lies: in the mailbox asked for, or in all."""

    number: int
    document: Document
    copies: tuple[Where, ...]


class Broken(Exception):
    """The file can't be used as an index: it is thrown away and made anew."""


class Index:
    """One connection; of one thread. `made` is why this opening has thrown away what was there, if it has."""

    def __init__(self, connection: sqlite3.Connection, path: Path, made: str, *, readonly: bool) -> None:
        self._connection = connection
        self.path = path
        self.made = made
        self.readonly = readonly

    @classmethod
    def open(cls, path: Path, *, readonly: bool = False, made: str = "") -> Index:
        """Makes the file where there is none. Raises `EnvironmentFault` where that, or writing it, isn't permitted."""
        if readonly:
            return cls._opened(path, "", readonly=True)
        try:
            return cls._opened(path, made, readonly=False)
        except Broken as broken:
            cls.remove(path)
            return cls._opened(path, str(broken), readonly=False)

    @classmethod
    def _opened(cls, path: Path, made: str, *, readonly: bool) -> Index:
        with _faults(path):
            connection = _connected(path, readonly=readonly)
            try:
                if not readonly:
                    _set_up(connection)
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version == 0 and not readonly:
                    _make(connection)
                elif version != VERSION:
                    raise Broken(f"it was made by another version ({version}, this is {VERSION})")
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, made, readonly=readonly)

    @staticmethod
    def remove(path: Path) -> None:
        """It can be made anew at any time."""
        with _faults(path):
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What lies where

    def names(self, mailbox: str, folder: str) -> set[str]:
        with _faults(self.path):
            rows = self._connection.execute(
                "SELECT name FROM copy WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?) AND folder = ?",
                (_raw(mailbox), _raw(folder)),
            )
            return {_name(name) for (name,) in rows}

    def folders(self, mailbox: str) -> set[str]:
        with _faults(self.path):
            rows = self._connection.execute(
                "SELECT folder FROM folder WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?1)"
                " UNION SELECT folder FROM copy WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?1)",
                (_raw(mailbox),),
            )
            return {_name(folder) for (folder,) in rows}

    def mailboxes(self) -> set[str]:
        with _faults(self.path):
            return {_name(address) for (address,) in self._connection.execute("SELECT address FROM mailbox")}

    def visited(self) -> set[str]:
        """Mailboxes of which a folder was gone through."""
        with _faults(self.path):
            rows = self._connection.execute(
                "SELECT address FROM mailbox WHERE EXISTS (SELECT 1 FROM folder WHERE mailbox = mailbox.n)"
            )
            return {_name(address) for (address,) in rows}

    def has(self, digest: bytes) -> bool:
        with _faults(self.path):
            return self._connection.execute("SELECT 1 FROM document WHERE digest = ?", (digest,)).fetchone() is not None

    def stamp(self, mailbox: str, folder: str) -> str:
        """As it was when the folder was last gone through; empty if never."""
        with _faults(self.path):
            row = self._connection.execute(
                "SELECT stamp FROM folder WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?) AND folder = ?",
                (_raw(mailbox), _raw(folder)),
            ).fetchone()
            return "" if row is None else str(row[0])

    @property
    def is_whole(self) -> bool:
        """Whether every mailbox was gone through once."""
        with _faults(self.path):
            return bool(self._connection.execute("PRAGMA application_id").fetchone()[0])

    @is_whole.setter
    def is_whole(self, whole: bool) -> None:
        if whole is not self.is_whole:
            with _faults(self.path):
                self._connection.execute(f"PRAGMA application_id = {int(whole)}")

    # Changing

    def change(self, seen: Sequence[Seen], gone: Sequence[Where] = ()) -> None:
        """One transaction: these lie there now, those no more."""
        if not seen and not gone:
            return
        with self._writing():
            places = [*gone, *(each.where for each in seen)]
            touched = [number for where in places if (number := self._take_out(where)) is not None]
            self._add([each.document for each in seen if each.document is not None])
            self._connection.executemany(
                "INSERT OR REPLACE INTO copy SELECT ?, ?, ?, n FROM document WHERE digest = ?",
                [(*self._key(each.where), each.digest) for each in seen],
            )
            self._drop(set(touched))

    def went_through(self, visits: Sequence[Visit]) -> None:
        """One without a stamp, as a folder that is no more, is listed again."""
        if visits:
            with self._writing():
                for visit in visits:
                    key = self._mailbox(visit.mailbox), _raw(visit.folder)
                    self._connection.execute("DELETE FROM folder WHERE mailbox = ? AND folder = ?", key)
                    if visit.stamp:
                        self._connection.execute("INSERT INTO folder VALUES (?, ?, ?)", (*key, visit.stamp))

    def scrub(self) -> None:
        """Make the file anew, so that no word that was taken out is left anywhere in it, nor in its write-ahead log.

        Until then FTS5 only notes that a word is out: this SQLite has no `secure-delete` for it. A mailbox in which
        nothing lies any more is forgotten too; it is gone through again if it is there.
        """
        with self._writing():
            self._connection.execute("DELETE FROM folder WHERE mailbox NOT IN (SELECT mailbox FROM copy)")
            self._connection.execute("DELETE FROM mailbox WHERE n NOT IN (SELECT mailbox FROM copy)")
        with _faults(self.path):
            self._connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _key(self, where: Where) -> tuple[int, bytes, bytes]:
        return self._mailbox(where.mailbox), _raw(where.folder), _raw(where.name)

    def _mailbox(self, address: str) -> int:
        self._connection.execute("INSERT OR IGNORE INTO mailbox (address) VALUES (?)", (_raw(address),))
        number: int
        (number,) = self._connection.execute("SELECT n FROM mailbox WHERE address = ?", (_raw(address),)).fetchone()
        return number

    def _take_out(self, where: Where) -> int | None:
        row = self._connection.execute(
            "DELETE FROM copy WHERE mailbox = (SELECT n FROM mailbox WHERE address = ?) AND folder = ? AND name = ?"
            " RETURNING document",
            (_raw(where.mailbox), _raw(where.folder), _raw(where.name)),
        ).fetchone()
        return None if row is None else row[0]

    def _add(self, documents: Iterable[Document]) -> None:
        """FTS5 wants its rows in order: others than the next higher one cost it a flush."""
        fresh: dict[int, Document] = {}
        for document in sorted(documents, key=lambda each: each.first):
            if not self.has(document.digest):
                number = self._number(document.first)
                self._insert(number, document)
                fresh[number] = document
        self._connection.executemany(
            f"INSERT INTO words (rowid, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            ((number, *_words(fresh[number].texts)) for number in sorted(fresh)),
        )

    def _number(self, first: int) -> int:
        start = max(0, first // SECOND) * _IN_A_SECOND
        (last,) = self._connection.execute(
            "SELECT max(n) FROM document WHERE n BETWEEN ? AND ?", (start, start + _IN_A_SECOND - 1)
        ).fetchone()
        number: int = start if last is None else last + 1
        while self._connection.execute("SELECT 1 FROM document WHERE n = ?", (number,)).fetchone():
            number += 1
        return number

    def _insert(self, number: int, document: Document) -> None:
        facts = (document.digest, document.first, document.last, document.kind, document.missed, document.has_file)
        self._connection.execute("INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?)", (number, *facts))
        packed = zlib.compress(json.encode(document.texts), 6)
        self._connection.execute("INSERT INTO texts VALUES (?, ?)", (number, packed))

    def _drop(self, numbers: Iterable[int]) -> None:
        """Documents that lie nowhere any more."""
        for number in sorted(numbers):
            if self._connection.execute("SELECT 1 FROM copy WHERE document = ? LIMIT 1", (number,)).fetchone():
                continue
            (packed,) = self._connection.execute(
                "DELETE FROM texts WHERE document = ? RETURNING packed", (number,)
            ).fetchone()
            self._connection.execute(
                f"INSERT INTO words (words, rowid, {_COLUMNS}) VALUES ('delete', ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (number, *_words(_unpacked(packed))),
            )
            self._connection.execute("DELETE FROM document WHERE n = ?", (number,))

    # Asking

    def documents(self, statement: str, parameters: Sequence[object]) -> list[int]:
        """Numbers of documents, as a statement of `statements` finds them."""
        with _faults(self.path):
            return [number for (number,) in self._connection.execute(statement, parameters)]

    def rows(self, numbers: Iterable[int], mailbox: str | None) -> Iterator[Row]:
        """In the same order; those that have gone meanwhile are left out."""
        with _faults(self.path):
            for number in numbers:
                row = self._connection.execute(
                    "SELECT digest, first, last, kind, missed, has_file, packed FROM document"
                    " JOIN texts ON document = n WHERE n = ?",
                    (number,),
                ).fetchone()
                if row is not None:
                    yield Row(number, _document(*row), self._copies(number, mailbox))

    def _copies(self, number: int, mailbox: str | None) -> tuple[Where, ...]:
        rows = self._connection.execute(
            "SELECT address, folder, name FROM copy JOIN mailbox ON mailbox.n = mailbox"
            " WHERE document = ?1 AND ifnull(address = ?2, 1) ORDER BY address, folder, name",
            (number, None if mailbox is None else _raw(mailbox)),
        )
        return tuple(Where(_name(address), _name(folder), _name(name)) for address, folder, name in rows)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    @property
    def count(self) -> int:
        """How many documents it has."""
        with _faults(self.path):
            number: int
            (number,) = self._connection.execute("SELECT count(*) FROM document").fetchone()
        return number

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with _faults(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise


def _document(digest: bytes, first: int, last: int, kind: str, missed: int, has_file: int, packed: bytes) -> Document:
    return Document(digest, first, last, kind, bool(missed), bool(has_file), _unpacked(packed))


_COLUMNS = ", ".join(Texts.__struct_fields__)


def _words(texts: Texts) -> tuple[str, ...]:
    return tuple(" ".join(tokens(getattr(texts, name))) for name in Texts.__struct_fields__)


def _unpacked(packed: bytes) -> Texts:
    try:
        return _decode(zlib.decompress(packed))
    except (zlib.error, DecodeError) as error:
        raise Broken("it was damaged") from error


_raw, _name = os.fsencode, os.fsdecode
"""Names are kept as bytes: on disk they may be no UTF-8."""


def _connected(path: Path, *, readonly: bool) -> sqlite3.Connection:
    if not readonly:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    uri = path.resolve().as_uri() + ("?mode=ro" if readonly else "?mode=rw")
    return sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)


def _set_up(connection: sqlite3.Connection) -> None:
    for pragma in (
        "secure_delete = ON",
        "journal_mode = WAL",
        "synchronous = NORMAL",  # what a crash takes of it is read from the folders again
        f"cache_size = -{_CACHE_KIB}",
        f"journal_size_limit = {_WAL_LIMIT}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:  # else somebody made it meanwhile
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise Broken("it was something else")
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """SQLite's refusals as ours; what says that the file is no index as `Broken`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _NOT_OURS:
            raise Broken("it was damaged") from error
        if code in _LATER:
            raise TryLater(f"the search index can't be used now: {error} ({path})", hint="try again") from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            raise EnvironmentFault(f"the search index can't be used: {error} ({path})", hint=_ALLOW) from error
        raise
    except OSError as error:
        raise EnvironmentFault(f"{error.filename or path}: {error.strerror}", hint=_ALLOW) from error


_ALLOW = "let the archiver's user read and write the data directory; the index may be removed, it is made anew"
