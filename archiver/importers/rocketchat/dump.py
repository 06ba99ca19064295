"""BSON files of a dump, record by record with a bound, and the files that GridFS keeps in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from archiver.events import DAMAGED
from archiver.exceptions import UsageError
from archiver.importers.document import CONTENT_LIMIT, Document
from archiver.importers.jsonfile import Broken

RECORD_LIMIT = 17 * 1024 * 1024
"""MongoDB's own limit is 16 MiB a record."""
_LENGTH = 4


def records(document: Document) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Every record as it lies there, and decoded. Raises `Broken` where the file can't be read further."""
    for _, raw in _raw(document):
        yield raw, _decoded(raw)


def _raw(document: Document) -> Iterator[tuple[int, bytes]]:
    """Offsets and bytes."""
    offset = 0
    try:
        with document.open() as stream:
            while length := stream.read(_LENGTH):
                raw = length + _rest(stream, int.from_bytes(length, "little"))
                yield offset, raw
                offset += len(raw)
    except DAMAGED as fault:
        raise Broken(f"damaged: {fault}") from fault


def _rest(stream: BinaryIO, size: int) -> bytes:
    if not 5 <= size <= RECORD_LIMIT:
        raise Broken("no BSON: a record of an impossible size")
    rest = stream.read(size - _LENGTH)
    if len(rest) < size - _LENGTH:
        raise Broken("the file breaks off inside a record")
    return rest


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        from bson import decode
        from bson.errors import BSONError
    except ImportError as fault:
        raise UsageError(
            "reading Rocket.Chat's dumps needs BSON", hint="pip install 'conversation-archiver[rocketchat]'"
        ) from fault
    try:
        return dict(decode(raw))
    except (BSONError, RecursionError, ValueError, OverflowError) as fault:
        raise Broken(f"no BSON: {fault}") from fault


class Files:
    """Contents of shared files, put together from their chunks."""

    def __init__(self, chunks: Document | None) -> None:
        self._chunks = chunks
        self._where: dict[str, dict[int, tuple[int, int]]] | None = None

    def content(self, identifier: str) -> bytes | None:
        """None for a file that isn't in the dump whole, or is over `CONTENT_LIMIT`."""
        if self._chunks is None:
            return None
        if self._where is None:
            self._where = self._index()
        places = self._where.get(identifier, {})
        if not places or sorted(places) != list(range(len(places))):
            return None
        if sum(size for _, size in places.values()) > CONTENT_LIMIT:
            return None
        return b"".join(self._chunk(*places[number]) for number in range(len(places)))

    def _index(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Which chunk of which file lies where; without the contents."""
        where: dict[str, dict[int, tuple[int, int]]] = {}
        assert self._chunks is not None
        try:
            for offset, raw in _raw(self._chunks):
                record = _decoded(raw)
                where.setdefault(str(record.get("files_id")), {})[int(record.get("n", -1))] = offset, len(raw)
        except (Broken, TypeError, ValueError):
            pass  # files behind the break are missing, and said to be
        return where

    def _chunk(self, offset: int, size: int) -> bytes:
        assert self._chunks is not None
        with self._chunks.open() as stream:
            stream.seek(offset)
            return bytes(_decoded(stream.read(size)).get("data", b""))
