"""The archives of Prosody and ejabberd in SQLite -> envelopes, in the order they were kept.

Source: Prosody's mod_storage_sql and mod_muc_mam, ejabberd's sql/lite.sql.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from archiver.events import moment
from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.importers.sqlitefile import Database
from archiver.importers.xmpp.stanza import Envelope, bare

PROSODY = ("host", "user", "store", "key", "when", "with", "type", "value")
EJABBERD = ("username", "timestamp", "peer", "bare_peer", "xml", "kind", "nick")

_ONE_HOST = "SELECT rowid, username, timestamp, bare_peer, xml, kind, nick, peer, NULL FROM archive ORDER BY rowid"
_SEVERAL_HOSTS = _ONE_HOST.replace("NULL", "server_host")

Row = tuple[str, Envelope | EventError]
"""What stood there, and what it is or why it can't be used."""


def prosody(database: Database) -> Iterator[Row]:
    """Raises `sqlitefile.Broken`."""
    query = 'SELECT rowid, "host", "user", "store", "key", "when", "type", "value" FROM prosodyarchive ORDER BY rowid'
    note: Envelope | None = None
    for _, host, user, store, key, when, kind, value in database.rows(query, through="prosodyarchive"):
        if store not in ("archive", "muc_log"):
            continue
        owner = f"{user}@{host}".lower()
        row = _row(value, when, 1_000_000, key, owner if kind == "xml" else None, store == "muc_log")
        if not isinstance(row[1], Envelope) or not _is_note(row[1]):
            yield row
        elif note is not None and _is_repeated(note, row[1]):
            note = None
        else:
            note = row[1]
            yield row


def ejabberd(database: Database) -> Iterator[Row]:
    """Raises `sqlitefile.Broken`."""
    query = _SEVERAL_HOSTS if database.has("archive", ("server_host",)) else _ONE_HOST
    for _, name, when, peer, xml, kind, nick, full, host in database.rows(query, through="archive"):
        is_room = kind == "groupchat" or "@" in str(name)
        owner = str(name) if "@" in str(name) or not host else f"{name}@{host}"
        row = _row(xml, when, 1, str(when), owner.lower(), is_room, str(nick or ""), str(peer or full or ""))
        if not isinstance(row[1], Envelope) or is_room or not _is_echo(row[1], str(full or "")):
            yield row


def _is_note(envelope: Envelope) -> bool:
    """Whether one sent it to oneself: it is there twice, as sent and right behind that as got."""
    ends = (envelope.stanza.get("from"), envelope.stanza.get("to") or envelope.owner)
    return envelope.room is None and all(bare(each) == envelope.owner for each in ends)


def _is_repeated(sent: Envelope, got: Envelope) -> bool:
    """Prosody's clock counts whole seconds, between the two it may have gone on."""
    same = sent.owner == got.owner and sent.stanza.get("id") == got.stanza.get("id")
    near = sent.at is not None and got.at is not None and got.at - sent.at <= timedelta(seconds=1)
    return same and near and list(sent.stanza.itertext()) == list(got.stanza.itertext())


def _is_echo(envelope: Envelope, peer: str) -> bool:
    return _is_note(envelope) and peer.lower() == (envelope.stanza.get("from") or "").lower()


def _row(
    value: object, when: Any, unit: int, key: object, owner: str | None, is_room: bool, nick: str = "", peer: str = ""
) -> Row:
    text = value if isinstance(value, str) else repr(value)
    try:
        if owner is None:
            raise EventError("kept in a form of its own, which is not XML")
        stanza, at = xmlfile.element(text), moment(round(float(when) * unit))
    except xmlfile.Broken as fault:
        return text, EventError(str(fault))
    except (TypeError, ValueError, OverflowError):
        return text, EventError(f"no time: {when!a}"[:200])
    except EventError as fault:
        return text, fault
    if is_room:
        return text, Envelope(stanza, at, str(key), owner, owner, nick or None, bare(peer) or None)
    ends = {bare(stanza.get("from")), bare(stanza.get("to"))}
    if "@" not in owner:  # ejabberd with one host keeps the name alone
        named = sorted((each for each in ends if each.startswith(f"{owner}@")), key=lambda each: each == bare(peer))
        owner = named[0] if named else owner
    return text, Envelope(stanza, at, str(key), owner)
