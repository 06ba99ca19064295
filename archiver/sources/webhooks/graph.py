"""Microsoft Graph's change notifications of chatMessages. From the published format, not tried against the product.

The subscription is made with `includeResourceData`: a notification then has the message, encrypted to our certificate
(RSA-OAEP with SHA-1 around an AES key; AES-CBC whose IV is the key's first half; HMAC-SHA256 over what is encrypted).
Source: Microsoft Graph, "Set up change notifications that include resource data".
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from msgspec import Struct

from archiver.events import SENT, Captured, Rejected, capture
from archiver.exceptions import EnvironmentFault, EventError
from archiver.importers.teams.message import ChatMessage, Teller, normal
from archiver.sources.webhooks.product import Delivery
from archiver.sources.webhooks.signing import Keys, forged, same

_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303  what Graph uses
_FIELDS = 20
_BRACES = 100_000
"""Of one delivery: Graph sends some hundred notifications at once, each of which has a few."""
log = structlog.get_logger("archiver.sources")

NEXT = {
    "missed": "read an export of these hours: what Graph dropped, it doesn't send again",
    "subscriptionRemoved": "make it anew with archiver graph subscribe, and read an export of the time until then",
    "reauthorizationRequired": "renew it with archiver graph subscribe before it expires",
}
"""What Graph tells of a subscription itself, and what a person should do. What isn't sent for good is a gap."""
_LOST = frozenset({"missed", "subscriptionRemoved"})


class Encrypted(Struct):
    data: str
    dataKey: str
    dataSignature: str


class Notification(Struct):
    clientState: str = ""
    changeType: str = ""
    lifecycleEvent: str | None = None
    subscriptionId: str = ""
    subscriptionExpirationDateTime: str | None = None
    encryptedContent: Encrypted | None = None


class Notifications(Struct):
    value: list[Notification]


class Borne(Struct):
    """All that is read of a notification before anybody knows who sent it: a stranger's may be made to cost much."""

    clientState: str = ""


class AllBorne(Struct):
    value: list[Borne]


class Graph:
    """`key` is the PEM file of the private key to the subscription's certificate."""

    title = "Microsoft Graph's change notifications"
    reply = b""

    def __init__(self, keys: Keys, network: str, key: Path) -> None:
        self._keys = keys
        self.source = f"teams:{network or 'teams'}"
        self._key = private_key(key)
        self.gaps: int | None = 0

    def admit(self, delivery: Delivery) -> str | None:
        try:
            asked = parse_qs(delivery.query, max_num_fields=_FIELDS).get("validationToken")
            if asked:
                return asked[0]
            if delivery.body.count(b"{") > _BRACES:
                raise ValueError(f"more than {_BRACES:,} braces")
            told = msgspec.json.decode(delivery.body, type=AllBorne).value
        except (ValueError, RecursionError) as fault:
            raise forged("notifications of Microsoft Graph with the subscription's clientState") from fault
        states = [key.decode() for key in self._keys]
        if not told or not all(same(each.clientState, as_one_of=states) for each in told):
            raise forged("clientState is not that of a subscription known here")
        return None

    def read(self, delivery: Delivery) -> Iterator[Captured | Rejected]:
        for notification in msgspec.json.decode(delivery.body, type=Notifications).value:
            if notification.lifecycleEvent is None:
                yield from self._one(notification, delivery.received)
            else:
                self._note(notification, notification.lifecycleEvent)

    def _note(self, told: Notification, event: str) -> None:
        if event in _LOST:
            self.gaps = (self.gaps or 0) + 1
        log.warning(
            "subscription_needs_care",
            source=self.source,
            what=event[:100],
            subscription=told.subscriptionId[:100],
            expires=(told.subscriptionExpirationDateTime or "")[:100],
            next=NEXT.get(event, ""),
        )

    def _one(self, told: Notification, received: int) -> Iterator[Captured | Rejected]:
        content, position = msgspec.json.encode(told), f"from {self.title}"
        try:
            if told.encryptedContent is None:
                raise EventError("a notification without its message: subscribe with includeResourceData")
            content = self._opened(told.encryptedContent)
            message = msgspec.convert(normal(msgspec.json.decode(content)), ChatMessage)
            teller = Teller(self.source, {}, set())
            place = teller.place(message)
            if place is None:
                raise EventError("a message that doesn't say where it stood")
            for event in teller.events(message, place):
                # Told again after a change, what was sent would be what it was changed to.
                if told.changeType == "created" or event.type != SENT:
                    yield capture(event, received=received, original=content, position=position)
        except (EventError, msgspec.MsgspecError, ValueError, RecursionError) as fault:
            yield Rejected(content, position, str(fault), self.source)

    def _opened(self, encrypted: Encrypted) -> bytes:
        """Raises `ValueError` for what isn't encrypted to us, or was changed."""
        key, data = self._key.decrypt(b64decode(encrypted.dataKey), _OAEP), b64decode(encrypted.data)
        if not hmac.compare_digest(hmac.digest(key, data, hashlib.sha256), b64decode(encrypted.dataSignature)):
            raise EventError("its signature is not that of what is encrypted")
        decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        unpadder = PKCS7(128).unpadder()
        return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()


def private_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as fault:
        raise EnvironmentFault(f"{path} can't be read as a private key: {fault}", hint="name its PEM file") from fault
    if not isinstance(key, rsa.RSAPrivateKey):
        raise EnvironmentFault(f"{path} is no RSA key", hint="Microsoft Graph encrypts to RSA only")
    return key
