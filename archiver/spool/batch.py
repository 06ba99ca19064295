"""A batch made ready before its transaction: identities, rows, files to write. Holds no SQL and no lock.

Nothing here may take the write lock's time: digests and encodings are the larger part of an append's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from archiver.events import Captured, Rejected
from archiver.spool import files, identity

PlaceKey = tuple[str, str]
Row = tuple[int, int, int, int, int, bytes]
"""Index in the batch, place, time, received, feed, body."""


class Batch(Struct):
    """A batch with everything computed that needs no transaction. `identities` are sorted by key: SQLite's pages
    are then touched in order, and of two with one key in a batch the first comes first."""

    events: list[Captured]
    positions: list[int]
    rejected: list[tuple[int, Rejected]]
    identities: list[tuple[int, int, int]]
    places: list[PlaceKey]
    quarantine: list[files.Entry]
    blobs: list[tuple[str, int, files.Entry]]
    spoiled: list[tuple[int, str]]
    """Attachments that can't be stored (index of the event, why); the event itself is filed without them."""
    numbers: dict[PlaceKey, int] = {}
    rows: list[Row] | None = None
    """The rows of all events, where all their places are known already; `numbers` are those places'."""


def prepare(items: Sequence[Captured | Rejected]) -> Batch:
    events: list[Captured] = []
    positions: list[int] = []
    rejected: list[tuple[int, Rejected]] = []
    for position, item in enumerate(items):
        if isinstance(item, Captured):
            events.append(item)
            positions.append(position)
        else:
            rejected.append((position, item))
    key, digest = identity.key, identity.digest
    identities = [(key((e := c.event).source, e.id), i, digest(e, c.time)) for i, c in enumerate(events)]
    identities.sort()
    batch = Batch(
        events,
        positions,
        rejected,
        identities,
        [((e := c.event).source, e.data.conversation.id) for c in events],
        [entry for _, item in rejected for entry in _quarantine_entries(item.content, item.reason, item.position)],
        [],
        [],
    )
    for i, captured in enumerate(events):
        if captured.cleaned:
            original = captured.body if captured.original is None else captured.original
            batch.quarantine += _quarantine_entries(original, "; ".join(captured.cleaned), captured.event.id)
        for sha256, content in captured.attached:
            _prepare_blob(batch, i, sha256, content)
    return batch


def _quarantine_entries(content: bytes, reason: str, position: str) -> list[files.Entry]:
    name = files.content_name(content)
    beside = f"{position}\n{reason}\n".encode("utf-8", "replace")
    return [files.Entry(name, content), files.Entry(f"{name}.reason", beside)]


def _prepare_blob(batch: Batch, i: int, sha256: str, content: bytes | Path) -> None:
    size = files.size_of(content)
    if size is None or not files.is_digest(sha256) or files.digest_of(content) != sha256:
        batch.spoiled.append((i, f"attachment {sha256[:64]} can't be read or isn't what its digest says"))
    else:
        batch.blobs.append((sha256, size, files.Entry(files.blob_path(sha256), content)))
