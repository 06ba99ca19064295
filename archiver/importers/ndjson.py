"""Files in the archiver's own event format (docs/event-format.md): NDJSON, plain, gzip or Zstandard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from archiver.events import Captured, Rejected, date_of, open_events, read_events
from archiver.importers.protocol import Options


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
            yield from read_events(
                stream, name=str(path), received=received, folder=path.parent, file_date=date_of(path)
            )
