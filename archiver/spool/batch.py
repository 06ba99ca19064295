"""A batch made ready before its transaction: identities, rows, files to write. Holds no SQL and no lock.

Nothing here may take the write lock's time: digests and encodings are the larger part of an append's work. `seal` does
that of one event, and what it gives can pass between processes: so one may read while another writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from archiver.events import ENDED, Captured, Rejected
from archiver.spool import files, identity

PlaceKey = tuple[str, str]


class Sealed(Struct, array_like=True, frozen=True, gc=False):
    """All that an append needs to know of one event, its identity and digest computed.

    `serial` says where its identity is kept. `shares` are the digests of its attachments, `attached` the contents to
    store: by SHA-256, bytes, or None and the path of the file that has them. `ends` tells a `conversation.ended`.
    `cleaned` says what was mended, `original` how it came, `position` where.
    """

    serial: int
    key: int
    digest: int
    source: str
    conversation: str
    id: str
    kind: str
    time: int
    received: int
    body: bytes
    ends: bool = False
    shares: tuple[str, ...] = ()
    cleaned: str = ""
    original: bytes | None = None
    attached: tuple[tuple[str, bytes | None, bytes], ...] = ()
    position: str = ""

    @property
    def where(self) -> str:
        """In quarantine: where it stood, if that is known, and its id."""
        return f"{self.position} ({self.id})" if self.position else self.id


def seal(captured: Captured) -> Sealed:
    event = captured.event
    data = event.data
    place = data.conversation
    serial, key = identity.serial(event.id), identity.key(event.source, event.id)
    digest = identity.digest(event, captured.time)
    time, received, body = captured.time, captured.received, captured.body
    if data.attachments is None and not captured.cleaned:
        return Sealed(
            serial, key, digest, event.source, place.id, event.id, place.kind, time, received, body, event.type == ENDED
        )
    return Sealed(
        serial,
        key,
        digest,
        event.source,
        place.id,
        event.id,
        place.kind,
        time,
        received,
        body,
        event.type == ENDED,
        tuple(shared.sha256 for shared in data.attachments or () if shared.sha256),
        "; ".join(captured.cleaned),
        (captured.body if captured.original is None else captured.original) if captured.cleaned else None,
        tuple(
            (sha256, data, b"") if isinstance(data, bytes) else (sha256, None, os.fsencode(data))
            for sha256, data in captured.attached
        ),
        captured.position,
    )


class Batch(Struct):
    """A batch with everything computed that needs no transaction.

    Columns, not rows: zipped where they are bound, they cost no tuple an event. `order` are the events' indices as
    their identities are kept; `serials`, `keys` and `digests` stand in it: SQLite's pages are then touched in order,
    and of two with one identity in a batch the first comes first. `unusual` are the indices of events with files, or
    cleaned.
    """

    events: list[Sealed]
    positions: Sequence[int]
    rejected: list[tuple[int, Rejected]]
    order: list[int]
    serials: list[int]
    keys: list[int]
    digests: list[int]
    places: list[PlaceKey]
    unusual: list[int]
    quarantine: list[files.Entry] = []
    blobs: list[tuple[str, int, files.Entry]] = []
    spoiled: list[tuple[int, str]] = []
    """Attachments that can't be stored (index of the event, why); the event itself is filed without them."""


def prepare(items: Sequence[Captured | Sealed | Rejected], *, by_serial: bool) -> Batch:
    """Without `by_serial`, identities are kept by their keys alone."""
    rejected = [(position, item) for position, item in enumerate(items) if isinstance(item, Rejected)]
    apart = {position for position, _ in rejected}
    positions = [position for position in range(len(items)) if position not in apart] if apart else range(len(items))
    events = [item if isinstance(item, Sealed) else seal(item) for item in items if not isinstance(item, Rejected)]
    serials = [sealed.serial for sealed in events] if by_serial else [0] * len(events)
    # By serial, then by key, but for one key: those without a serial stand together in the table, wherever they come.
    ranks = [serial or sealed.key for serial, sealed in zip(serials, events, strict=True)]
    order = sorted(range(len(events)), key=ranks.__getitem__)
    batch = Batch(
        events,
        positions,
        rejected,
        order,
        [serials[i] for i in order],
        [events[i].key for i in order],
        [events[i].digest for i in order],
        [(sealed.source, sealed.conversation) for sealed in events],
        [i for i, each in enumerate(events) if each.shares or each.attached or each.original is not None],
    )
    _prepare_files(batch)
    return batch


def _prepare_files(batch: Batch) -> None:
    for _, item in batch.rejected:
        batch.quarantine += _quarantine_entries(item.content, item.reason, item.position)
    for i in batch.unusual:
        sealed = batch.events[i]
        if sealed.original is not None:
            batch.quarantine += _quarantine_entries(sealed.original, sealed.cleaned, sealed.where)
        for sha256, content, path in sealed.attached:
            _prepare_blob(batch, i, sha256, Path(os.fsdecode(path)) if content is None else content)


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
