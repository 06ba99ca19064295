"""The tables of what is posted over HTTP: events by senders with tokens, and webhooks by products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from archiver.config import quantities, values
from archiver.config.settings import REQUIRED, Setting
from archiver.config.sources.listening import BLOCKING, CONNECTIONS, NAME, Certified, at, kind
from archiver.config.sources.secrets import SECRETS, TOKENS, SecretTable, TokenTable
from archiver.config.values import Endpoint, Fault

PRODUCTS = ("slack", "bigbluebutton", "graph", "mattermost", "rocketchat", "zulip")
"""Whose webhooks are understood."""


class Posted(Certified, frozen=True):
    """What is posted over HTTP by senders with tokens."""

    client_ca: Annotated[
        str | None,
        Setting("", values.optional(values.path), "PEM file; only who has a certificate by one of these may talk."),
    ]
    token: Annotated[tuple[TokenTable, ...], TOKENS]
    max_size: Annotated[int, Setting("16MiB", quantities.size("64KiB", "256MiB"), "Larger requests are refused.")]
    max_events: Annotated[int, Setting(10_000, quantities.whole(1, 100_000), "Requests with more events are refused.")]
    connections: Annotated[int, CONNECTIONS]
    blocking: Annotated[bool, BLOCKING]

    def faults(self) -> Iterator[Fault]:
        yield from super().faults()
        if self.client_ca and not self.certificate:
            yield "client_ca", self.client_ca, "needs a certificate of our own: there are no clients' without TLS"
        if not self.token:
            yield "token", "", "is missing: without one nobody may write"


class HttpTable(Posted, frozen=True):
    """Events posted over HTTP."""

    type: Annotated[str, kind("http", "events (CloudEvents) over HTTP.")]
    name: Annotated[str, NAME]
    listen: Annotated[Endpoint, at("127.0.0.1:8026")]


class XmppTable(Posted, frozen=True):
    """What modules of ours in XMPP servers tell."""

    type: Annotated[str, kind("xmpp", "what our modules in XMPP servers tell.")]
    name: Annotated[str, NAME]
    listen: Annotated[Endpoint, at("127.0.0.1:8028")]
    conference: Annotated[
        tuple[str, ...],
        Setting([], values.several(values.pattern, "hosts"), "Hosts whose rooms are web conferences; * as above."),
    ]


class WebhookTable(Certified, frozen=True):
    """What a product posts by itself."""

    type: Annotated[str, kind("webhook", "what a product posts by itself.")]
    name: Annotated[str, NAME]
    product: Annotated[str, Setting(REQUIRED, values.choice(*PRODUCTS), "Whose webhook it is.")]
    listen: Annotated[Endpoint, at("127.0.0.1:8027")]
    secret: Annotated[tuple[SecretTable, ...], SECRETS]
    network: Annotated[
        str,
        Setting("", values.text, "What its source is called, as with --network of a backfill; empty: its own id."),
    ]
    url: Annotated[
        str,
        Setting(
            "",
            values.text,
            "How the product reaches it: bigbluebutton's checksum and `archiver graph subscribe` need it.",
        ),
    ]
    decryption_key: Annotated[
        str | None,
        Setting("", values.optional(values.path), "PEM file of the key that graph's subscription encrypts to."),
    ]
    max_size: Annotated[int, Setting("4MiB", quantities.size("64KiB", "64MiB"), "Larger requests are refused.")]
    connections: Annotated[int, CONNECTIONS]
    blocking: Annotated[bool, BLOCKING]

    def faults(self) -> Iterator[Fault]:
        yield from super().faults()
        if not self.secret:
            yield "secret", "", "is missing: without one anybody could write"
        if self.product == "bigbluebutton" and not self.url:
            yield "url", "", "is missing: a callback's checksum is over the URL that was registered"
        if self.product == "graph" and not self.decryption_key:
            yield "decryption_key", "", "is missing: notifications have their messages encrypted"
        for number, secret in enumerate(self.secret, 1):
            if secret.sha256:
                yield f"secret[{number}].sha256", secret.name, "is no use here: the secret itself is, as file or env"
