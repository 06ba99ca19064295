"""Products that put a token into what they post: Mattermost, Rocket.Chat, Zulip. What a message means is each's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from archiver.events import Captured, Event, Rejected, capture
from archiver.exceptions import EventError
from archiver.sources.webhooks.product import Delivery
from archiver.sources.webhooks.signing import Keys, forged, same

_FIELDS = 40


class Borne(Struct):
    """All that is read of a delivery before anybody knows who sent it: a stranger's may be made to cost much."""

    token: str = ""


class Tokened:
    """Extended by each product. `kind` begins its source, as in its export."""

    title = ""
    kind = ""
    reply = b""
    gaps = None

    def __init__(self, keys: Keys, network: str = "") -> None:
        self._keys = keys
        self.source = f"{self.kind}:{network or self.kind}"

    def admit(self, delivery: Delivery) -> str | None:
        """What can't be read has no token: nothing says that it comes from the product."""
        try:
            token = _token(delivery.body)
        except EventError as fault:
            raise forged(f"a delivery of {self.title} with its token") from fault
        if not same(token, as_one_of=[key.decode() for key in self._keys]):
            raise forged(f"a delivery of {self.title} with a token that is known here")
        return None

    def read(self, delivery: Delivery) -> Iterator[Captured | Rejected]:
        fields = {key: each for key, each in _fields(delivery.body).items() if key != "token"}
        original = msgspec.json.encode(fields)
        try:
            for event in self.events(fields, delivery.received):
                position = f"from {self.title}"
                yield capture(event, received=delivery.received, original=original, position=position)
        except (EventError, msgspec.ValidationError) as fault:
            # Kept for a person, who need not learn the token.
            yield Rejected(original, f"from {self.title}", str(fault), self.source)

    def events(self, fields: dict[str, Any], received: int) -> Iterator[Event]:
        """Raises `EventError` and what converting raises."""
        raise NotImplementedError


def _token(body: bytes) -> str:
    with _told():
        return msgspec.json.decode(body, type=Borne).token if _is_json(body) else _form(body).get("token", "")


def _fields(body: bytes) -> dict[str, Any]:
    with _told():
        return msgspec.json.decode(body, type=dict[str, Any]) if _is_json(body) else dict(_form(body))


def _is_json(body: bytes) -> bool:
    return body.lstrip().startswith(b"{")


def _form(body: bytes) -> dict[str, str]:
    """Each field is a text."""
    return dict(parse_qsl(body.decode(), max_num_fields=_FIELDS))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, ValueError, RecursionError) as fault:
        raise EventError(f"neither JSON nor a form: {fault}") from fault
