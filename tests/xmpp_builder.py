"""Records as a server's module would send them, written by hand; and somebody to post them."""

from __future__ import annotations

import http.client
import itertools
import json
from typing import Any

from archiver.sources.xmpp.source import PATH

HOST, ROOMS, ROOM = "example.org", "rooms.example.org", "team@rooms.example.org"
NUMBERS = itertools.count(1)
UUID = "00000000-0000-4000-8000-{:012d}"
USER_NS = "http://jabber.org/protocol/muc#user"

Record = dict[str, Any]


def record(kind: str, /, **members: Any) -> Record:
    number = next(NUMBERS)
    host = members.pop("host", HOST if kind == "message" else ROOMS)
    made = {"id": f"r{number}", "kind": kind, "time": "2024-05-01T10:00:00Z", "host": host, "sequence": f"{number:09d}"}
    return made | members


def stanza(
    inner: str, *, id: str, sender: str = "ann@example.org/x", to: str = "bob@example.org", kind: str = "chat"
) -> str:
    return f"<message xmlns='jabber:client' from='{sender}' to='{to}' id='{id}' type='{kind}'>{inner}</message>"


def message(inner: str, *, id: str = "", sender: str = "ann@example.org/x", **members: Any) -> Record:
    made = stanza(inner, id=id or UUID.format(next(NUMBERS)), sender=sender, to=members.pop("to", "bob@example.org"))
    return record("message", stanza=made, owner=sender, **members)


def in_room(inner: str, nick: str = "Ann", *, id: str = "", **members: Any) -> Record:
    jid = members.pop("jid", f"{nick.lower()}@example.org/x")
    made = stanza(inner, id=id or f"m{next(NUMBERS)}", sender=f"{ROOM}/{nick}", to="", kind="groupchat")
    return record("room-message", stanza=made, room=ROOM, nick=nick, jid=jid, **members)


def moved(kind: str, nick: str = "Ann", **members: Any) -> Record:
    return record(kind, room=ROOM, nick=nick, jid=members.pop("jid", f"{nick.lower()}@example.org/x"), **members)


def body(text: str) -> str:
    return f"<body>{text}</body>"


def ndjson(*records: Record) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


class Answer:
    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.body = reply.read()
        self.json: Any = json.loads(self.body) if self.body else None


def post(port: int, content: bytes, token: str, **headers: str) -> Answer:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("POST", PATH, content, {"Authorization": f"Bearer {token}"} | headers)
        return Answer(client.getresponse())
    finally:
        client.close()
