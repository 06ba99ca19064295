"""Reading folders back: counts, order, finding one item; what others put there, however broken, stops nothing."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from archiver import inspection
from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.inspection.messages import date_of, header, headers_of, parsed, people_of, text_of
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


def test_items_come_by_date_whatever_their_folder(store):
    put(store, 300, message("third"))
    put(store, 100, message("first"))
    put(store, 200, message("second"), folder="Elsewhere")
    listed = inspection.items(store, ALICE)
    assert [(i.number, i.subject, i.folder) for i in listed] == [
        (1, "first", HISTORY),
        (2, "second", "Elsewhere"),
        (3, "third", HISTORY),
    ]


def test_an_item_tells_what_its_headers_say(store):
    headers = {
        "Date": "Fri, 12 Oct 2012 10:00:00 +0200",
        "Message_ID": "<it@example.org>",
        "X_Archiver_Kind": "group",
        "X_Archiver_Item_Class": "IPM.Note.Microsoft.Missed",
    }
    put(store, 100, message("交談", **headers), flags="F")
    (item,) = inspection.items(store, ALICE)
    assert (item.subject, item.kind, item.missed, item.unseen) == ("交談", "group", True, True)
    assert (item.people, item.message_id, item.flags) == (3, "<it@example.org>", "F")
    assert item.date == 1_350_028_800 * SECOND


@pytest.mark.parametrize("wanted", ["2", "200.K", "200", f"{200:032x}", "<it@", "it@example.org"])
def test_one_item_by_number_name_key_or_message_id(store, wanted):
    put(store, 100, message("other", Message_ID="<other@example.org>"))
    put(store, 200, message("wanted", Message_ID="<it@example.org>"))
    assert inspection.find(store, ALICE, wanted).subject == "wanted"


@pytest.mark.parametrize(("wanted", "why"), [("77", "no item"), ("9", "no item"), ("", "no item"), ("same", "2 items")])
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


def test_what_its_owner_takes_away_meanwhile_is_left_out(store, monkeypatch):
    put(store, 100, message("stays"))
    put(store, 200, message("goes"))
    read = store.read

    def vanishing(mailbox: str, folder: str, name: str) -> bytes:
        if name.startswith("200"):
            raise UsageError("no item")
        return read(mailbox, folder, name)

    monkeypatch.setattr(store, "read", vanishing)
    assert [(i.number, i.subject) for i in inspection.items(store, ALICE)] == [(1, "stays")]


def test_an_item_is_shown_by_its_plain_text_and_a_few_headers(store):
    made = EmailMessage()
    made["Subject"], made["X-Secret"] = "x", "not shown"
    made.set_content("plain ✓")
    made.add_alternative("<b>rich</b>", subtype="html")
    put(store, 100, made.as_bytes())
    (item,) = inspection.items(store, ALICE)
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
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_no_message_stops_a_listing(store, content):
    put(store, 100, content)
    put(store, 200, message("sound"))
    first, second = inspection.items(store, ALICE)
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
