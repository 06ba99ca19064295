"""Real clients of XMPP servers (slixmpp), driven from a test's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4
from xml.etree.ElementTree import fromstring

from slixmpp import JID, ClientXMPP, ComponentXMPP
from slixmpp.exceptions import PresenceError

PATIENCE = 20.0
T = TypeVar("T")


class People:
    """Clients of one server, on a loop in a thread."""

    def __init__(self, port: int, host: str = "localhost") -> None:
        self._port = port
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._here: list[Any] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE * 2)

    def log_in(self, name: str, password: str = "secret", resource: str = "x", host: str = "") -> Person:
        """Without a name as a guest, whom the server calls something that it makes up."""
        bare = f"{name}@{host or self._host}" if name else host or self._host
        client = self.run(self._connected(f"{bare}/{resource}" if name else bare, password))
        self._here.append(client)
        return Person(self, client)

    def component(self, host: str, port: int) -> Person:
        """A gateway or bot beside the server (XEP-0114)."""

        async def connecting() -> ComponentXMPP:
            made = ComponentXMPP(host, "secret", "127.0.0.1", port)
            made.enable_plaintext = True
            made.enable_starttls = made.enable_direct_tls = False
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            made.add_event_handler("session_start", lambda _: begun.done() or begun.set_result(None))
            made.connect("127.0.0.1", port)
            await asyncio.wait_for(begun, PATIENCE)
            return made

        client = self.run(connecting())
        self._here.append(client)
        return Person(self, client, sender=host)

    async def _connected(self, jid: str, password: str) -> ClientXMPP:
        client = ClientXMPP(jid, password)
        client.enable_plaintext = True
        client.enable_starttls = client.enable_direct_tls = False
        client.plugin["feature_mechanisms"].unencrypted_plain = True
        for plugin in ("xep_0045", "xep_0280", "xep_0199"):
            client.register_plugin(plugin)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        client.add_event_handler("session_start", lambda _: begun.done() or begun.set_result(None))
        client.add_event_handler("failed_auth", lambda _: begun.done() or begun.set_exception(PermissionError(jid)))
        client.connect("127.0.0.1", self._port)
        await asyncio.wait_for(begun, PATIENCE)
        client.send_presence()
        return client

    def leave(self) -> None:
        for client in self._here:
            self.run(_disconnected(client))
        self.run(_end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


async def _disconnected(client: Any) -> None:
    client.abort()
    await asyncio.sleep(0)


async def _end_all() -> None:
    """What a client leaves running."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def people(port: int, host: str = "localhost") -> Iterator[People]:
    them = People(port, host)
    try:
        yield them
    finally:
        them.leave()


class Person:
    def __init__(self, people: People, client: Any, sender: str = "") -> None:
        """A component says who it is in each stanza."""
        self._people = people
        self._from = f" from='{sender}'" if sender else ""
        self.client = client
        self.jid = client.boundjid.bare

    def send(self, stanza: str) -> None:
        """As it stands: also what no library would send."""

        async def sending() -> None:
            self.client.send_xml(fromstring(stanza))

        self._people.run(sending())

    def say(self, to: str, inner: str, kind: str = "chat", id: str = "") -> str:
        """`inner` is XML. Returns the message's id."""
        id = id or str(uuid4())
        space = "jabber:component:accept" if self._from else "jabber:client"
        self.send(f"<message xmlns='{space}'{self._from} to='{to}' type='{kind}' id='{id}'>{inner}</message>")
        return id

    def join(self, room: str, nick: str, called: str = "") -> None:
        async def joining() -> None:
            muc = self.client.plugin["xep_0045"]
            if called:
                await self._join_called(f"{room}/{nick}", called)
                return
            # A server that has just begun may know its users before it knows what they may do.
            for _ in range(50):
                try:
                    await muc.join_muc_wait(JID(room), nick, maxstanzas=0, timeout=PATIENCE)
                except PresenceError as refused:
                    if "denied by service policy" not in str(refused.text):
                        raise
                    await asyncio.sleep(0.1)
                else:
                    return
            raise AssertionError(f"{room} can't be made")

        self._people.run(joining())

    async def _join_called(self, place: str, called: str) -> None:
        """As Jitsi Meet's clients do: the name stands beside a nick that is made up."""
        nick = f"<nick xmlns='http://jabber.org/protocol/nick'>{called}</nick>"
        muc = "<x xmlns='http://jabber.org/protocol/muc'/>"
        self.client.send_xml(fromstring(f"<presence xmlns='jabber:client' to='{place}'>{muc}{nick}</presence>"))
        await asyncio.sleep(0.2)

    def presence(self, to: str, kind: str = "", inner: str = "") -> None:
        attribute = f" type='{kind}'" if kind else ""
        self.send(f"<presence xmlns='jabber:client' to='{to}'{attribute}>{inner}</presence>")

    def leave(self, room: str, nick: str, status: str = "") -> None:
        self.presence(f"{room}/{nick}", "unavailable", f"<status>{status}</status>" if status else "")

    def ask(self, to: str, inner: str, kind: str = "set") -> None:
        """An iq whose answer is waited for."""

        async def asking() -> None:
            iq = self.client.make_iq(ito=to, itype=kind)
            iq.append(fromstring(inner))
            await iq.send(timeout=PATIENCE)

        self._people.run(asking())

    def settle(self) -> None:
        """Returns once the server has taken all that was sent."""
        self.ask(self.client.boundjid.host, "<ping xmlns='urn:xmpp:ping'/>", "get")

    def drop(self) -> None:
        """The connection goes, without a word."""
        self._people.run(_disconnected(self.client))


def body(text: str) -> str:
    return f"<body>{text}</body>"
