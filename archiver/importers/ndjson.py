"""Files in the archiver's own event format (docs/event-format.md): NDJSON, plain, gzip or Zstandard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from archiver.events import LINE_LIMIT, Captured, Rejected, date_of, open_events, read_events
from archiver.importers.protocol import Options

UNREADABLE_LIMIT = 1_000
"""Lines of one file that are set aside one by one, unless more of it are events."""


class Events:
    name = "events"
    title = "event files (NDJSON)"
    partial_presence = False
    ordered = False

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"specversion"' in head

    def read(
        self, path: Path, options: Options, *, received: int, ignored: Counter[str] | None = None
    ) -> Iterator[Captured | Rejected]:
        with open_events(path) as stream:
            pieces = read_events(stream, name=str(path), received=received, folder=path.parent, file_date=date_of(path))
            yield from _readable(pieces, path)


def _readable(pieces: Iterator[Captured | Rejected], path: Path) -> Iterator[Captured | Rejected]:
    """Ends with the file itself in quarantine where most of it is no event: a file of something else, or damaged."""
    unreadable = readable = 0
    for piece in pieces:
        yield piece
        if not isinstance(piece, Rejected):
            readable += 1
            continue
        unreadable += 1
        if unreadable >= UNREADABLE_LIMIT and unreadable > readable:
            yield _whole(path, piece.position, unreadable, readable)
            return


def _whole(path: Path, position: str, unreadable: int, readable: int) -> Rejected:
    with path.open("rb") as file:
        content = file.read(LINE_LIMIT + 1)
    cut = f"; here only its first {LINE_LIMIT:,} bytes" if len(content) > LINE_LIMIT else ""
    reason = f"{unreadable:,} lines are no events and {readable:,} are: not read further than {position}{cut}"
    return Rejected(content[:LINE_LIMIT], str(path), reason)
