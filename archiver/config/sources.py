"""The `[[source]]` tables: what to capture from besides `[smtp]`, one record a type. What they come to is the
daemon's business.

A new type is a record here and a line in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol

from msgspec import Struct

from archiver.config import settings
from archiver.config.settings import REQUIRED, Endpoint, Fault, Setting, Tables

_name = settings.matching(r"[a-z0-9][a-z0-9.-]{0,39}", "must be a short plain name of a-z, 0-9, . and -")
_digest = settings.matching(r"[0-9a-fA-F]{64}", "must be a SHA-256 digest: 64 hexadecimal digits")
PRODUCTS = ("slack", "bigbluebutton", "graph", "mattermost", "rocketchat", "zulip")
"""Whose webhooks are understood."""
_PEOPLE = ("name", "id", "display", "opaque_id")
_web = settings.matching(r"https?://[A-Za-z0-9.:\[\]-]{1,255}/?", "must be as https://matrix.example.org")
_api = settings.matching(
    r"(https?://[A-Za-z0-9.:\[\]-]{1,255}(/[A-Za-z0-9._-]{1,100})*)?/?", "must be as http://127.0.0.1:8088/janus"
)
_variable = settings.matching(r"[A-Za-z_][A-Za-z0-9_]{0,99}", "must be the name of an environment variable")


class SourceTable(Protocol):
    """What every source's table has; its feed is called `type:name`."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def blocking(self) -> bool: ...
    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        """Where it listens, by key."""
        ...


class SecretTable(Struct, frozen=True):
    """A secret, of which the digest stands here or which a file or the environment holds."""

    name: Annotated[str, Setting(REQUIRED, _name, "Whose it is.")]
    sha256: Annotated[
        str | None,
        Setting("", settings.optional(_digest), "SHA-256 of the secret (hex); or else `file` or `env`."),
    ]
    file: Annotated[str | None, Setting("", settings.optional(settings.path), "File that holds it.")]
    env: Annotated[str | None, Setting("", settings.optional(_variable), "Environment variable that holds it.")]


class TokenTable(SecretTable, frozen=True):
    """Who may write over HTTP: a bearer token."""

    sources: Annotated[
        tuple[str, ...],
        Setting(REQUIRED, settings.patterns, "What it may write: sources; * stands for anything, ? for one character."),
    ]
    rate: Annotated[int, Setting(0, settings.whole(0, 1_000_000), "Events a second that it may send; 0: any number.")]


def _one_each(tokens: Sequence[SecretTable]) -> Iterator[Fault]:
    for number, token in enumerate(tokens, 1):
        given = [key for key in ("sha256", "file", "env") if getattr(token, key)]
        if len(given) != 1:
            yield f"[{number}]", token.name, "needs one of sha256, file and env"
        if token.name in (other.name for other in tokens[: number - 1]):
            yield f"[{number}].name", token.name, "is another's name already"
        if token.sha256 and token.sha256.lower() in (str(other.sha256).lower() for other in tokens[: number - 1]):
            yield f"[{number}].sha256", token.sha256, "is another's secret already"


class Mail(Struct, frozen=True):
    """A mail intake, wherever it is configured."""

    listen: Annotated[Endpoint, Setting("127.0.0.1:8025", settings.endpoint, "Where to listen for SMTP.")]
    lmtp: Annotated[
        Endpoint | None,
        Setting("", settings.optional(settings.endpoint), "Where to listen for LMTP: host:port or a socket's path."),
    ]
    max_size: Annotated[int, Setting("64MiB", settings.size("64KiB", "1GiB"), "Larger mail is refused.")]
    connections: Annotated[int, Setting(200, settings.whole(1, 10_000), "Connections at once.")]
    clients: Annotated[
        tuple[str, ...],
        Setting([], settings.networks, "Networks of clients that are let in, as 10.0.0.0/8; none: any."),
    ]
    certificate: Annotated[
        str | None, Setting("", settings.optional(settings.path), "PEM file of its certificate, for STARTTLS.")
    ]
    key: Annotated[str | None, Setting("", settings.optional(settings.path), "PEM file of the certificate's key.")]
    require_tls: Annotated[bool, Setting(False, settings.boolean, "Whether mail is only taken after STARTTLS.")]
    login: Annotated[tuple[SecretTable, ...], Setting([], Tables(SecretTable, _one_each), "")]
    events: Annotated[
        str,
        Setting(
            "direct",
            settings.choice("direct", "all", "none"),
            "Whose attached events are believed: of mail no server passed on, of all, of none.",
        ),
    ]
    blocking: Annotated[
        bool,
        Setting(
            False, settings.boolean, "Whether critical mode answers mail of archived conversations with try later."
        ),
    ]

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        lmtp = (("lmtp", self.lmtp),) if self.lmtp is not None else ()
        return (("listen", self.listen), *lmtp)


class Smtp(Mail, frozen=True):
    """Journal intake as it works without any configuration."""

    enabled: Annotated[bool, Setting(True, settings.boolean, "Whether to take journalled mail.")]


class MailTable(Mail, frozen=True):
    """A further mail intake."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("smtp"), "smtp: mail, as [smtp] takes it.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]


def mail_faults(table: Mail) -> Iterator[Fault]:
    if bool(table.certificate) != bool(table.key):
        yield "certificate", table.certificate or "", _BOTH
    if table.require_tls and not table.certificate:
        yield "require_tls", True, "needs a certificate"
    if table.login and not table.certificate and not all(_is_here(place) for _, place in table.endpoints):
        yield "login", [each.name for each in table.login], "needs a certificate, or to listen on loopback only"


_BOTH = "needs its key, and the key its certificate"


def _is_here(place: Endpoint) -> bool:
    return bool(place.path) or place.host in ("localhost", "::1") or place.host.startswith("127.")


class Posted(Struct, frozen=True):
    """What is posted over HTTP by senders with tokens."""

    token: Annotated[tuple[TokenTable, ...], Setting([], Tables(TokenTable, _one_each), "")]
    certificate: Annotated[
        str | None, Setting("", settings.optional(settings.path), "PEM file of its certificate, for TLS.")
    ]
    key: Annotated[str | None, Setting("", settings.optional(settings.path), "PEM file of the certificate's key.")]
    client_ca: Annotated[
        str | None,
        Setting("", settings.optional(settings.path), "PEM file; only who has a certificate by one of these may talk."),
    ]
    max_size: Annotated[int, Setting("16MiB", settings.size("64KiB", "256MiB"), "Larger requests are refused.")]
    max_events: Annotated[int, Setting(10_000, settings.whole(1, 100_000), "Requests with more events are refused.")]
    connections: Annotated[int, Setting(200, settings.whole(1, 10_000), "Connections at once.")]
    blocking: Annotated[
        bool,
        Setting(False, settings.boolean, "Whether critical mode puts off events of archived conversations."),
    ]


class HttpTable(Posted, frozen=True):
    """Events posted over HTTP."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("http"), "http: events (CloudEvents) over HTTP.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:8026", settings.endpoint, "Where to listen: host:port or a socket's path.")
    ]

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return (("listen", self.listen),)


class XmppTable(Posted, frozen=True):
    """What modules of ours in XMPP servers tell."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("xmpp"), "xmpp: what our modules in XMPP servers tell.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:8028", settings.endpoint, "Where to listen: host:port or a socket's path.")
    ]
    conference: Annotated[
        tuple[str, ...],
        Setting([], settings.several(settings.pattern, "hosts"), "Hosts whose rooms are web conferences; * as above."),
    ]

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return (("listen", self.listen),)


class WebhookTable(Struct, frozen=True):
    """What a product posts by itself."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("webhook"), "webhook: what a product posts by itself.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]
    product: Annotated[str, Setting(REQUIRED, settings.choice(*PRODUCTS), "Whose webhook it is.")]
    secret: Annotated[tuple[SecretTable, ...], Setting([], Tables(SecretTable, _one_each), "")]
    network: Annotated[
        str,
        Setting("", settings.text, "What its source is called, as with --network of a backfill; empty: its own id."),
    ]
    url: Annotated[
        str,
        Setting(
            "",
            settings.text,
            "How the product reaches it: bigbluebutton's checksum and `archiver graph subscribe` need it.",
        ),
    ]
    decryption_key: Annotated[
        str | None,
        Setting("", settings.optional(settings.path), "PEM file of the key that graph's subscription encrypts to."),
    ]
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:8027", settings.endpoint, "Where to listen: host:port or a socket's path.")
    ]
    certificate: Annotated[
        str | None, Setting("", settings.optional(settings.path), "PEM file of its certificate, for TLS.")
    ]
    key: Annotated[str | None, Setting("", settings.optional(settings.path), "PEM file of the certificate's key.")]
    max_size: Annotated[int, Setting("4MiB", settings.size("64KiB", "64MiB"), "Larger requests are refused.")]
    connections: Annotated[int, Setting(200, settings.whole(1, 10_000), "Connections at once.")]
    blocking: Annotated[
        bool,
        Setting(False, settings.boolean, "Whether critical mode puts off events of archived conversations."),
    ]

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return (("listen", self.listen),)


class JanusTable(Struct, frozen=True):
    """VideoRooms and TextRooms of one Janus, as its event handler and its rooms' backends tell of them."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("janus"), "janus: conferences of a Janus server.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]
    secret: Annotated[tuple[SecretTable, ...], Setting([], Tables(SecretTable, _one_each), "")]
    people: Annotated[
        str,
        Setting(
            "name",
            settings.choice(*_PEOPLE),
            "What is somebody's address: name (a TextRoom's username, a VideoRoom's display name), id (the username, "
            "a VideoRoom's participant id), display or opaque_id.",
        ),
    ]
    together: Annotated[
        bool,
        Setting(False, settings.boolean, "Whether a VideoRoom and a TextRoom of one number are one conference."),
    ]
    screens: Annotated[
        tuple[str, ...],
        Setting(
            ["*screen*"],
            settings.several(settings.pattern, "descriptions"),
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
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:8030", settings.endpoint, "Where to listen: host:port or a socket's path.")
    ]
    certificate: Annotated[
        str | None, Setting("", settings.optional(settings.path), "PEM file of its certificate, for TLS.")
    ]
    key: Annotated[str | None, Setting("", settings.optional(settings.path), "PEM file of the certificate's key.")]
    max_size: Annotated[int, Setting("4MiB", settings.size("64KiB", "64MiB"), "Larger deliveries are refused.")]
    connections: Annotated[int, Setting(200, settings.whole(1, 10_000), "Connections at once.")]

    @property
    def blocking(self) -> bool:
        """Who talks in a room doesn't wait for its archive."""
        return False

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return (("listen", self.listen),)


class MatrixTable(Struct, frozen=True):
    """A Matrix homeserver, of which the archiver is an application service."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("matrix"), "matrix: every room of a homeserver.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]
    homeserver: Annotated[str, Setting(REQUIRED, _web, "The homeserver's address, as https://matrix.example.org.")]
    registration: Annotated[
        str, Setting(REQUIRED, settings.path, "The registration, as `archiver matrix register` makes it.")
    ]
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:8029", settings.endpoint, "Where to listen: host:port or a socket's path.")
    ]
    certificate: Annotated[
        str | None, Setting("", settings.optional(settings.path), "PEM file of its certificate, for TLS.")
    ]
    key: Annotated[str | None, Setting("", settings.optional(settings.path), "PEM file of the certificate's key.")]
    network: Annotated[
        str,
        Setting("", settings.text, "What its source is called; empty: the server that each room was made on."),
    ]
    max_file: Annotated[
        int, Setting("64MiB", settings.size("1B", "4GiB"), "Larger files are only described, not fetched.")
    ]
    max_size: Annotated[int, Setting("64MiB", settings.size("8MiB", "1GiB"), "Larger transactions are refused.")]

    @property
    def blocking(self) -> bool:
        """Transactions come in order: one conversation would hold back all others."""
        return False

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return (("listen", self.listen),)


class SipTable(Struct, frozen=True):
    """SIP messages and calls, as Kamailio and OpenSIPS tell of them by HEPv3."""

    type: Annotated[str, Setting(REQUIRED, settings.choice("sip"), "sip: messages and calls of SIP, by HEPv3.")]
    name: Annotated[str, Setting(REQUIRED, _name, "Its name, unlike any other of its type.")]
    listen: Annotated[
        Endpoint, Setting("127.0.0.1:9060", settings.endpoint, "Where to listen, over UDP and TCP: host:port.")
    ]
    clients: Annotated[
        tuple[str, ...],
        Setting([], settings.networks, "Networks of capture agents that are let in, as 10.0.0.0/8; none: any."),
    ]
    conference: Annotated[
        tuple[str, ...],
        Setting(
            ["*"],
            settings.several(settings.pattern, "addresses"),
            "Addresses that may be conferences, as *@conf.example.org; * stands for anything.",
        ),
    ]
    key: Annotated[tuple[SecretTable, ...], Setting([], Tables(SecretTable, _one_each), "")]

    @property
    def blocking(self) -> bool:
        """Nobody who sends datagrams can be told to try later."""
        return False

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        return (("listen", self.listen),)


def webhook_faults(table: WebhookTable) -> Iterator[Fault]:
    if bool(table.certificate) != bool(table.key):
        yield "certificate", table.certificate or "", _BOTH
    if not table.secret:
        yield "secret", "", "is missing: without one anybody could write"
    if table.product == "bigbluebutton" and not table.url:
        yield "url", "", "is missing: a callback's checksum is over the URL that was registered"
    if table.product == "graph" and not table.decryption_key:
        yield "decryption_key", "", "is missing: notifications have their messages encrypted"
    for number, secret in enumerate(table.secret, 1):
        if secret.sha256:
            yield f"secret[{number}].sha256", secret.name, "is no use here: the secret itself is, as file or env"


SOURCES: dict[str, type] = {
    "http": HttpTable,
    "janus": JanusTable,
    "matrix": MatrixTable,
    "sip": SipTable,
    "smtp": MailTable,
    "webhook": WebhookTable,
    "xmpp": XmppTable,
}
"""Every type of source there is, and the record of its table."""


def coherent(tables: Sequence[SourceTable]) -> Iterator[Fault]:
    """What is wrong with each source, and with all of them together."""
    names: set[tuple[str, str]] = set()
    for number, table in enumerate(tables, 1):
        if (table.type, table.name) in names:
            yield f"[{number}].name", table.name, f"is another {table.type} source's name already"
        names.add((table.type, table.name))
        if isinstance(table, MailTable):
            yield from ((f"[{number}].{key}", value, why) for key, value, why in mail_faults(table))
            if table.name == "mail":
                yield f"[{number}].name", table.name, "is the name of [smtp]"
        if isinstance(table, Posted):
            yield from ((f"[{number}].{key}", value, why) for key, value, why in _tls_faults(table))
            if not table.token:
                yield f"[{number}].token", "", "is missing: without one nobody may write"
        if isinstance(table, WebhookTable):
            yield from ((f"[{number}].{key}", value, why) for key, value, why in webhook_faults(table))
        if isinstance(table, JanusTable) and not table.secret:
            yield f"[{number}].secret", "", "is missing: without one anybody could write"
        if isinstance(table, JanusTable | MatrixTable) and bool(table.certificate) != bool(table.key):
            yield f"[{number}].certificate", table.certificate or "", _BOTH
        if isinstance(table, SipTable):
            yield from ((f"[{number}].{key}", value, why) for key, value, why in _sip_faults(table))


def _tls_faults(table: Posted) -> Iterator[Fault]:
    if bool(table.certificate) != bool(table.key):
        yield "certificate", table.certificate or "", _BOTH
    if table.client_ca and not table.certificate:
        yield "client_ca", table.client_ca, "needs a certificate of our own: there are no clients' without TLS"


def _sip_faults(table: SipTable) -> Iterator[Fault]:
    if table.listen.path:
        yield "listen", table.listen.path, "must be host:port: HEP comes over UDP and TCP"
    elif not table.clients and not table.key and not _is_here(table.listen):
        yield "clients", [], "or a key is needed where others than this machine can send: anybody could say anything"


def apart(places: Sequence[tuple[str, Endpoint]]) -> Iterator[Fault]:
    """Two that want to listen on one place. `places` are all there are, each with its dotted key."""
    seen: dict[Endpoint, str] = {}
    for key, place in places:
        if place.port == 0 and not place.path:
            continue
        if place in seen:
            yield key, place.path or f"{place.host}:{place.port}", f"is {seen[place]} already"
        seen.setdefault(place, key)
