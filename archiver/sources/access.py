"""Which mail clients are let in: from which networks, with which log-in, whether over TLS only."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from aiosmtpd.smtp import AuthResult, LoginPassword
from msgspec import Struct

from archiver.sources.credentials import Secret, digest_of
from archiver.sources.tls import Tls


class Access(Struct, frozen=True):
    """`clients` are networks in CIDR form, none for any; `logins` are those of which one is needed, none for none."""

    clients: tuple[str, ...] = ()
    logins: tuple[Secret, ...] = ()
    tls: Tls | None = None
    require_tls: bool = False


class Doorkeeper:
    """Raises `EnvironmentFault` where a secret can't be had."""

    def __init__(self, access: Access) -> None:
        self.required = bool(access.logins)
        self._networks = [ip_network(each) for each in access.clients]
        self._digests = [(each.name.encode(), each.digest()) for each in access.logins]

    def lets_in(self, peer: object) -> bool:
        """`peer` is a socket's: (address, port …), or a text for a socket file, which has a mode of its own."""
        if not self._networks or not isinstance(peer, tuple):
            return True
        return is_in(self._networks, str(peer[0]))

    def authenticate(
        self, server: object, session: object, envelope: object, mechanism: str, data: object
    ) -> AuthResult:
        """As aiosmtpd asks. Looks at every log-in, whoever comes."""
        name, digest = b"", b""
        if isinstance(data, LoginPassword):
            name, digest = data.login, digest_of(data.password.decode("utf-8", "surrogateescape"))
        found = False
        for known, its in self._digests:
            found |= hmac.compare_digest(known, name) & hmac.compare_digest(its, digest)
        return AuthResult(success=found, handled=False)


def is_in(networks: Iterable[IPv4Network | IPv6Network], host: str) -> bool:
    """Also where a socket for both families gives an IPv4 address in IPv6's form."""
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
