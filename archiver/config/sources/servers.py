"""The tables of servers that tell all they have, in protocols of their own: Janus, Matrix, SIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from archiver.config import quantities, values
from archiver.config.settings import REQUIRED, Setting
from archiver.config.sources.listening import CONNECTIONS, NAME, Certified, Listening, at, kind, only_here
from archiver.config.sources.secrets import SECRETS, SecretTable
from archiver.config.values import Endpoint, Fault

_PEOPLE = ("name", "id", "display", "opaque_id")
_web = values.matching(r"https?://[A-Za-z0-9.:\[\]-]{1,255}/?", "must be as https://matrix.example.org")
_api = values.matching(
    r"(https?://[A-Za-z0-9.:\[\]-]{1,255}(/[A-Za-z0-9._-]{1,100})*)?/?", "must be as http://127.0.0.1:8088/janus"
)


class JanusTable(Certified, frozen=True):
    """VideoRooms and TextRooms of one Janus, as its event handler and its rooms' backends tell of them."""

    type: Annotated[str, kind("janus", "conferences of a Janus server.")]
    name: Annotated[str, NAME]
    listen: Annotated[Endpoint, at("127.0.0.1:8030")]
    secret: Annotated[tuple[SecretTable, ...], SECRETS]
    people: Annotated[
        str,
        Setting(
            "name",
            values.choice(*_PEOPLE),
            "What is somebody's address: name (a TextRoom's username, a VideoRoom's display name), id (the username, "
            "a VideoRoom's participant id), display or opaque_id.",
        ),
    ]
    together: Annotated[
        bool,
        Setting(False, values.boolean, "Whether a VideoRoom and a TextRoom of one number are one conference."),
    ]
    screens: Annotated[
        tuple[str, ...],
        Setting(
            ["*screen*"],
            values.several(values.pattern, "descriptions"),
            "Descriptions of streams that are shared screens; * stands for anything.",
        ),
    ]
    api: Annotated[
        str,
        Setting(
            "",
            _api,
            "Janus' HTTP API, as http://127.0.0.1:8088/janus: asked what rooms are called, and who is in them.",
        ),
    ]
    max_size: Annotated[int, Setting("4MiB", quantities.size("64KiB", "64MiB"), "Larger deliveries are refused.")]
    connections: Annotated[int, CONNECTIONS]

    @property
    def blocking(self) -> bool:
        """Who talks in a room doesn't wait for its archive."""
        return False

    def faults(self) -> Iterator[Fault]:
        yield from super().faults()
        if not self.secret:
            yield "secret", "", "is missing: without one anybody could write"


class MatrixTable(Certified, frozen=True):
    """A Matrix homeserver, of which the archiver is an application service."""

    type: Annotated[str, kind("matrix", "every room of a homeserver.")]
    name: Annotated[str, NAME]
    homeserver: Annotated[str, Setting(REQUIRED, _web, "The homeserver's address, as https://matrix.example.org.")]
    registration: Annotated[
        str, Setting(REQUIRED, values.path, "The registration, as `archiver matrix register` makes it.")
    ]
    listen: Annotated[Endpoint, at("127.0.0.1:8029")]
    network: Annotated[
        str,
        Setting("", values.text, "What its source is called; empty: the server that each room was made on."),
    ]
    max_file: Annotated[
        int, Setting("64MiB", quantities.size("1B", "4GiB"), "Larger files are only described, not fetched.")
    ]
    max_size: Annotated[int, Setting("64MiB", quantities.size("8MiB", "1GiB"), "Larger transactions are refused.")]

    @property
    def blocking(self) -> bool:
        """Transactions come in order: one conversation would hold back all others."""
        return False


class SipTable(Listening, frozen=True):
    """SIP messages and calls, as Kamailio and OpenSIPS tell of them by HEPv3."""

    type: Annotated[str, kind("sip", "messages and calls of SIP, by HEPv3.")]
    name: Annotated[str, NAME]
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:9060", values.endpoint, "Where to listen, over UDP and TCP: host:port.")
    ]
    clients: Annotated[
        tuple[str, ...],
        Setting([], values.networks, "Networks of capture agents that are let in, as 10.0.0.0/8; none: any."),
    ]
    conference: Annotated[
        tuple[str, ...],
        Setting(
            ["*"],
            values.several(values.pattern, "addresses"),
            "Addresses that may be conferences, as *@conf.example.org; * stands for anything.",
        ),
    ]
    key: Annotated[tuple[SecretTable, ...], SECRETS]

    @property
    def blocking(self) -> bool:
        """Nobody who sends datagrams can be told to try later."""
        return False

    def faults(self) -> Iterator[Fault]:
        if self.listen.path:
            yield "listen", self.listen.path, "must be host:port: HEP comes over UDP and TCP"
        elif not self.clients and not self.key and not only_here(self.listen):
            yield (
                "clients",
                [],
                "or a key is needed where others than this machine can send: anybody could say anything",
            )
