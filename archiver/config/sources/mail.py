"""The tables of mail intakes: `[smtp]`, and `[[source]]` of type smtp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from archiver.config import quantities, values
from archiver.config.settings import Setting
from archiver.config.sources.listening import CONNECTIONS, NAME, Certified, certificate_for, kind, only_here
from archiver.config.sources.secrets import SECRETS, SecretTable
from archiver.config.values import Endpoint, Fault


class Mail(Certified, frozen=True):
    """A mail intake, wherever it is configured."""

    listen: Annotated[Endpoint, Setting("127.0.0.1:8025", values.endpoint, "Where to listen for SMTP.")]
    lmtp: Annotated[
        Endpoint | None,
        Setting("", values.optional(values.endpoint), "Where to listen for LMTP: host:port or a socket's path."),
    ]
    certificate: Annotated[str | None, certificate_for("STARTTLS")]
    require_tls: Annotated[bool, Setting(False, values.boolean, "Whether mail is only taken after STARTTLS.")]
    login: Annotated[tuple[SecretTable, ...], SECRETS]
    clients: Annotated[
        tuple[str, ...],
        Setting([], values.networks, "Networks of clients that are let in, as 10.0.0.0/8; none: any."),
    ]
    max_size: Annotated[int, Setting("64MiB", quantities.size("64KiB", "1GiB"), "Larger mail is refused.")]
    connections: Annotated[int, CONNECTIONS]
    events: Annotated[
        str,
        Setting(
            "direct",
            values.choice("direct", "all", "none"),
            "Whose attached events are believed: of mail no server passed on, of all, of none.",
        ),
    ]
    blocking: Annotated[
        bool,
        Setting(False, values.boolean, "Whether critical mode answers mail of archived conversations with try later."),
    ]

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        lmtp = (("lmtp", self.lmtp),) if self.lmtp is not None else ()
        return (("listen", self.listen), *lmtp)

    def faults(self) -> Iterator[Fault]:
        yield from super().faults()
        if self.require_tls and not self.certificate:
            yield "require_tls", True, "needs a certificate"
        if self.login and not self.certificate and not all(only_here(place) for _, place in self.endpoints):
            yield "login", [each.name for each in self.login], "needs a certificate, or to listen on loopback only"


class Smtp(Mail, frozen=True):
    """Journal intake as it works without any configuration."""

    enabled: Annotated[bool, Setting(True, values.boolean, "Whether to take journalled mail.")]


class MailTable(Mail, frozen=True):
    """A further mail intake."""

    type: Annotated[str, kind("smtp", "mail, as [smtp] takes it.")]
    name: Annotated[str, NAME]

    def faults(self) -> Iterator[Fault]:
        yield from super().faults()
        if self.name == "mail":
            yield "name", self.name, "is the name of [smtp]"
