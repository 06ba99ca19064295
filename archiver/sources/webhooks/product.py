"""What a product's webhook is to the source that serves it. Holds no product.

To add one, write a module with a class of this shape, and one line in `archiver.daemon.sources`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from archiver.events import Captured, Rejected


class Delivery(Struct, frozen=True):
    """A request as it came: `query` still encoded, names of headers in small letters, `received` in microseconds."""

    query: str
    headers: Mapping[str, str]
    body: bytes
    received: int


class Product(Protocol):
    """Called from several threads at once."""

    @property
    def title(self) -> str:
        """What a person calls it."""
        ...

    @property
    def reply(self) -> bytes:
        """What it wants to read once all it told is safe; JSON, or nothing."""
        ...

    @property
    def source(self) -> str:
        """The source of what can't be read."""
        ...

    @property
    def gaps(self) -> int | None:
        """How often it said that there is something which it won't tell any more; None where it never does."""
        ...

    def admit(self, delivery: Delivery) -> str | None:
        """Whether the product itself sent it; what to answer where it only asks whether somebody is there.

        Raises `Refusal`.
        """
        ...

    def read(self, delivery: Delivery) -> Iterator[Captured | Rejected]:
        """Its events; none for what is no conversation. Raises what decoding raises: it is then rejected whole."""
        ...
