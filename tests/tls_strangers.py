"""Who doesn't get past the handshake of TLS, what each is told, and what it is counted under."""

from __future__ import annotations

import socket
import ssl
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import trustme


@cache
def authority(name: str) -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA, organization_name=name)


def files(folder: Path) -> dict[str, str]:
    """A certificate for localhost, and of whose authority clients must have one, as a source's table names them."""
    both, clients = folder / "localhost.pem", folder / "clients.pem"
    authority("ours").issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(both)
    authority("ours").cert_pem.write_to_path(clients)
    return {"certificate": str(both), "key": str(both), "client_ca": str(clients)}


class Stranger(NamedTuple):
    told: str
    """The alert it gets, in OpenSSL's words, or "closed"."""
    counted: str
    shows: str = ""
    """The authority of its certificate, if it has one."""
    trusts: str = "ours"
    newest: ssl.TLSVersion | None = None
    clear: bytes = b""
    """What it says instead of beginning TLS."""

    def meet(self, connection: socket.socket) -> str:
        """What it is told on a connection where TLS should begin, which is closed then."""
        with connection:
            try:
                connection.sendall(self.clear)
                said = (
                    connection if self.clear else self._context().wrap_socket(connection, server_hostname="localhost")
                )
                with said:
                    while said.recv(1024):
                        pass
            except ssl.SSLError as fault:
                return fault.reason or str(fault)
            except ConnectionResetError:
                pass
        return "closed"

    def _begun(self, connection: socket.socket) -> socket.socket:
        if not self.clear:
            return self._context().wrap_socket(connection, server_hostname="localhost")
        connection.sendall(self.clear)
        return connection

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority(self.trusts).configure_trust(context)
        if self.shows:
            authority(self.shows).issue_cert("gateway").configure_cert(context)
        if self.newest is not None:
            with warnings.catch_warnings(action="ignore"):  # that it is too old is what is tested
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, self.newest
        return context


NO_CERTIFICATE, NO_ISSUER = "TLS: peer did not return a certificate", "TLS: unable to get local issuer certificate"
TLS12, TLS11 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1

ASKED = {
    "no certificate": Stranger("TLSV13_ALERT_CERTIFICATE_REQUIRED", NO_CERTIFICATE),
    "no certificate, TLS 1.2": Stranger("SSLV3_ALERT_HANDSHAKE_FAILURE", NO_CERTIFICATE, newest=TLS12),
    "of an unknown authority": Stranger("TLSV1_ALERT_UNKNOWN_CA", NO_ISSUER, shows="theirs"),
    "of an unknown authority, TLS 1.2": Stranger("TLSV1_ALERT_UNKNOWN_CA", NO_ISSUER, shows="theirs", newest=TLS12),
}
"""Who is refused where a certificate is asked for."""
ALWAYS = {
    "knows no such authority": Stranger("CERTIFICATE_VERIFY_FAILED", "TLS: tlsv1 alert unknown ca", trusts="theirs"),
    "too old a TLS": Stranger("TLSV1_ALERT_PROTOCOL_VERSION", "TLS: unsupported protocol", newest=TLS11),
    "clear text": Stranger("closed", "TLS: wrong version number", clear=b"EHLO me\r\nNOOP\r\n"),
    "HTTP in clear text": Stranger("closed", "TLS: http request", clear=b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
}
"""Who is refused in any case."""
