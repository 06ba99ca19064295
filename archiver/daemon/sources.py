"""Which live sources a configuration asks for, and how each is made. A new kind of source is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, structs

from archiver.config import Config
from archiver.config.sources.connecting import ComponentTable
from archiver.config.sources.listening import Certified
from archiver.config.sources.mail import Mail, MailTable
from archiver.config.sources.posted import HttpTable, Posted, WebhookTable, XmppTable
from archiver.config.sources.secrets import SecretTable, TokenTable
from archiver.config.sources.servers import JanusTable, MatrixTable, SipTable
from archiver.config.values import Endpoint
from archiver.exceptions import EnvironmentFault
from archiver.sources import connection, smtp
from archiver.sources.access import Access
from archiver.sources.credentials import Secret
from archiver.sources.http import receiving as http
from archiver.sources.http.source import HttpSource, Token
from archiver.sources.janus import remembering as janus
from archiver.sources.janus.asking import Api
from archiver.sources.janus.meetings import Custom
from archiver.sources.janus.source import JanusSource
from archiver.sources.listening import Address
from archiver.sources.mail import Believed
from archiver.sources.protocol import Source
from archiver.sources.sip import receiving as sip
from archiver.sources.sip.remembering import Remembered as Conferences
from archiver.sources.sip.source import SipSource
from archiver.sources.smtp import MailSource
from archiver.sources.tls import Tls
from archiver.sources.webhooks.bigbluebutton import BigBlueButton
from archiver.sources.webhooks.mattermost import Mattermost
from archiver.sources.webhooks.product import Product
from archiver.sources.webhooks.rocketchat import RocketChat
from archiver.sources.webhooks.signing import Keys
from archiver.sources.webhooks.slack import Slack
from archiver.sources.webhooks.source import WebhookSource
from archiver.sources.webhooks.zulip import Zulip
from archiver.sources.xmpp.component.source import ComponentSource
from archiver.sources.xmpp.remembering import Remembered
from archiver.sources.xmpp.source import XmppSource


class Maker(Struct, frozen=True):
    """Makes a source when it is to be started; equal makers make the same."""

    make: Callable[..., Source]
    settings: tuple[object, ...]

    def __call__(self) -> Source:
        return self.make(*self.settings)


_REMEMBERING = ComponentTable | JanusTable | MatrixTable | SipTable | XmppTable
Wanted = Mapping[str, Callable[[], Source]]
"""What to capture from, by the name of the feed."""


def sources_of(config: Config, data: Path) -> Wanted:
    """`data` is the data directory: some keep there what they must not forget."""
    wanted = {"smtp:mail": Maker(_mail, (config.smtp,))} if config.smtp.enabled else {}
    for each in config.source:
        kept = (data,) if isinstance(each, _REMEMBERING) else ()
        wanted[f"{each.type}:{each.name}"] = Maker(_KINDS[type(each)], (each, *kept))
    return wanted


def _mail(mail: Mail, name: str = "mail") -> Source:
    addresses = [_address(mail.listen, local=False)]
    if mail.lmtp is not None:
        addresses.append(_address(mail.lmtp, local=True))
    tls = _tls(mail)
    return MailSource(
        name,
        tuple(addresses),
        limits=connection.Limits(size=mail.max_size, connections=mail.connections),
        access=Access(mail.clients, tuple(map(secret_of, mail.login)), tls, mail.require_tls),
        blocking=mail.blocking,
        events=cast(Believed, mail.events),
    )


def _further_mail(table: MailTable) -> Source:
    return _mail(table, table.name)


def secret_of(table: SecretTable) -> Secret:
    return Secret(table.name, table.sha256 or "", table.file or "", table.env or "")


def _token(table: TokenTable) -> Token:
    return Token(*structs.astuple(secret_of(table)), sources=table.sources, rate=table.rate)


def _address(endpoint: Endpoint, *, local: bool) -> smtp.Address:
    where = place(endpoint)
    return smtp.Address(where.host, where.port, where.path, where.mode, local)


def _http(table: HttpTable) -> Source:
    return HttpSource(table.name, place(table.listen), tuple(map(_token, table.token)), **_posted(table))


def _xmpp(table: XmppTable, data: Path) -> Source:
    return XmppSource(
        table.name,
        place(table.listen),
        tuple(map(_token, table.token)),
        conferences=table.conference,
        memory=partial(Remembered, memory_of(table, data)),
        **_posted(table),
    )


def _component(table: ComponentTable, data: Path) -> Source:
    kept = memory_of(table, data)
    return ComponentSource(
        table.name,
        place(table.server),
        table.component,
        secret_of(table.secret[0]),
        hosts=table.hosts,
        rooms=table.rooms,
        conferences=table.conference,
        memory=partial(Remembered, kept),
        kept=kept,
    )


def memory_of(table: XmppTable | ComponentTable, data: Path) -> Path:
    """No name has a `_`: none of one type is called as one of the other."""
    kind = "xmpp" if isinstance(table, XmppTable) else "xmpp_component"
    return data / "sources" / f"{kind}-{table.name}.db"


def _posted(table: Posted) -> dict[str, Any]:
    limits = http.Limits(table.max_size, 4 * table.max_size, events=table.max_events, connections=table.connections)
    tls = _tls(table, table.client_ca)
    return {"tls": tls, "limits": limits, "blocking": table.blocking}


def _webhook(table: WebhookTable) -> Source:
    return WebhookSource(
        table.name,
        place(table.listen),
        lambda keys: _PRODUCTS[table.product](keys, table),
        tuple(map(secret_of, table.secret)),
        tls=_tls(table),
        limits=http.Limits(table.max_size, table.max_size, connections=table.connections),
        blocking=table.blocking,
    )


def _graph(keys: Keys, table: WebhookTable) -> Product:
    try:
        from archiver.sources.webhooks.graph import Graph
    except ImportError as fault:
        raise EnvironmentFault(
            "Microsoft Graph's notifications need cryptography", hint="install conversation-archiver[graph]"
        ) from fault
    return Graph(keys, table.network, Path(table.decryption_key or ""))


_PRODUCTS: dict[str, Callable[[Keys, WebhookTable], Product]] = {
    "bigbluebutton": lambda keys, table: BigBlueButton(keys, table.network, table.url),
    "graph": _graph,
    "mattermost": lambda keys, table: Mattermost(keys, table.network),
    "rocketchat": lambda keys, table: RocketChat(keys, table.network),
    "zulip": lambda keys, table: Zulip(keys, table.network),
    "slack": lambda keys, table: Slack(keys, table.network),
}


def _sip(table: SipTable, data: Path) -> Source:
    access = sip.Access(table.clients, tuple(map(secret_of, table.key)))
    memory = partial(Conferences, data / "sources" / f"sip-{table.name}.db")
    return SipSource(table.name, place(table.listen), access=access, memory=memory)


def _janus(table: JanusTable, data: Path) -> Source:
    return JanusSource(
        table.name,
        place(table.listen),
        tuple(map(secret_of, table.secret)),
        custom=Custom(table.people, table.together, table.screens),
        memory=partial(janus.Remembered, data / "sources" / f"janus-{table.name}.db"),
        api=Api(table.api) if table.api else None,
        tls=_tls(table),
        limits=http.Limits(table.max_size, 4 * table.max_size, connections=table.connections),
    )


def _matrix(table: MatrixTable, data: Path) -> Source:
    try:
        from archiver.sources.matrix.source import MatrixSource
    except ImportError as fault:
        raise EnvironmentFault(
            "a Matrix source needs httpx2 and PyYAML", hint="install conversation-archiver[matrix]"
        ) from fault
    return MatrixSource(
        table.name,
        place(table.listen),
        table.homeserver,
        Path(table.registration),
        ledger_of(table, data).parent,
        most=table.max_file,
        network=table.network,
        tls=_tls(table),
        limits=http.Limits(table.max_size, table.max_size, memory=4 * table.max_size),
    )


def ledger_of(table: MatrixTable, data: Path) -> Path:
    return data / "sources" / f"matrix-{table.name}" / "ledger.db"


def place(endpoint: Endpoint) -> Address:
    return Address(path=Path(endpoint.path)) if endpoint.path else Address(endpoint.host, endpoint.port)


def _tls(table: Certified, clients: str | None = None) -> Tls | None:
    if table.certificate is None or table.key is None:
        return None
    return Tls(Path(table.certificate), Path(table.key), Path(clients) if clients is not None else None)


_KINDS: dict[type, Callable[..., Source]] = {
    ComponentTable: _component,
    HttpTable: _http,
    JanusTable: _janus,
    MailTable: _further_mail,
    MatrixTable: _matrix,
    SipTable: _sip,
    WebhookTable: _webhook,
    XmppTable: _xmpp,
}
