"""A server by hand that speaks to a component (XEP-0114) as ejabberd does, and what its mod_service_log sends."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from contextlib import suppress
from uuid import uuid4

from component_end import SECRET
from contracts.source import eventually

NAME, HOST = "archiver.example.org", "example.org"
HEAD = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='s1'>"


class ComponentServer:
    """Lets in who knows the secret; what it is told to say it says to whoever is in."""

    def __init__(self, secret: str = SECRET, port: int = 0) -> None:
        self._secret = secret
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = self._listening.getsockname()[1]
        self.refusal = ""
        self.greeting = b"<handshake/>"
        self.answers = True
        self._saying = threading.Lock()
        self.heard: list[str] = []
        self.opened = 0
        self._here: socket.socket | None = None
        self._ended = False
        self._letting_in = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._ended:
            with suppress(OSError):
                connection, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError, AssertionError):
            assert f"to='{NAME}'" in _until(connection, b"streams'", b">").replace('"', "'")
            connection.sendall(HEAD.encode())
            given = re.search(r"<handshake>(\w+)</handshake>", _until(connection, b"</handshake>"))
            known = hashlib.sha1(b"s1" + self._secret.encode()).hexdigest()
            if self.refusal or given is None or given[1] != known:
                why = self.refusal or "not-authorized"
                error = f"<stream:error><{why} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
                connection.sendall(f"{error}</stream:stream>".encode())
                connection.close()
                return
            with self._letting_in:  # who is in is spoken to, not who was before
                connection.sendall(self.greeting)
                self._here = connection
                self.opened += 1
            while data := connection.recv(65536):
                self.heard.append(data.decode())
                for question in re.findall(r"<iq type='get' id='(\d+)'", data.decode()) if self.answers else ():
                    with self._saying:
                        connection.sendall(f"<iq type='result' id='{question}' from='{HOST}' to='{NAME}'/>".encode())

    def say(self, text: str | bytes) -> None:
        assert eventually(lambda: self._here)
        with self._letting_in:
            here = self._here
        assert here is not None
        with self._saying:
            here.sendall(text.encode() if isinstance(text, str) else text)

    def drop(self) -> None:
        here, self._here = self._here, None
        if here is not None:
            with suppress(OSError):
                here.shutdown(socket.SHUT_RDWR)
            here.close()

    def close(self) -> None:
        self._ended = True
        self.drop()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _until(connection: socket.socket, *signs: bytes) -> str:
    found = b""
    while not all(sign in found for sign in signs):
        piece = connection.recv(4096)
        assert piece
        found += piece
    return found.decode()


def forwarded(inner: str, sender: str = HOST, to: str = NAME) -> str:
    return (
        f"<message from='{sender}' to='{to}' id='1'><forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></message>"
    )


def said(
    text: str, id: str = "", sender: str = "ann@example.org/x", to: str = "bob@example.org", more: str = ""
) -> str:
    """As one client sends it and another gets it."""
    id = id or str(uuid4())
    return (
        f"<message xmlns='jabber:client' from='{sender}' to='{to}' type='chat' id='{id}'>"
        f"{more}<body>{text}</body></message>"
    )
