"""One document of each format that `archiver backfill` reads, of as many messages as one likes.

`WRITERS` has, by the format's name, what writes one into an empty folder and gives the path that is the document. Two
people talk, a message every two seconds, no two the same. Holds how the formats are written and nothing of how they are
read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from bson import encode
from conftest import FIXTURES

START = 1_700_000_000
APART = 2
"""Seconds between two messages."""
PEOPLE = ("ann", "bob")
PAGE = 1_000
"""Messages of one page or day, where a format is cut by them."""
MARK = "What is said here"
"""Begins each text, behind the message's number."""
_WORDS = (
    f"{MARK} is long enough to weigh something, and short enough to be said by somebody in a chat. "
    + "And so on. " * 30
)


class Said(NamedTuple):
    number: int
    at: int
    """Seconds since 1970."""
    who: str
    text: str

    @property
    def milliseconds(self) -> int:
        return self.at * 1_000

    @property
    def address(self) -> str:
        return f"{self.who}@example.org"

    def clock(self, form: str) -> str:
        return datetime.fromtimestamp(self.at, UTC).strftime(form)


def talk(count: int) -> Iterator[Said]:
    return (Said(n, START + n * APART, PEOPLE[n % 2], f"{n} {_WORDS}{n}") for n in range(count))


def pages(count: int) -> Iterator[tuple[int, list[Said]]]:
    """From 1, with their messages."""
    page = list[Said]()
    for said in talk(count):
        page.append(said)
        if len(page) == PAGE or said.number == count - 1:
            yield said.number // PAGE + 1, page
            page = []


def _lines(name: str, line: Callable[[Said], str], folder: Path, count: int, *, head: str = "", tail: str = "") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(head)
        out.writelines(map(line, talk(count)))
        out.write(tail)
    return path


def _list(name: str, head: dict[str, Any], key: str, made: Callable[[Said], Any], folder: Path, count: int) -> Path:
    """A JSON object whose last member is the long list."""
    begins = json.dumps({**head, key: []}).removesuffix("]}")

    def line(said: Said) -> str:
        return ("," if said.number else "") + "\n" + json.dumps(made(said))

    return _lines(name, line, folder, count, head=begins, tail="]}")


def _dump(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


# What fits on a line

events = partial(
    _lines,
    "talk.ndjson",
    lambda said: (
        json.dumps(
            {
                "specversion": "1.0",
                "source": "xmpp:x",
                "id": str(said.number),
                "type": "message.sent",
                "time": said.clock("%Y-%m-%dT%H:%M:%SZ"),
                "data": {
                    "conversation": {"id": "room", "kind": "group"},
                    "actor": {"address": said.address},
                    "message": {"id": str(said.number), "text": said.text},
                },
            }
        )
        + "\n"
    ),
)
irc = partial(_lines, "#room.log", lambda said: f"{said.clock('%Y-%m-%dT%H:%M:%S')}  <{said.who}> {said.text}\n")
whatsapp = partial(
    _lines, "WhatsApp Chat with Bob.txt", lambda said: f"{said.clock('%d/%m/%Y, %H:%M')} - {said.who}: {said.text}\n"
)
signal = partial(_lines, "Bob.txt", lambda said: f"[{said.clock('%Y-%m-%d, %H:%M')}] {said.who}: {said.text}\n")
zoomchat = partial(
    _lines,
    "GMT20231114-000000_RecordingnewChat.txt",
    lambda said: f"{said.clock('%H:%M:%S')}\t{said.who}:\t{said.text}\n",
)
webvtt = partial(
    _lines,
    "GMT20231114-150012_Recording.transcript.vtt",
    lambda said: f"{_count(said, 0)} --> {_count(said, 1)}\n{said.who}: {said.text}\n\n",
    head="WEBVTT\n\n",
)


def _count(said: Said, more: int) -> str:
    seconds = said.number * APART + more
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000"


pidgin = partial(
    _lines,
    "2023-11-14.221320+0000UTC.html",
    lambda said: (
        f'<font color="#{"16569E" if said.who == "ann" else "A82F2F"}"><font size="2">({said.clock("%H:%M:%S")})</font>'
        f" <b>{said.who}:</b></font> {said.text}<br/>\n"
    ),
    head="<html><head></head><body><h3>Conversation with bob at 2023-11-14 on ann (aim)</h3>\n",
)
mattermost = partial(
    _lines,
    "export.json",
    lambda said: (
        json.dumps(
            {
                "type": "post",
                "post": {
                    "team": "t",
                    "channel": "c",
                    "user": said.who,
                    "message": said.text,
                    "create_at": said.milliseconds,
                },
            }
        )
        + "\n"
    ),
    head='{"type":"version","version":1}\n',
)
_COLUMNS = (
    "Post Creation Time,Post Update Time,Post Update Type,Team Id,Team Name,Team Display Name,Channel Id,Channel Name,"
    "Channel Display Name,Channel Type,User Id,User Email,Username,Post Id,Edited By Post Id,Replied to Post Id,"
    "Post Message,Post Type,User Type,Previews Post Id\n"
)
mattermost_csv = partial(
    _lines,
    "posts.csv",
    lambda said: (
        f"{said.milliseconds},0,,t1,team,Team,c1,town,Town,public,u,{said.address},{said.who},p{said.number},,,"
        f'"{said.text}",message,user,\n'
    ),
    head=_COLUMNS,
)

# XML

xmpp = partial(
    _lines,
    "archive.xml",
    lambda said: (
        f"<result xmlns='urn:xmpp:mam:2' id='{said.number}'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"<delay xmlns='urn:xmpp:delay' stamp='{said.clock('%Y-%m-%dT%H:%M:%SZ')}'/>"
        f"<message xmlns='jabber:client' from='{said.address}/x' to='{_other(said)}@example.org' type='chat'"
        f" id='00000000-0000-0000-0000-{said.number:012}'><body>{said.text}</body></message></forwarded></result>\n"
    ),
    head="<server-data xmlns='urn:xmpp:pie:0'><host jid='example.org'><user name='ann'>"
    "<archive xmlns='urn:xmpp:pie:0#mam'>",
    tail="</archive></user></host></server-data>",
)
adium = partial(
    _lines,
    "bob (2023-11-14T22.13.20+0000).xml",
    lambda said: (
        f'<message sender="{said.who}" alias="{said.who}" time="{said.clock("%Y-%m-%dT%H:%M:%S")}+00:00">'
        f"<div>{said.text}</div></message>\n"
    ),
    head='<?xml version="1.0"?>\n<chat xmlns="http://purl.org/net/ulf/ns/0.4-02" account="ann" service="AIM">\n',
    tail="</chat>",
)
bigbluebutton = partial(
    _lines,
    "events.xml",
    lambda said: (
        f'<event timestamp="{said.milliseconds}" module="CHAT" eventname="PublicChatEvent">'
        f"<timestampUTC>{said.milliseconds}</timestampUTC><senderId>{said.who}</senderId><sender>{said.who}</sender>"
        f"<message>{said.text}</message></event>\n"
    ),
    head=f'<recording meeting_id="m-{START}000"><meeting id="m-{START}000" externalId="e" name="Talk"/>\n',
    tail="</recording>",
)
mattermost_actiance = partial(
    _lines,
    "actiance_export.xml",
    lambda said: (
        f"<Message><MessageId>p{said.number}</MessageId><LoginName>{said.address}</LoginName><UserType>user</UserType>"
        f"<DateTimeUTC>{said.milliseconds}</DateTimeUTC><Content>{said.text}</Content></Message>\n"
    ),
    head='<FileDump><Conversation Perspective="Town"><RoomID>public - town - c1</RoomID>\n',
    tail="</Conversation></FileDump>",
)


def _other(said: Said) -> str:
    return PEOPLE[1 - said.number % 2]


# JSON

matrix = partial(
    _list,
    "room.json",
    {"room_name": "Room", "exported_by": "@a:example.org"},
    "messages",
    lambda said: {
        "type": "m.room.message",
        "event_id": f"$e{said.number}",
        "room_id": "!r:example.org",
        "sender": f"@{said.who}:example.org",
        "origin_server_ts": said.milliseconds,
        "content": {"msgtype": "m.text", "body": said.text},
    },
)
discord = partial(
    _list,
    "channel.json",
    {"guild": {"id": "0"}, "channel": {"id": "9", "type": "DirectTextChat", "name": "bob"}},
    "messages",
    lambda said: {
        "id": str(said.number),
        "type": "Default",
        "timestamp": said.clock("%Y-%m-%dT%H:%M:%S+00:00"),
        "author": {"id": said.who, "name": said.who},
        "content": said.text,
    },
)
telegram = partial(
    _list,
    "result.json",
    {"name": "Team", "type": "private_supergroup", "id": 5},
    "messages",
    lambda said: {
        "id": said.number,
        "type": "message",
        "date_unixtime": str(said.at),
        "text": said.text,
        "from": said.who,
        "from_id": said.who,
    },
)
skype = partial(
    _list,
    "messages.json",
    {"id": "19:team", "userId": "8:ann"},
    "MessageList",
    lambda said: {
        "id": str(said.number),
        "originalarrivaltime": said.clock("%Y-%m-%dT%H:%M:%SZ"),
        "messagetype": "RichText",
        "content": said.text,
        "from": f"8:{said.who}",
    },
)
googlechat = partial(
    _list,
    "messages.json",
    {},
    "messages",
    lambda said: {
        "creator": {"name": said.who, "email": said.address},
        "text": said.text,
        "created_date": said.clock("%A, %B %d, %Y at %I:%M:%S %p UTC"),
        "message_id": f"s/t/{said.number}",
    },
)
teams = partial(
    _list,
    "messages.json",
    {},
    "value",
    lambda said: {
        "id": str(said.number),
        "createdDateTime": said.clock("%Y-%m-%dT%H:%M:%SZ"),
        "chatId": "19:x@thread.v2",
        "from": {"user": {"id": said.who}},
        "body": {"contentType": "html", "content": f"<p>{said.text}</p>"},
    },
)
meta = partial(
    _list,
    "message_1.json",
    {"participants": [{"name": each} for each in PEOPLE]},
    "messages",
    lambda said: {"sender_name": said.who, "timestamp_ms": said.milliseconds, "content": said.text},
)
jigasi = partial(
    _list,
    "jigasi.json",
    {"room_name": "standup", "room_url": "https://meet.example.org/standup", "start_time": START * 1_000},
    "events",
    lambda said: {
        "event": "SPEECH",
        "timestamp": said.milliseconds,
        "message_id": str(said.number),
        "participant": {"name": said.who, "id": said.who},
        "transcript": [{"text": said.text}],
    },
)
rsmf = partial(
    _list,
    "rsmf_manifest.json",
    {
        "participants": [{"id": each, "display": each} for each in PEOPLE],
        "conversations": [{"id": "C", "platform": "slack", "type": "channel", "participants": PEOPLE}],
    },
    "events",
    lambda said: {
        "id": str(said.number),
        "type": "message",
        "participant": said.who,
        "conversation": "C",
        "timestamp": said.clock("%Y-%m-%dT%H:%M:%SZ"),
        "body": said.text,
    },
)


def slack(folder: Path, count: int) -> Path:
    (folder / "general").mkdir()
    _dump(folder / "channels.json", [{"id": "C1", "name": "general", "members": PEOPLE}])
    for page, said in pages(count):
        made = [{"type": "message", "user": e.who, "text": e.text, "ts": f"{e.at}.{e.number % PAGE:06}"} for e in said]
        _dump(folder / "general" / f"{2000 + page // 300}-{page // 25 % 12 + 1:02}-{page % 25 + 1:02}.json", made)
    return _dump(folder / "users.json", [{"id": each, "team_id": "T"} for each in PEOPLE])


def zulip(folder: Path, count: int) -> Path:
    for page, said in pages(count):
        made = [
            {"id": e.number, "sender": 1, "recipient": 2, "subject": "s", "content": e.text, "date_sent": e.at}
            for e in said
        ]
        _dump(folder / f"messages-{page:06}.json", {"zerver_message": made})
    return _dump(
        folder / "realm.json",
        {
            "zerver_userprofile": [{"id": 1, "full_name": "Ann", "email": "ann@example.org"}],
            "zerver_stream": [{"id": 5, "name": "design"}],
            "zerver_recipient": [{"id": 2, "type": 2, "type_id": 5}],
        },
    )


# Mails

_mail = (
    "From {0}@example.org {1}\nFrom: {0}@example.org\nTo: {2}@example.org\nDate: {3}\nMessage-ID: <{4}@example.org>\n"
)


def _mailed(head: str, body: Callable[[Said], str], folder: Path, count: int) -> Path:
    def line(said: Said) -> str:
        stated, when = said.clock("%a %b %d %H:%M:%S %Y"), said.clock("%a, %d %b %Y %H:%M:%S +0000")
        return _mail.format(said.who, stated, _other(said), when, said.number) + f"{head}\n{body(said)}\n\n"

    return _lines("mail.mbox", line, folder, count)


mail = partial(_mailed, "Subject: talk\n", lambda said: said.text)
mattermost_globalrelay = partial(
    _mailed,
    "X-GlobalRelay-MsgType: Mattermost\nX-Mattermost-ChannelID: c1\nX-Mattermost-ChannelType: public\n"
    "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n",
    lambda said: (
        f'<table></table><ul><li class="message">\n<span class="post_id">p{said.number}</span>'
        f'<span class="sent_time">{said.clock("%Y-%m-%dT%H:%M:%SZ")}</span><span class="username">@{said.who}</span>'
        f'<span class="email">({said.address})</span><span class="message">{escape(said.text)}</span></li></ul>'
    ),
)


def items(folder: Path, count: int) -> Path:
    """One item of three messages, over and over."""
    made = (FIXTURES / "expected" / "guessed.bob.eml").read_bytes()
    path = folder / "items.mbox"
    with path.open("wb") as out:
        for said in talk(count // 3):
            out.write(f"From x@example.org {said.clock('%a %b %d %H:%M:%S %Y')}\n".encode() + made + b"\n\n")
    return path


# Databases


def imessage(folder: Path, count: int) -> Path:
    base = sqlite3.connect(folder / "chat.db")
    base.executescript(
        """
        CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT);
        CREATE TABLE chat (ROWID INTEGER PRIMARY KEY, guid TEXT);
        CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER);
        CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER, PRIMARY KEY (chat_id, message_id));
        CREATE TABLE message (ROWID INTEGER PRIMARY KEY, guid TEXT, text TEXT, handle_id INTEGER, is_from_me INTEGER,
            date INTEGER);
        INSERT INTO handle VALUES (1, 'bob@example.org');
        INSERT INTO chat VALUES (1, 'iMessage;-;bob@example.org');
        INSERT INTO chat_handle_join VALUES (1, 1);
        """
    )
    made = (
        (e.number + 1, f"G{e.number}", e.text, 1, e.who == "ann", (e.at - 978_307_200) * 10**9) for e in talk(count)
    )
    base.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", made)
    base.execute("INSERT INTO chat_message_join SELECT 1, ROWID FROM message")
    base.commit()
    base.close()
    return folder / "chat.db"


def rocketchat(folder: Path, count: int) -> Path:
    with (folder / "rocketchat_message.bson").open("wb") as out:
        out.writelines(map(_record, talk(count)))
    return folder / "rocketchat_message.bson"


def _record(said: Said) -> bytes:
    at = datetime.fromtimestamp(said.at, UTC)
    return encode({"_id": str(said.number), "rid": "GENERAL", "ts": at, "u": {"username": said.who}, "msg": said.text})


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "events": events,
    "items": items,
    "rsmf": rsmf,
    "mail": mail,
    "slack": slack,
    "teams": teams,
    "mattermost": mattermost,
    "mattermost-csv": mattermost_csv,
    "mattermost-actiance": mattermost_actiance,
    "mattermost-globalrelay": mattermost_globalrelay,
    "rocketchat": rocketchat,
    "zulip": zulip,
    "googlechat": googlechat,
    "skype": skype,
    "matrix": matrix,
    "imessage": imessage,
    "adium": adium,
    "pidgin": pidgin,
    "xmpp": xmpp,
    "discord": discord,
    "telegram": telegram,
    "meta": meta,
    "webvtt": webvtt,
    "jigasi": jigasi,
    "bigbluebutton": bigbluebutton,
    "zoomchat": zoomchat,
    "signal": signal,
    "whatsapp": whatsapp,
    "irc": irc,
}
