"""A product's webhook as a `Source`. What comes is acknowledged once it is durable.

receive ─► admit (signature, replay, handshake) ─► read ─► `Batching` ─► 200
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from archiver.events import Outcome, Rejected
from archiver.exceptions import EventError
from archiver.sources.credentials import Secret
from archiver.sources.http.receiving import Limits, body_of, too_large
from archiver.sources.http.reception import Pieces, Reception
from archiver.sources.http.replies import BLOCKED_LATER, try_later
from archiver.sources.http.source import Served
from archiver.sources.listening import Address
from archiver.sources.protocol import Accept, Signs
from archiver.sources.webhooks.product import Delivery, Product
from archiver.sources.webhooks.signing import Keys

PATH = "/webhook"
Make = Callable[[Keys], Product]


class WebhookSource(Served):
    """`make` gives the product that knows its senders by these secrets."""

    def __init__(self, name: str, address: Address, make: Make, secrets: tuple[Secret, ...], **settings: Any) -> None:
        super().__init__(f"webhook:{name}", address, **settings)
        self._make = make
        self._secrets = secrets

    def describe(self) -> str:
        return f"a product's webhook on {self._place}{PATH}"

    def probe(self) -> None:
        self._product()
        super().probe()

    def signs(self) -> Signs:
        signs = super().signs()
        return replace(signs, gaps=self._reception.gaps) if isinstance(self._reception, Webhook) else signs

    def _receiving(self, accept: Accept) -> Reception:
        return Webhook(self.name, self._product(), self._limits, self._clock, accept)

    def _product(self) -> Product:
        return self._make(tuple(each.plain().encode() for each in self._secrets))


class Webhook(Reception):
    def __init__(self, source: str, product: Product, limits: Limits, clock: Callable[[], int], accept: Accept) -> None:
        super().__init__(source, limits, accept)
        self._product = product
        self._clock = clock

    @property
    def gaps(self) -> int | None:
        return self._product.gaps

    def application(self) -> Starlette:
        route = Route(PATH, self.answering(self._delivered), methods=["POST"])
        return self.opened(route, told=f"{self._product.title} posts to {PATH}")

    async def _delivered(self, request: Request) -> Response:
        with self.memory.share() as share:
            body = await body_of(request, self.limits, share)
            delivery = Delivery(request.url.query, dict(request.headers), body, self._clock())
            greeting = await self.in_thread(self._product.admit, delivery)
            if greeting is not None:
                # Said back as it was asked, so never as anything that a browser would run.
                return PlainTextResponse(greeting, headers={"X-Content-Type-Options": "nosniff"})
            pieces = await self.in_thread(partial(self._read, delivery))
            if Outcome.BLOCKED in await self.take(pieces):
                reason = "it can't be archived now"
                raise try_later(HTTPStatus.SERVICE_UNAVAILABLE, "blocked", reason, BLOCKED_LATER)
            return Response(self._product.reply, media_type="application/json" if self._product.reply else None)

    def _read(self, delivery: Delivery) -> Pieces:
        """Blocks. What its sender signed and we can't read is kept whole: to refuse it would lose it."""
        try:
            pieces = list(islice(self._product.read(delivery), self.limits.events + 1))
        except (EventError, msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
            return [Rejected(delivery.body, f"from {self._product.title}", str(fault), self._product.source)]
        if len(pieces) > self.limits.events:
            raise too_large(self.limits)
        return pieces
