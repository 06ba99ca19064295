"""What Janus 1.1.2 sends, as it was seen on the wire, with the names of a test's own."""

from __future__ import annotations

import json
from base64 import b64encode
from http.client import HTTPConnection, HTTPException
from typing import Any

SECRET = "a-secret-that-nobody-guesses"
BEGIN = 1_795_942_796_000_000
"""Microseconds: 2026-11-29T08:59:56Z, when `at=0` is."""

Told = dict[str, Any]


def textroom(event: str, who: str = "ann", at: float = 0, room: int | str = 1234, **more: Any) -> Told:
    """`more` goes into the plugin's data, except for the handle and its opaque id."""
    outer = {key: more.pop(key) for key in ("handle_id", "opaque_id") if key in more}
    data = {"event": event, "room": room, "username": who, **more}
    if event == "kicked":
        data["textroom"] = data.pop("event")
    return _told("janus.plugin.textroom", data, at, {"handle_id": hash(who) % 10**6 + 1} | outer)


def videoroom(event: str, who: int | str = 7, at: float = 0, room: int | str = 1234, **more: Any) -> Told:
    outer = {key: more.pop(key) for key in ("handle_id", "opaque_id") if key in more}
    if event in ("joined", "published"):
        outer.setdefault("handle_id", hash(who) % 10**6 + 1)
    return _told("janus.plugin.videoroom", {"event": event, "room": room, "id": who, **more}, at, outer)


def detached(handle: int, at: float = 0) -> Told:
    return _event(2, at, {"name": "detached", "plugin": "janus.plugin.textroom"}, {"handle_id": handle})


def server(status: str, at: float = 0) -> Told:
    return _event(256, at, {"status": status}, {"subtype": 1})


def posted(text: str, who: str | None = "ann", at: float = 0, room: int | str = 1234, **more: Any) -> bytes:
    """None says it to all, as an announcement. `at` is cut to the second, as Janus cuts it."""
    kind = {"textroom": "message", "room": room, "from": who} if who else {"textroom": "announcement", "room": room}
    return json.dumps({**kind, "date": _date(at), "text": text, **more}).encode()


def group(*told: Told) -> bytes:
    return json.dumps(list(told)).encode()


def log_in(secret: str = SECRET, name: str = "janus") -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{secret}".encode()).decode()}


def post(port: int, path: str, body: bytes, headers: dict[str, str] | None = None) -> bool:
    """Whether Janus would take it for acknowledged: curl got a whole reply, of whatever status."""
    client = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("POST", path, body, log_in() if headers is None else headers)
        client.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        client.close()
    return True


def _told(plugin: str, data: Told, at: float, outer: Told) -> Told:
    return _event(64, at, {"plugin": plugin, "data": data}, outer)


def _event(type_: int, at: float, event: Told, outer: Told) -> Told:
    time = BEGIN + round(at * 1_000_000)
    return {"emitter": "conference", "type": type_, "timestamp": time, "session_id": 5537398557790705, **outer} | {
        "event": event
    }


def _date(at: float) -> str:
    seconds = 56 + int(at)
    return f"2026-11-29T{8 + (59 + seconds // 60) // 60:02d}:{(59 + seconds // 60) % 60:02d}:{seconds % 60:02d}+0000"
