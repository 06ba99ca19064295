"""Subscriptions of Microsoft Graph to what is said in Teams: made where there is none, else renewed.

From the published format, not tried against the product. Source: Microsoft Graph, "subscription resource type", "Create
subscription", "Update subscription"; OAuth 2.0 client credentials of the Microsoft identity platform. Renewing answers
`reauthorizationRequired` too.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from msgspec import Struct

from archiver.exceptions import EnvironmentFault
from archiver.sources.webhooks.graph import private_key

RESOURCES = ("teams/getAllMessages", "chats/getAllMessages")
"""What is said in every channel, and in every chat; both need an administrator's consent."""
LIFE = timedelta(minutes=4_230)
"""Graph lets those of messages live 4,320 minutes."""
_NEEDED = (
    "the application needs ChannelMessage.Read.All and Chat.Read.All, with an administrator's consent; the daemon must "
    "run, and be reached at the source's url"
)
_PATIENCE = 60.0
_PAGES = 100
_LARGEST = 4 * 1024 * 1024


class Tenant(Struct, frozen=True):
    """Who asks: an application registered in Microsoft Entra, and where its cloud is."""

    tenant: str
    client: str
    secret: str
    graph: str = "https://graph.microsoft.com"
    login: str = "https://login.microsoftonline.com"


class Callback(Struct, frozen=True):
    """Where notifications go, the `clientState` that they bear, and the file of the key they are encrypted to."""

    url: str
    state: str
    key: Path


class Subscription(Struct, frozen=True):
    """One that stands now; `made` tells that it is new, and that what was said before it wasn't told."""

    id: str
    resource: str
    expires: str
    made: bool


class _Standing(Struct):
    id: str
    resource: str = ""
    notificationUrl: str = ""
    encryptionCertificateId: str | None = None
    expirationDateTime: str = ""


class _Page(Struct):
    value: list[_Standing]
    next: str | None = msgspec.field(default=None, name="@odata.nextLink")


class _Token(Struct):
    access_token: str


class _Told(Struct):
    message: str = ""


class _Fault(Struct):
    error: _Told | str = ""
    error_description: str = ""


def subscribe(tenant: Tenant, callback: Callback, resources: Sequence[str], now: datetime) -> list[Subscription]:
    """Each resource's subscription lives on from `now`. Raises `EnvironmentFault` where Graph refuses or isn't reached.

    One that is encrypted to another key is made anew, as none can be changed.
    """
    key = private_key(callback.key)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    with httpx2.Client(timeout=_PATIENCE, trust_env=False) as client:
        graph = _Graph(client, tenant)
        standing = {_plain(each.resource): each for each in graph.standing() if each.notificationUrl == callback.url}
        return [_one(graph, callback, key, resource, standing.get(_plain(resource)), now) for resource in resources]


def _one(
    graph: _Graph, callback: Callback, key: rsa.RSAPrivateKey, resource: str, standing: _Standing | None, now: datetime
) -> Subscription:
    expires = {"expirationDateTime": (now.astimezone(UTC) + LIFE).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if standing is not None and standing.encryptionCertificateId == _name(key):
        renewed = graph.asked("PATCH", f"/v1.0/subscriptions/{quote(standing.id, safe='')}", expires)
        if renewed is not None:
            return Subscription(standing.id, resource, expires["expirationDateTime"], made=False)
    elif standing is not None:
        graph.asked("DELETE", f"/v1.0/subscriptions/{quote(standing.id, safe='')}")
    made = graph.asked("POST", "/v1.0/subscriptions", _wanted(callback, key, resource, now) | expires)
    return Subscription(_read(made or b"", _Standing).id, resource, expires["expirationDateTime"], made=True)


def _wanted(callback: Callback, key: rsa.RSAPrivateKey, resource: str, now: datetime) -> dict[str, Any]:
    return {
        "changeType": "created,updated,deleted",
        "notificationUrl": callback.url,
        "lifecycleNotificationUrl": callback.url,
        "resource": resource,
        "includeResourceData": True,
        "encryptionCertificate": b64encode(_certificate(key, now)).decode(),
        "encryptionCertificateId": _name(key),
        "clientState": callback.state,
    }


def _certificate(key: rsa.RSAPrivateKey, now: datetime) -> bytes:
    """Only its public key is used, so it is its own authority."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "archiver")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=3650))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _name(key: rsa.RSAPrivateKey) -> str:
    return sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _plain(resource: str) -> str:
    return resource.strip("/").casefold()


class _Graph:
    """Asks in the application's name."""

    def __init__(self, client: httpx2.Client, tenant: Tenant) -> None:
        self._client = client
        self._base = tenant.graph.rstrip("/")
        self._headers: Mapping[str, str] = {"Authorization": f"Bearer {self._token(tenant)}"}

    def _token(self, tenant: Tenant) -> str:
        url = f"{tenant.login.rstrip('/')}/{quote(tenant.tenant, safe='')}/oauth2/v2.0/token"
        asked = {
            "grant_type": "client_credentials",
            "client_id": tenant.client,
            "client_secret": tenant.secret,
            "scope": f"{self._base}/.default",
        }
        token: _Token = _read(self._answered("POST", url, data=asked) or b"", _Token)
        return token.access_token

    def standing(self) -> Iterator[_Standing]:
        """Page by page, of this application's only."""
        path: str | None = "/v1.0/subscriptions"
        for _ in range(_PAGES):
            if path is None:
                return
            page = _read(self.asked("GET", path) or b"", _Page)
            yield from page.value
            path = page.next

    def asked(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> bytes | None:
        """The answer; None where there is no such thing."""
        url = urljoin(self._base, path)
        if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
            raise EnvironmentFault("Microsoft Graph names another server for its next page", hint="try again later")
        return self._answered(method, url, headers=self._headers, json=content)

    def _answered(self, method: str, url: str, **request: Any) -> bytes | None:
        try:
            answer = self._client.request(method, url, **request)
        except httpx2.HTTPError as fault:
            raise EnvironmentFault(
                f"{urlsplit(url).netloc} isn't reached: {fault!r}", hint="look at the network, and run this again"
            ) from fault
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise EnvironmentFault(
                f"{urlsplit(url).netloc} refuses ({answer.status_code}): {_reason(answer.content)}",
                hint=_NEEDED,
            )
        return answer.content[:_LARGEST]


def _reason(content: bytes) -> str:
    try:
        told = msgspec.json.decode(content[:_LARGEST], type=_Fault)
    except msgspec.MsgspecError:
        return "it doesn't say why"
    error = told.error.message if isinstance(told.error, _Told) else told.error
    return (told.error_description or error or "it doesn't say why")[:500]


def _read(content: bytes, type_: type[Any]) -> Any:
    try:
        return msgspec.json.decode(content, type=type_)
    except msgspec.MsgspecError as fault:
        raise EnvironmentFault(
            f"Microsoft Graph's answer can't be read: {fault}", hint="look at --graph and --login, and run this again"
        ) from fault
