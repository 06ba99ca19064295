"""Up to which time the events of a place are complete: a rule over its feeds and the clock (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from archiver.events import SECOND, moment
from archiver.spool.records import Feed, Watermark

FOREVER = 2**62
"""Of a place that no feed holds back: all of it is ready."""
SILENCE = 90 * SECOND
"""A live feed without a sign of life for longer is down."""
PATIENCE = 3_600 * SECOND
"""How long a live feed that is down is waited for."""


def watermark(imports: Sequence[Feed], live: Feed | None, now: int, lateness: int) -> Watermark:
    """`imports` gave the place events; `live` is the live feed of its source."""
    if any(feed.state == "open" for feed in imports):
        return Watermark(None)
    if live is None:
        return Watermark(FOREVER)
    contact = live.opened if live.contact is None else live.contact
    silent = now - contact
    if live.state == "closed" or silent <= SILENCE:
        return Watermark(now - lateness)
    if silent <= PATIENCE:
        return Watermark(contact - lateness)
    return Watermark(
        now - lateness, f"{live.name} is silent since {moment(contact):%Y-%m-%d %H:%M:%S}Z; not waited for"
    )
