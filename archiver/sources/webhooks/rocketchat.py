"""Rocket.Chat's outgoing webhooks. From the published format, not tried against the product.

Ids are the database's, as in a dump. Source: Rocket.Chat, "Integrations", outgoing webhook's parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from archiver.events import EDITED, SENT, Event, Message, Participant, Place, moment
from archiver.importers.telling import Room
from archiver.sources.webhooks.tokens import Tokened


class Posted(Struct):
    channel_id: str
    message_id: str
    timestamp: Annotated[datetime, Meta(tz=True)]
    user_id: str
    user_name: str | None = None
    channel_name: str | None = None
    text: str = ""
    isEdited: bool = False
    tmid: str | None = None


class RocketChat(Tokened):
    title = "Rocket.Chat's outgoing webhooks"
    kind = "rocketchat"

    def events(self, fields: dict[str, Any], received: int) -> Iterator[Event]:
        """A change says that it is one, not when: it is told when it came."""
        posted = msgspec.convert(fields, Posted, strict=False)
        room = Room(self.source, Place(id=posted.channel_id, kind="group", topic=posted.channel_name or None))
        actor = Participant(address=posted.user_name or posted.user_id, name=posted.user_name)
        identity = posted.message_id
        if posted.isEdited:
            changed = Message(id=identity, text=posted.text)
            yield room.event(f"{identity}/edited", EDITED, moment(received), actor, message=changed, guessed="sent")
            return
        said = Message(id=identity, text=posted.text, in_reply_to=posted.tmid, thread=posted.tmid)
        yield room.event(identity, SENT, posted.timestamp, actor, message=said)
