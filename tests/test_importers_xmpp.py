"""XMPP: a portable export, Prosody's and ejabberd's archives counted; the XEPs' examples; hostile files."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Data, Event, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at, guess

XMPP = FIXTURES / "xmpp"
EXPORT = XMPP / "archive.xml"
PROSODY = XMPP / "prosody.sqlite"
EJABBERD = XMPP / "ejabberd.sqlite"
JULIET = XMPP / "xeps" / "xep-0227" / "12-juliets-exported-message-archive.xml"
XEPS = sorted((XMPP / "xeps").rglob("*.xml"))


class TestXmpp(ImporterContract):
    importer = IMPORTERS["xmpp"]
    samples = tuple((path, Options()) for path in (EXPORT, PROSODY, EJABBERD, JULIET))


Read = tuple[list[Captured], list[Rejected], Reading]


def read(path: Path, options: Options | None = None) -> Read:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["xmpp"].read(document_at(path), options or Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def events(path: Path, options: Options | None = None) -> list[Event]:
    return [each.event for each in read(path, options)[0]]


def stanzas(path: Path, *inner: str) -> Path:
    path.write_text("\n".join(inner))
    return path


def said(number: int, inner: str, attributes: str = "from='ann@a.example/x' to='bob@b.example' type='chat'") -> str:
    stamp = f"<delay xmlns='urn:xmpp:delay' stamp='2024-01-01T10:{number:02d}:00Z'/>"
    return f"<message xmlns='jabber:client' id='m{number}' {attributes}>{inner}{stamp}</message>"


@pytest.mark.counted("xmpp")
@pytest.mark.parametrize("path", [PROSODY, EJABBERD])
def test_every_message_of_an_sql_archive_is_there_once(path: Path) -> None:
    with sqlite3.connect(path) as base:
        table, column = ("prosodyarchive", "value") if path == PROSODY else ("archive", "xml")
        rows = [value for (value,) in base.execute(f"SELECT {column} FROM {table}")]
    bodies = [found[1] for row in rows if (found := re.search("<body>([^<]*)</body>", row)) and "<retract " not in row]
    captured, rejected, reading = read(path)
    assert not rejected
    told = [each.event for each in captured if each.event.type in ("message.sent", "message.edited")]
    direct = [each for each in told if each.data.conversation.kind == "im"]
    assert len(bodies) == 2 * (len(direct) + 1) + len(told) - len(direct), "each side keeps both; one was forged"
    copies = sum(count // 2 for count in Counter(rows).values())
    assert reading.ignored["the other side's copies of a message"] == copies > 0
    assert Counter(each.data.message.text for each in told if each.data.message)["ok"] == 2, "equal ones are two"


def test_both_servers_and_the_export_tell_the_same_conversation() -> None:
    def direct(path: Path) -> list[tuple[object, ...]]:
        made = []
        for each in events(path):
            if each.data.conversation.kind == "im" and each.data.message is not None:
                message = each.data.message
                made.append((each.source, each.type, message.id, message.text, message.in_reply_to, each.data.reaction))
        return made

    assert direct(PROSODY) == direct(EJABBERD) == direct(EXPORT)[:-1]
    ids = [{each.id for each in events(path) if "0000-00000000000" in each.id} for path in (PROSODY, EJABBERD)]
    assert ids[0] == ids[1] and ids[0] <= {each.id for each in events(EXPORT)}


def test_who_came_and_went_in_a_room_of_prosodys() -> None:
    room = [each for each in events(PROSODY) if each.data.conversation.kind == "group"]
    told = [(each.type, each.data.subject.address if each.data.subject else None, each.data.reason) for each in room]
    assert [each for each in told if each[0].startswith("participant.")] == [
        ("participant.joined", None, None),
        ("participant.joined", None, None),
        ("participant.joined", None, None),
        ("participant.renamed", "Cyrus", None),
        ("participant.left", "Cyrus", "late"),
        ("participant.left", None, None),
    ]
    people = {(each.data.actor.address, each.data.actor.hidden) for each in room if each.data.actor}
    assert people == {("ann@example.org", True), ("bob@example.org", True), ("Cy", False), ("Cyrus", False)}
    assert {each.source for each in room} == {"xmpp:rooms.example.org"}
    (gone,) = (each for each in room if each.type == "message.retracted")
    assert gone.data.message.id == "r3" and gone.data.reason == "rude"  # type: ignore[union-attr]
    assert gone.data.actor is None, "by the room; a stranger's retraction counts for nothing"


def test_private_messages_in_a_room_are_whispers() -> None:
    whispers = [each for each in events(EXPORT) if each.data.message and each.data.message.to]
    assert [
        (each.data.actor.address, [who.address for who in each.data.message.to], each.data.conversation.id)  # type: ignore[union-attr]
        for each in whispers
    ] == [
        ("Bob", ["ann@example.org"], "kitchen@rooms.example.org"),
        ("ann@example.org", ["Bob"], "kitchen@rooms.example.org"),
    ]


def test_a_resource_makes_nobody_somebody_else(tmp_path: Path) -> None:
    marked = "<body>pay him</body><x xmlns='http://jabber.org/protocol/muc#user'/>"
    ends = "from='eve@a.example/ceo' to='bob@a.example/x'"
    path = stanzas(
        tmp_path / "log.xml", said(1, marked, f"{ends} type='chat'"), said(2, marked, f"{ends} type='groupchat'")
    )
    whisper, loud = events(path, Options(owner="bob@a.example"))
    assert {each.data.actor.address for each in (whisper, loud) if each.data.actor} == {"eve@a.example/ceo"}


@pytest.mark.parametrize("path", XEPS, ids=lambda path: f"{path.parent.name}-{path.stem[:2]}")
def test_the_examples_of_the_xeps_never_crash(path: Path) -> None:
    captured, rejected, reading = read(path, Options(owner="romeo@montague.example"))
    results = len(re.findall(r"<result [^>]*urn:xmpp:mam:2[^>]*id=", path.read_text()))
    assert len(captured) + len(rejected) + sum(reading.ignored.values()) >= results


def test_the_examples_of_mam_are_read_whole() -> None:
    mam = XMPP / "xeps" / "xep-0313"
    two = events(mam / "17-server-returns-two-matching-messages.xml")
    assert [each.data.actor.address for each in two if each.data.actor] == [
        "romeo@montague.lit",
        "juliet@capulet.lit",
    ]
    assert {each.source for each in two} == {"xmpp:capulet.lit"}
    room = events(mam / "27-server-returns-muc-messages.xml")
    assert [each.id for each in room] == [
        "coven@chat.shakespeare.lit/78527-06716-51603",
        "coven@chat.shakespeare.lit/34482-21985-73620",
    ]
    assert [each.data.actor.address for each in room if each.data.actor] == [
        "crone1@shakespeare.lit",
        "wiccarocks@shakespeare.lit",
    ]


def test_a_tombstone_tells_that_something_was_there() -> None:
    (gone,) = events(XMPP / "xeps" / "xep-0424" / "07-retracted-message-tombstone-in-a-mam-result.xml")
    assert gone.type == "message.retracted" and gone.time.isoformat() == "2019-09-20T23:09:32+00:00"


def test_an_include_is_refused_and_said(tmp_path: Path) -> None:
    _, rejected, _ = read(XMPP / "xeps" / "xep-0227" / "13-the-main-file-which-includes-host-files.xml")
    assert len(rejected) == 2 and all("XInclude" in each.reason for each in rejected)


USER = "http://jabber.org/protocol/muc#user"
ROOM = "coven@chat.example"


def invite(direction: str, whom: str, reason: str = "") -> str:
    why = f"<reason>\n {reason}\n</reason>" if reason else ""
    return f"<x xmlns='{USER}'><invite {direction}='{whom}'>{why}</invite></x>"


def test_invitations_by_way_of_a_room_and_straight(tmp_path: Path) -> None:
    """XEP-0045, 7.8.2 (both its ends), and XEP-0249."""
    path = stanzas(
        tmp_path / "log.xml",
        said(1, invite("to", "hag@b.example", "come"), f"from='ann@a.example/x' to='{ROOM}'"),
        said(2, invite("from", "ann@a.example/x"), f"from='{ROOM}' to='bob@b.example/y'"),
        said(3, invite("from", f"{ROOM}/first"), f"from='{ROOM}/first' to='bob@b.example'"),
        said(4, f"<x xmlns='jabber:x:conference' jid='{ROOM}'/><body>to us!</body>"),
        said(5, f"<x xmlns='{USER}'><decline to='ann@a.example'/></x>", f"from='bob@b.example' to='{ROOM}'"),
        said(6, invite("to", "x@b.example") + "<body>an error</body>", f"from='{ROOM}' to='a@b' type='error'"),
        said(7, invite("from", "ann@a.example"), "to='bob@b.example'"),
    )
    captured, rejected, reading = read(path)
    assert [each.event.type for each in captured] == ["participant.invited"] * 4
    told = [(d.actor and d.actor.address, d.subject and d.subject.address, d.reason) for d in _data(captured)]
    assert told == [
        ("ann@a.example", "hag@b.example", "come"),
        ("ann@a.example", "bob@b.example", None),
        ("first", "bob@b.example", None),
        ("ann@a.example", "bob@b.example", "to us!"),
    ]
    assert {d.conversation.id for d in _data(captured)} == {ROOM} and {
        d.conversation.kind for d in _data(captured)
    } == {"group"}
    assert [each.event.source for each in captured] == ["xmpp:chat.example"] * 4
    assert reading.ignored == {"invitations that were declined": 1, "errors": 1}
    assert ["an invitation that doesn't say" in each.reason for each in rejected] == [True]


def test_an_invitation_in_both_sides_archives_is_one(tmp_path: Path) -> None:
    def kept(owner: str, inner: str, ends: str) -> str:
        stamp = "<delay xmlns='urn:xmpp:delay' stamp='2024-01-01T10:00:00Z'/>"
        message = f"<message xmlns='jabber:client' id='i1' {ends}>{inner}</message>"
        return (
            f"<user name='{owner}'><archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='{owner}'>"
            f"<forwarded xmlns='urn:xmpp:forward:0'>{stamp}{message}</forwarded></result></archive></user>"
        )

    path = stanzas(
        tmp_path / "export.xml",
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'>",
        kept("ann", invite("to", "bob@a.example"), f"from='ann@a.example/x' to='{ROOM}'"),
        kept("bob", invite("from", "ann@a.example/x"), f"from='{ROOM}' to='bob@a.example'"),
        "</host></server-data>",
    )
    captured, rejected, reading = read(path)
    assert len(captured) == 1 and not rejected
    assert reading.ignored == {"the other side's copies of a message": 1}


def _data(captured: list[Captured]) -> list[Data]:
    return [each.event.data for each in captured]


def test_files_by_address_and_what_has_no_time(tmp_path: Path) -> None:
    shared = (
        "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name>a.png</name><size>7</size>"
        "<media-type>image/png</media-type></file><sources><url-data xmlns='http://jabber.org/protocol/url-data' "
        "target='https://x.example/1'/></sources></file-sharing>"
    )
    path = stanzas(
        tmp_path / "log.xml",
        said(1, shared),
        "<message xmlns='jabber:client' from='a@a' to='b@b'><body>when?</body></message>",
        said(2, "<body xml:lang='de'>hallo</body><body>hello</body>"),
    )
    captured, rejected, _ = read(path)
    (file,) = captured[0].event.data.attachments or ()
    assert (file.name, file.size, file.media_type, file.url) == ("a.png", 7, "image/png", "https://x.example/1")
    assert captured[1].event.data.message.text == "hello"  # type: ignore[union-attr]
    assert ["no time" in each.reason for each in rejected] == [True]
    assert guess(document_at(path)) is IMPORTERS["xmpp"]


def test_a_row_that_is_no_stanza_is_rejected_alone(tmp_path: Path) -> None:
    path = tmp_path / "prosody.sqlite"
    shutil.copy(PROSODY, path)
    with sqlite3.connect(path) as base:
        base.execute("UPDATE prosodyarchive SET value = '<!DOCTYPE m [<!ENTITY a \"b\">]><m>&a;</m>' WHERE sort_id = 1")
        base.execute("UPDATE prosodyarchive SET value = '<message' WHERE sort_id = 3")
        base.execute("UPDATE prosodyarchive SET \"when\" = 'soon' WHERE sort_id = 5")
        base.execute("UPDATE prosodyarchive SET type = 'json' WHERE sort_id = 7")
    base.close()
    _, rejected, _ = read(path)
    assert [each.reason.split(":")[0] for each in rejected] == [
        "XML with a DTD or entities is refused (EntitiesForbidden)"
        if "Entities" in rejected[0].reason
        else "XML with a DTD or entities is refused (DTDForbidden)",
        "not well-formed XML",
        "no time",
        "kept in a form of its own, which is not XML",
    ]


def test_nothing_of_a_database_is_run_or_changed(tmp_path: Path) -> None:
    for number, sql in enumerate(
        (
            "CREATE VIEW prosodyarchive AS SELECT 1 sort_id, 2 host, 3 user, 4 store, 5 key, 6 'when', 7 'with', "
            "8 type, 9 value",
            "CREATE VIRTUAL TABLE prosodyarchive USING fts5(host, user, store, key, 'when', 'with', type, value)",
            "CREATE TABLE prosodyarchive (host, user, store, key, 'when', 'with', type, value "
            "GENERATED ALWAYS AS (hex(zeroblob(1000))) VIRTUAL)",
        )
    ):
        path = tmp_path / f"{number}.sqlite"
        base = sqlite3.connect(path)
        base.execute(sql)
        if "GENERATED" in sql:
            base.execute("INSERT INTO prosodyarchive (host, user, store, 'when') VALUES ('h', 'u', 'archive', 1)")
        base.commit()
        base.close()
        before = path.read_bytes()
        captured, rejected, _ = read(path)
        assert not captured and len(rejected) == 1
        assert path.read_bytes() == before and sorted(each.name for each in tmp_path.iterdir())[-1] == path.name


def test_what_is_still_in_the_log_beside_a_database_is_read(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    shutil.copy(PROSODY, path)
    base = sqlite3.connect(path)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute(
        'INSERT INTO prosodyarchive (host, user, store, key, "when", "with", type, value) VALUES '
        "('example.org', 'ann', 'archive', 'k', 1700009999, '', 'xml', "
        '\'<message from="ann@example.org" to="cy@example.org"><body>new</body></message>\')'
    )
    base.commit()
    texts = [each.data.message.text for each in events(path) if each.data.message]
    base.close()
    assert texts[-1] == "new"


@pytest.mark.slow
def test_a_long_archive_takes_constant_memory(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = stanzas(tmp_path / f"{count}.xml", *(said(1, f"<iq/>{'<a/>' * 50}") for _ in range(count)))
        tracemalloc.start()
        read(path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(800) < 2 * peak(200)


PIECES = [
    *("<body>a</body>", "<subject>s</subject>", "<body/>", "<reply xmlns='urn:xmpp:reply:0' id='m1'/>"),
    "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='9' end='1'/><body start='x'/>"
    "</fallback>",
    "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/>",
    "<apply-to xmlns='urn:xmpp:fasten:0' id='m1'><moderated xmlns='urn:xmpp:message-moderate:0'/></apply-to>",
    "<reactions xmlns='urn:xmpp:reactions:0' id='m1'><reaction>a</reaction><reaction/></reactions>",
    "<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><item nick='n' jid='j@j'/><status code='303'/></x>",
    "<retracted xmlns='urn:xmpp:message-retract:1' stamp='soon'/>",
    *("<delay xmlns='urn:xmpp:delay' stamp='x'/>", "<x xmlns='jabber:x:oob'><url>u</url></x>", "text", "&#0;"),
]
ENDS = st.sampled_from(["", "from='r@c/n'", "from='r@c'", "to='r@c/n'", "from='a@a' to='b@b'", "type='error'"])
TYPES = st.sampled_from(["", "type='groupchat'", "type='unavailable'", "type='chat'"])


@given(
    st.lists(
        st.tuples(st.sampled_from(["message", "presence"]), ENDS, TYPES, st.lists(st.sampled_from(PIECES), max_size=4)),
        max_size=5,
    )
)
def test_any_stanza_is_events_or_rejected_or_counted(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str, str, list[str]]]
) -> None:
    rows = [
        f"<{name} xmlns='jabber:client' {ends if 'type' not in ends or not type_ else ''} {type_}>"
        f"{''.join(inner)}<delay xmlns='urn:xmpp:delay' stamp='2024-01-01T00:00:00Z'/></{name}>"
        for name, ends, type_, inner in made
    ]
    captured, rejected, reading = read(stanzas(tmp_path_factory.getbasetemp() / "any.xml", *rows))
    count = len(captured) + len(rejected) + sum(reading.ignored.values())
    assert count >= len(made) or rejected


@given(st.binary(max_size=300))
def test_any_bytes_behind_a_databases_head_are_refused(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.sqlite"
    path.write_bytes(b"SQLite format 3\0" + tail)
    captured, rejected, _ = read(path)
    assert not captured and len(rejected) == 1


@given(st.lists(st.tuples(st.integers(0, 16_000), st.integers(0, 255)), min_size=1, max_size=30))
def test_a_damaged_database_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(PROSODY.read_bytes())
    for at, byte in damage:
        content[at % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.sqlite"
    path.write_bytes(content)
    read(path)
