"""What is left of somebody below a data directory: every byte of every file, however it is packed there.

Knows no file by its name but the spool, so whatever comes to lie there is searched too.
"""

from __future__ import annotations

import base64
import contextlib
import quopri
import re
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4}){5,}[A-Za-z0-9+/=]{0,4}(?:\r?\n[A-Za-z0-9+/=]+)*")
_SQLITE = b"SQLite format 3\0"


def unpacked(content: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes, and all that is packed in them: zlib, quoted-printable, base64 and gzip, one in another."""
    yield content
    if not depth:
        return
    with contextlib.suppress(zlib.error):
        yield zlib.decompress(content)
    if b"=" in content:
        yield quopri.decodestring(content)
    for at in (found.start() for found in re.finditer(rb"\x1f\x8b\x08", content)):
        try:
            yield zlib.decompressobj(31).decompress(content[at:])
        except zlib.error:
            continue
    for found in _BASE64.finditer(content):
        packed = b"".join(found[0].split())
        yield from unpacked(base64.b64decode(packed[: len(packed) // 4 * 4]), depth - 1)


def remains(data: Path, words: Iterable[str], *, kept: Iterable[str] = ()) -> list[str]:
    """Where one of the words stands: files, and tables by column. Tables named in `kept` may have them."""
    wanted = [word.lower().encode() for word in words]
    return sorted({place for place, content in _places(data, frozenset(kept)) if _says(content, wanted)})


def _says(content: bytes, wanted: list[bytes]) -> bool:
    return any(word in each.lower() for each in unpacked(content) for word in wanted)


def _places(data: Path, kept: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        name = str(path.relative_to(data))
        if not path.read_bytes().startswith(_SQLITE):
            if not re.search(r"-(wal|shm)$", name):
                yield name, path.read_bytes()
            continue
        yield from ((f"{name}: {column}", cell) for column, cell in _cells(path, kept))
        yield name, _without(path, kept)


def _cells(path: Path, kept: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """Each value of each table as one: what is long lies in pieces in the file."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table in kept:
                continue
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, str | bytes):
                        yield f"{table}.{name}", value.encode() if isinstance(value, str) else value
        yield from _terms(connection)


def _terms(connection: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """The words of full text indexes: there each stands without what it has in common with the one before."""
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%USING fts5%'").fetchall():
        connection.execute(f"CREATE VIRTUAL TABLE temp.{table}_terms USING fts5vocab('main', '{table}', 'row')")
        for (term,) in connection.execute(f"SELECT term FROM temp.{table}_terms"):
            yield f"{table} (words)", term.encode() if isinstance(term, str) else term


def _without(path: Path, kept: frozenset[str]) -> bytes:
    """The file and its log as they lie there, free pages too, but for the tables `kept`."""
    with tempfile.TemporaryDirectory() as directory:
        copies = [
            shutil.copy(each, directory) for each in path.parent.glob(f"{path.name}*") if each.name[-4:] != "-shm"
        ]
        log = b"".join(Path(each).read_bytes() for each in copies if each.endswith("-wal"))
        connection = sqlite3.connect(Path(directory) / path.name)
        connection.execute("PRAGMA secure_delete = ON")
        for table in kept:
            connection.execute(f'DROP TABLE IF EXISTS "{table}"')
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return (Path(directory) / path.name).read_bytes() + log
