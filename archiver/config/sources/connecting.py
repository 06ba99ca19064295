"""The tables of sources that listen nowhere, and connect to a server instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Struct

from archiver.config import values
from archiver.config.settings import REQUIRED, Setting
from archiver.config.sources.listening import NAME, kind
from archiver.config.sources.secrets import SECRETS, SecretTable
from archiver.config.values import Endpoint, Fault

_host = values.matching(
    r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,20}", "must be a host's name, as chat.example.org (A-labels)"
)


class ComponentTable(Struct, frozen=True):
    """What ejabberd's own mod_service_log tells a component."""

    type: Annotated[
        str, kind("xmpp-component", "what ejabberd's own mod_service_log tells, where our module can't be.")
    ]
    name: Annotated[str, NAME]
    server: Annotated[
        Endpoint, Setting("127.0.0.1:5347", values.endpoint, "Where ejabberd listens for components: host:port.")
    ]
    component: Annotated[str, Setting(REQUIRED, _host, "What the component is called, as archiver.example.org.")]
    secret: Annotated[tuple[SecretTable, ...], SECRETS]
    hosts: Annotated[
        tuple[str, ...], Setting(REQUIRED, values.several(_host, "hosts", least=1), "Hosts of users it may tell of.")
    ]
    rooms: Annotated[
        tuple[str, ...], Setting([], values.several(_host, "hosts"), "Hosts of rooms that it may tell of.")
    ]
    conference: Annotated[
        tuple[str, ...],
        Setting([], values.several(values.pattern, "hosts"), "Hosts whose rooms are web conferences; * as above."),
    ]

    @property
    def blocking(self) -> bool:
        """Nothing can be refused: a component only listens."""
        return False

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return ()

    def faults(self) -> Iterator[Fault]:
        if self.server.path:
            yield "server", self.server.path, "must be host:port: ejabberd's listener is on TCP"
        if len(self.secret) != 1:
            yield "secret", [each.name for each in self.secret], "must be one: the password in ejabberd's listener"
        for number, secret in enumerate(self.secret, 1):
            if secret.sha256:
                yield f"secret[{number}].sha256", secret.name, "is no use here: the secret itself is, as file or env"
        for each in self.rooms:
            if each.lower() in map(str.lower, self.hosts):
                yield "rooms", each, "is among the hosts of users"
