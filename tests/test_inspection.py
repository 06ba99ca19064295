"""Reading folders back: counts, order, finding one item; what others put there, however broken, stops nothing."""

from __future__ import annotations

import gzip
from email.message import EmailMessage
from pathlib import Path

import pytest

from archiver import inspection
from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.inspection import overview
from archiver.inspection.messages import date_of, header, headers_of, parsed, people_of, text_of
from archiver.spool.records import MailboxCount
from archiver.store import MaildirStore, MemoryStore, Put, Store
from archiver.types import Item

ALICE = "alice@example.org"
HISTORY = "Conversation History"
DAY = 86_400 * SECOND


def message(subject: str, text: str = "hello", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Alice <alice@example.org>", "bob@example.org, c@example.org", subject
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


def put(store: Store, number: int, content: bytes, *, mailbox: str = ALICE, folder: str = HISTORY, flags: str = "S"):
    name = f"{number}.K{number:032x}"
    item = Item("", name, f"<{number}@x>", "", number * SECOND, number * SECOND, True, content)
    assert store.put([Put(mailbox, folder, item, flags)]) == [None]


@pytest.fixture(params=["memory", "maildir"])
def store(request, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    return MaildirStore("{data}/mail/{domain}/{local}", data=tmp_path)


def test_folders_tell_counts_sizes_and_times(store):
    put(store, 100, message("a"))
    put(store, 300, message("b"), flags="")
    put(store, 200, message("c"), mailbox="bob@example.org")
    alice, bob = inspection.folders(store)
    assert (alice.mailbox, alice.folder, alice.items, alice.unseen) == (ALICE, HISTORY, 2, 1)
    assert (alice.first, alice.last) == (100 * SECOND, 300 * SECOND)
    assert alice.bytes == len(message("a")) + len(message("b"))
    assert list(inspection.folders(store, ["bob@example.org"])) == [bob]


def test_what_is_kept_back_is_summed_up_by_place():
    counts = [
        MailboxCount(ALICE, "archive", "withheld", 1, 10),
        MailboxCount(ALICE, "history", "parked", 2, 20),
        MailboxCount(ALICE, "history", "filed", 3, 30),
        MailboxCount(ALICE, "local", "filed", 4, 40),
        MailboxCount("aaron@example.org", "history", "withheld", 5, 50),
    ]
    shares = overview.in_order(overview.counted(counts))
    assert [(share.mailbox, share.folder, str(share.state), share.items, share.bytes) for share in shares] == [
        ("aaron@example.org", "Conversation History", "withheld", 5, 50),
        (ALICE, "local archive", "archived", 4, 40),
        (ALICE, "Recoverable Items/Purges", "withheld", 1, 10),
        (ALICE, "Conversation History", "parked", 2, 20),
    ]


def listed(store: Store, **wanted: object) -> list[inspection.ItemSummary]:
    return list(inspection.items(store, ALICE, inspection.Wanted(**wanted)))


def test_items_come_newest_first_whatever_their_folder(store):
    put(store, 300, message("third"))
    put(store, 100, message("first"))
    put(store, 200, message("second"), folder="Elsewhere")
    assert [(i.number, i.subject, i.folder) for i in listed(store)] == [
        (3, "third", HISTORY),
        (2, "second", "Elsewhere"),
        (1, "first", HISTORY),
    ]


def test_an_item_tells_what_its_headers_say(store):
    headers = {
        "Date": "Fri, 12 Oct 2012 10:00:00 +0200",
        "Message_ID": "<it@example.org>",
        "X_Archiver_Kind": "group",
        "X_Archiver_Item_Class": "IPM.Note.Microsoft.Missed",
    }
    put(store, 100, message("交談", **headers), flags="F")
    (item,) = listed(store)
    assert (item.subject, item.kind, item.missed, item.unseen) == ("交談", "group", True, True)
    assert (item.people, item.message_id, item.flags) == (3, "<it@example.org>", "F")
    assert item.date == 1_350_028_800 * SECOND


@pytest.mark.parametrize("wanted", ["2", "200.K", "200", f"{200:032x}", "<it@", "it@example.org"])
def test_one_item_by_number_name_key_or_message_id(store, wanted):
    put(store, 100, message("other", Message_ID="<other@example.org>"))
    put(store, 200, message("wanted", Message_ID="<it@example.org>"))
    assert inspection.find(store, ALICE, wanted).subject == "wanted"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("77", "no item"), ("9", "no item"), ("1" * 5_000, "no item"), ("", "no item"), ("same", "2 items")],
)
def test_what_is_not_one_item_is_a_mistake(store, wanted, why):
    for number in (100, 200):
        put(store, number, message("x", Message_ID=f"<same{number}@example.org>"))
    with pytest.raises(UsageError, match=why):
        inspection.find(store, ALICE, wanted)


@pytest.mark.parametrize("mailbox", ["nobody@example.org", "no address", "@", "../x@y", ""])
def test_what_is_no_mailbox_is_a_mistake(store, mailbox):
    put(store, 100, message("x"))
    with pytest.raises(UsageError):
        inspection.items(store, mailbox)


def test_what_its_owner_takes_away_meanwhile_is_left_out(store):
    put(store, 100, message("stays"))
    put(store, 200, message("goes"))
    found = inspection.items(store, ALICE)
    assert store.remove(ALICE, HISTORY, f"200.K{200:032x}")
    assert [(i.number, i.subject) for i in found] == [(1, "stays")]


def with_file(subject: str) -> bytes:
    made = EmailMessage()
    made["Subject"] = subject
    made.set_content("see the Straße plan")
    made.add_attachment(b"x", maintype="image", subtype="png", filename="plan.png")
    return made.as_bytes()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["file", "missed", "early"]),
        ({"missed": True}, ["missed"]),
        ({"has_file": True}, ["file"]),
        ({"guessed": True}, ["early"]),
        ({"text": "STRASSE"}, ["file"]),
        ({"text": "hello"}, ["missed", "early"]),
        ({"text": "file"}, ["file"]),
        ({"kind": "im"}, ["missed"]),
        ({"kind": "mail"}, ["file", "early"]),
        ({"person": "BOB@"}, ["missed", "early"]),
        ({"person": "bob@", "kind": "im"}, ["missed"]),
        ({"person": "nobody"}, []),
        ({"room": "raum/ü"}, ["missed"]),
        ({"source": "irc:"}, ["missed"]),
        ({"since": DAY}, ["file", "missed"]),
        ({"until": DAY}, ["early"]),
        ({"since": 2 * DAY, "until": 3 * DAY}, ["missed"]),
    ],
)
def test_filters_must_all_hold(store, wanted, found):
    put(store, 100, message("early", Date="Thu, 01 Jan 1970 00:01:40 +0000", X_Archiver_Guessed="zone=UTC"))
    headers = {
        "Date": "Fri, 02 Jan 1970 23:59:00 +0000",
        "X_Archiver_Last": "1970-01-03T00:01:30+00:00",
        "X_Archiver_Kind": "im",
        "X_Archiver_Source": "irc:one",
        "X_Archiver_Conversation": "Raum/%C3%BC",
        "X_Archiver_Item_Class": "IPM.Note.Microsoft.Missed",
    }
    put(store, 172_740, message("missed", **headers))
    put(store, 864_000, with_file("file"))
    assert [item.subject for item in listed(store, **wanted)] == found


def test_an_item_tells_how_long_it_went_on(store):
    headers = {"Date": "Thu, 01 Jan 1970 00:00:00 +0000", "X_Archiver_Last": "1970-01-01T00:02:01+00:00"}
    put(store, 100, message("x", **headers))
    (item,) = listed(store)
    assert (item.minutes, item.messages, item.files) == (3, None, 0)


def test_a_mailbox_by_a_beginning_that_no_other_has(store):
    for mailbox in (ALICE, "albert@example.org", "bob@example.org"):
        put(store, 100, message("x"), mailbox=mailbox)
    assert inspection.mailbox_of(store, "B") == "bob@example.org"
    assert inspection.mailbox_of(store, ALICE) == ALICE
    assert inspection.mailbox_of(store, "nobody") == "nobody"
    with pytest.raises(UsageError, match="2 mailboxes begin with al: albert@"):
        inspection.mailbox_of(store, "al")


def test_one_item_by_its_conversation_unless_there_are_several(store):
    for number, room in ((100, "a%2Froom"), (200, "a%2Froom2"), (300, "ab"), (400, "ab")):
        put(store, number, message(room, X_Archiver_Conversation=room))
    assert inspection.find(store, ALICE, "a/room").number == 1
    assert inspection.find(store, ALICE, "a/room2").number == 2
    with pytest.raises(UsageError, match="2 items are called ab, or begin so: 4, 3"):
        inspection.find(store, ALICE, "ab")


def test_an_item_is_shown_by_its_plain_text_and_a_few_headers(store):
    made = EmailMessage()
    made["Subject"], made["X-Secret"] = "x", "not shown"
    made.set_content("plain ✓")
    made.add_alternative("<b>rich</b>", subtype="html")
    put(store, 100, made.as_bytes())
    (item,) = listed(store)
    shown = inspection.show(store, item)
    assert shown.text == "plain ✓\n" and shown.headers == {"Subject": "x"}
    assert inspection.content(store, item) == made.as_bytes()


HOSTILE = [
    b"",
    b"\n",
    b"\xff\xfe\x00",
    b"Date: yesterday\nFrom: <<>>\nSubject: =?nonsense?q?=ff?=\n\nx",
    b"Content-Type: text/plain; charset=klingon\n\n\xff",
    b"Content-Type: multipart/mixed\n\nno boundary",
    b"Content-Type: multipart/alternative; boundary=x\n\n--x\n\n",
    b"To: " + b"(" * 5_000 + b"\n\nx",
    b'From: "a@b\nTo: ,,,;;@@\nDate: Fri, 99 Foo 20000 99:99:99 +9999\n\nx',
    b"Subject: " + b"x" * 3_000_000,
    b"Message-ID: <[\n\nx",
    b"Content-Transfer-Encoding: base64\n\n====",
    b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3_000)),
]


@pytest.mark.slow
@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_no_message_stops_a_listing(store, content):
    put(store, 100, content)
    put(store, 200, message("sound"))
    second, first = listed(store)
    assert second.subject == "sound"
    shown = inspection.show(store, first)
    assert isinstance(shown.text, str)


def test_a_listing_parses_no_body():
    content = message("x") + b"y" * 5_000_000
    assert headers_of(content).get_payload() == ""
    assert header(headers_of(content.replace(b"\n", b"\r\n")), "Subject") == "x"


def test_headers_that_are_not_there_are_empty():
    bare = parsed(b"\n\nx")
    assert header(bare, "Subject") == "" and people_of(bare) == frozenset() and date_of(bare) is None
    assert date_of(parsed(b"Date: Fri, 12 Oct 2012 10:00:00 -0000\n\nx")) in (None, 1_350_036_000 * SECOND)


def test_html_stands_in_where_there_is_no_plain_text():
    assert text_of(parsed(b"Content-Type: text/html\n\n<p>x</p>\n")) == "<p>x</p>\n"


def test_events_that_unpack_to_more_than_anybody_wrote_are_not_counted(store):
    packed = gzip.compress(b'{"type":"message.sent"}\n' * 3_000_000)
    made = EmailMessage()
    made.add_attachment(packed, maintype="application", subtype="gzip", filename="conversation.ndjson.gz")
    put(store, 100, made.as_bytes())
    assert [item.messages for item in listed(store)] == [None]
