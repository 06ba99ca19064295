"""Which mail clients are let in: from which networks, with which log-in, whether over TLS only."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from aiosmtpd.smtp import AuthResult, LoginPassword
from msgspec import Struct

from archiver.sources.credentials import LogIns, Secret
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
        self._log_ins = LogIns(access.logins)
        self.required = bool(self._log_ins)
        self._networks = [ip_network(each) for each in access.clients]

    def lets_in(self, peer: object) -> bool:
        """`peer` is a socket's: (address, port …), or a text for a socket file, which has a mode of its own."""
        if not self._networks or not isinstance(peer, tuple):
            return True
        return is_in(self._networks, str(peer[0]))

    def authenticate(
        self, server: object, session: object, envelope: object, mechanism: str, data: object
    ) -> AuthResult:
        """As aiosmtpd asks."""
        given = (data.login, data.password) if isinstance(data, LoginPassword) else (b"", b"")
        return AuthResult(success=self._log_ins.are(*given), handled=False)


def is_in(networks: Iterable[IPv4Network | IPv6Network], host: str) -> bool:
    """Also where a socket for both families gives an IPv4 address in IPv6's form."""
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
