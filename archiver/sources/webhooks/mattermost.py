"""Mattermost's outgoing webhooks. From the published format, not tried against the product.

Ids are the posts', as in its compliance exports. Source: Mattermost, "Outgoing webhooks".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from archiver.events import SENT, Attachment, Event, Message, Participant, Place
from archiver.importers.telling import Room, from_milliseconds
from archiver.sources.webhooks.tokens import Tokened

_SECONDS = 100_000_000_000
"""Documented in seconds and sent in milliseconds: as the latter, less than this would be before 1974."""


class Post(Struct):
    channel_id: str
    post_id: str
    user_id: str
    timestamp: int
    channel_name: str | None = None
    user_name: str | None = None
    text: str = ""
    file_ids: str | None = None


class Mattermost(Tokened):
    title = "Mattermost's outgoing webhooks"
    kind = "mattermost"

    def events(self, fields: dict[str, Any], received: int) -> Iterator[Event]:
        post = msgspec.convert(fields, Post, strict=False)
        topic = post.channel_name or None
        room = Room(self.source, Place(id=post.channel_id, kind="group", topic=topic))
        at = from_milliseconds(post.timestamp * 1000 if 0 < post.timestamp < _SECONDS else post.timestamp)
        actor = Participant(address=post.user_name or post.user_id, name=post.user_name)
        files = tuple(Attachment(name=f"file {each}") for each in (post.file_ids or "").split(",") if each)
        said = Message(id=post.post_id, text=post.text)
        yield room.event(post.post_id, SENT, at, actor, message=said, attachments=files or None)
