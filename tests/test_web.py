"""The page without a browser: what its addresses answer, to whom, and with which headers; whatever lies in folders."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from email.message import EmailMessage
from email.utils import format_datetime
from html import unescape
from pathlib import Path

import pytest
from golden import GOLDEN, golden_item
from hostile import EVIL
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from archiver import inspection
from archiver.cli.output import size
from archiver.config.values import password as read_password
from archiver.events import SECOND, moment
from archiver.inspection.lines import line_of
from archiver.rendering import lines_of
from archiver.search import Marked, Searcher
from archiver.spool.records import Figures, RoomFigure, Totals, WaitingFigure
from archiver.store import MaildirStore, Put
from archiver.types import Item
from archiver.web import frame, password
from archiver.web.access import LASTS, Access, Account
from archiver.web.application import make_application
from archiver.web.asked import Asked, asked_of, mailbox_url, paging
from archiver.web.catalogue import id_of
from archiver.web.charts import LEVELS, bars, calendar, level, year_of
from archiver.web.overview import Overview, overview_of
from archiver.web.parts import Parts, picture_type
from archiver.web.view import _marked

ALICE = "alice@example.org"
HISTORY = "Conversation History"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
TOTALS = Totals(0, 0, 3, 0, 12, 1, 0, 0, 2, 0, 0)
ACCOUNT = Account("auditor", password.made("open sesame"))


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


class House:
    """A store, and its page as somebody's browser reaches it."""

    def __init__(
        self, data: Path, *, asks: bool = False, account: Account | None = None, searches: bool = True
    ) -> None:
        self.store = MaildirStore("{data}/mail/{domain}/{local}", data=data)
        self.clock = Clock()
        self.access = Access(self.clock, account=account, asks_nothing=not asks)
        self.told: list[str] = []
        self.overview = Overview()
        self.app = make_application(
            self.store,
            lambda: self.overview,
            Searcher(data, self.store).search if searches else None,
            self.access,
            hosts=["page.example"],
            port=8026,
            secure=False,
            clock=self.clock,
            size=size,
            told=self.told.append,
        )

    def browser(self, **headers: str) -> TestClient:
        return TestClient(self.app, base_url="http://page.example", headers=headers, follow_redirects=False)

    def put(self, content: bytes, *, at: int = 100, folder: str = HISTORY, name: str = "") -> str:
        name = name or f"{at}.K{at:032x}.conversation-archiver"
        self.put_all([(content, at, name)], folder)
        return f"/mailbox/{ALICE}/{id_of(name)}"

    def put_all(self, contents: Iterable[tuple[bytes, int, str]], folder: str = HISTORY) -> None:
        items = [
            Item("", name or f"{at}.K{at:032x}", f"<{at}@x>", "", at * SECOND, at * SECOND, True, content)
            for content, at, name in contents
        ]
        assert set(self.store.put([Put(ALICE, folder, item) for item in items])) == {None}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def mail(subject: str = "lunch", text: str = "hello", html: str = "", files: dict[str, bytes] | None = None) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Alice <alice@example.org>", "Bob <bob@example.org>", subject
    made["Date"] = "Fri, 12 Oct 2012 10:00:00 +0000"
    made.set_content(text)
    if html:
        made.add_alternative(html, subtype="html")
    for name, content in (files or {}).items():
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


def ours(name: str = "file_and_inline_image", owner: str = ALICE, locale: str = "en", zone: str = "UTC") -> Item:
    return golden_item(name, owner, locale, zone)


# What it shows


def test_mailboxes_stand_with_their_folders(house):
    house.put(mail(), at=1_350_000_000)
    house.put(mail(), at=1_350_100_000, folder="Kept")
    shown = house.browser().get("/").text
    assert f'href="/mailbox/{ALICE}"' in shown
    assert ">Conversation History</bdi>" in shown and ">Kept</bdi>" in shown and "2012-10-13" in shown
    assert "No mailbox has" in house.browser().get("/?q=zoe").text


def test_nothing_filed_is_said(house):
    assert "Nothing is filed here yet" in house.browser().get("/").text
    assert "no spool beside" in house.browser().get("/overview").text


def test_a_mailbox_is_paged_newest_first(house):
    house.put_all((mail(f"talk {n:03}"), 1_350_000_000 + n * 60, "") for n in range(1, 121))
    first, last = (house.browser().get(f"/mailbox/{ALICE}?page={page}").text for page in (1, 99))
    assert re.findall(r"talk (\d+)", first) == [f"{n:03}" for n in range(120, 70, -1)]
    assert re.findall(r"talk (\d+)", last) == [f"{n:03}" for n in range(20, 0, -1)]
    assert "1–50 of 120 conversations" in first and "101–120 of 120 conversations" in last


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"edit", "poll", "lunch"}),
        ("q=LUNCH", {"lunch"}),
        ("q=carol@example.org", {"poll"}),
        ("person=bob@example.org", {"edit", "poll", "lunch"}),
        ("kind=mail", {"lunch"}),
        ("kind=nonsense", {"edit", "poll", "lunch"}),
        ("folder=Kept", {"lunch"}),
        ("month=2012-10", {"edit", "poll"}),
        ("month=2014-03", {"lunch"}),
        ("room=nowhere", set()),
        ("page=-1&month=99", {"edit", "poll", "lunch"}),
    ],
)
def test_what_is_asked_for_is_found(house, query, found):
    for name, content, at, folder in (
        ("edit", mail("edit"), 1_350_000_000, HISTORY),
        (
            "poll",
            mail("poll").replace(b"bob@example.org", b"bob@example.org, carol@example.org"),
            1_350_000_100,
            HISTORY,
        ),
        ("lunch", mail("lunch"), 1_394_000_000, "Kept"),
    ):
        kind = b"X-Archiver-Kind: group\nX-Archiver-Conversation: room-7\n" if name != "lunch" else b""
        house.put(kind + content, at=at, folder=folder)
    shown = re.sub("</?mark>", "", house.browser().get(f"/mailbox/{ALICE}?{query}").text)
    assert set(re.findall(r'class="subject"[^>]*><bdi>(\w+)</bdi>', shown)) == found


def test_without_an_index_headers_tell(tmp_path):
    house = House(tmp_path, searches=False)
    house.put(mail("lunch", "in the text"))
    assert ">lunch</bdi>" in house.browser().get(f"/mailbox/{ALICE}?q=LUNCH").text
    assert ">lunch</bdi>" not in house.browser().get(f"/mailbox/{ALICE}?q=text").text
    (tmp_path / "index").write_bytes(b"in the way of one")
    assert ">lunch</bdi>" in House(tmp_path).browser().get(f"/mailbox/{ALICE}?q=LUNCH").text


def test_words_are_found_in_what_was_said(house):
    house.put(mail("lunch", "we eat <b>noodles</b>, \u202e牛肉麵"), at=1_350_000_000)
    house.put(mail("other", "bread"), at=1_350_000_100)
    for path in (
        f"/mailbox/{ALICE}?q=noodles",
        "/search?q=noodles",
        f"/mailbox/{ALICE}?q=牛肉&person=bob",
        "/search?q=牛肉",
    ):
        shown = house.browser().get(path).text
        assert len(re.findall('class="item', shown)) == 2, "the list and one item"
        assert "&lt;b&gt;" in shown and "<b>noodles" not in shown and "\u202e" not in shown
    assert "<mark>noodles</mark>" in house.browser().get("/search?q=noodles").text
    assert 'class="subject"' not in house.browser().get(f"/mailbox/{ALICE}?q=noodles&person=carol").text
    assert 'class="subject"' not in house.browser().get(f"/mailbox/{ALICE}?q=noodles&folder=Kept").text


def test_what_is_found_comes_in_pages_and_orders(house):
    dates = [format_datetime(moment((1_350_000_000 + n * 60) * SECOND)).encode() for n in range(230)]
    talks = [mail(f"talk {n:03}", "noodles").replace(b"Fri, 12 Oct 2012 10:00:00 +0000", dates[n]) for n in range(230)]
    house.put_all((talk, 1_350_000_000 + n * 60, "") for n, talk in enumerate(talks))
    subjects = [
        re.findall(r"talk (?:<mark>)?(\d+)", house.browser().get(f"/mailbox/{ALICE}?q=noodles&page={page}").text)
        for page in (1, 5, 6)
    ]
    assert subjects == [[f"{n:03}" for n in range(229, 179, -1)], [f"{n:03}" for n in range(29, -1, -1)], []]
    best = house.browser().get("/search?q=talk&sort=best").text
    assert "Newest first</a>" in best and best.count('class="subject"') == 50 and "page=2" in best


@pytest.mark.parametrize("query", ['"open', "before:never", "kind:nothing", "(a", "x " * 101])
def test_a_query_that_can_not_be_read_is_told(house, query):
    house.put(mail())
    for path in (f"/mailbox/{ALICE}", "/search"):
        answer = house.browser().get(path, params={"q": query})
        assert answer.status_code == 200 and 'role="alert"' in answer.text


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4))
def test_marks_are_the_only_markup(text, spans):
    marks, at = [], 0
    for start, end in sorted(map(sorted, spans)):
        if at <= start <= end <= len(text):
            marks.append((start, end))
            at = end
    made = str(_marked(Marked(text, tuple(marks))))
    assert re.sub("</?mark>", "", made).count("<") == 0
    assert made.count("<mark>") == made.count("</mark>") == sum(start < end for start, end in marks)


def test_a_room_without_a_word_is_told_by_its_header(house):
    house.put(b"X-Archiver-Kind: group\nX-Archiver-Conversation: %23\n" + mail("one", "noodles"), at=100)
    house.put(b"X-Archiver-Kind: group\nX-Archiver-Conversation: x\n" + mail("two", "noodles"), at=200)
    shown = house.browser().get(f"/mailbox/{ALICE}?room=%23&q=noodles&month=").text
    assert ">one</bdi>" in shown and ">two</bdi>" not in shown and 'role="alert"' not in shown
    assert 'role="alert"' not in house.browser().get(f"/mailbox/{ALICE}?month=9999-12&q=noodles").text


def test_rooms_are_asked_for_whole(house):
    house.put(b"X-Archiver-Kind: group\nX-Archiver-Conversation: a%20b\n" + mail("one"), at=100)
    house.put(b"X-Archiver-Kind: group\nX-Archiver-Conversation: a%20b2\n" + mail("two"), at=200)
    shown = house.browser().get(f"/mailbox/{ALICE}?room=a+b").text
    assert ">one</bdi>" in shown and ">two</bdi>" not in shown


def test_an_item_keeps_its_address_when_its_owner_moves_it(house):
    item = ours()
    url = house.put(item.content, name=item.name)
    assert item.key in url
    name = house.store.names(ALICE, HISTORY)[0]
    folder = house.store.root / "example.org/alice"
    (folder / ".Kept/cur").mkdir(parents=True)
    found = next((folder / f".{HISTORY}").rglob(f"{name}*"))
    found.rename(folder / ".Kept/cur" / found.name)
    assert house.browser().get(url).status_code == 200


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: "-".join(golden[:2]))
def test_the_text_is_the_terminals(house, golden):
    item = ours(*golden)
    url = house.put(item.content, name=item.name)
    shown = house.browser().get(f"{url}?view=text").text
    (pre,) = re.findall(r"<pre[^>]*>\n(.*?)</pre>", shown, re.DOTALL)
    found = inspection.find(house.store, ALICE, "1")
    assert unescape(re.sub(r"<[^>]+>", "", pre)) == inspection.show(house.store, found).text


def test_a_long_transcript_comes_in_pages(house):
    url = house.put(mail(text="".join(f"line {n}\n" for n in range(4_500))))
    pages = [house.browser().get(f"{url}?view=text&page={n}").text for n in (1, 2, 3)]
    assert [len(re.findall(r"^line \d+$", page, re.MULTILINE)) for page in pages] == [2_000, 2_000, 500]
    assert "4,500 lines" in pages[0]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=60))
def test_lines_are_told_apart_without_changing_them(text):
    line = line_of(text)
    again = (
        f"{line.time} {line.who}: {line.text}" if line.who else f"{line.time} * {line.text}" if line.time else line.text
    )
    assert again == text


def test_an_item_is_taken_away_as_it_is(house):
    item = ours()
    url = house.put(item.content, name=item.name)
    eml, events = house.browser().get(f"{url}/message.eml"), house.browser().get(f"{url}/events.ndjson")
    assert eml.content == item.content and eml.headers["content-type"] == "message/rfc822"
    assert events.content.splitlines() == lines_of(item.content)
    assert json.loads(events.content.splitlines()[-1])["specversion"] == "1.0"
    for answer in (eml, events):
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert "sandbox" in answer.headers["content-security-policy"]


def test_a_mail_of_others_carries_no_events(house):
    assert house.browser().get(house.put(mail()) + "/events.ndjson").status_code == 404


def test_pictures_come_from_the_item(house):
    item = ours()
    url = house.put(item.content, name=item.name)
    (picture,) = [file for file in Parts(item.content).files if file.picture]
    shown = house.browser().get(f"{url}/frame").text
    assert "data:image/png;base64," in shown and "cid:" not in shown
    answer = house.browser().get(f"{url}/picture/{picture.number}")
    assert answer.content == picture.content and answer.headers["content-type"] == "image/png"


# What is hostile


def test_html_from_outside_is_harmless_in_its_frame(house):
    answer = house.browser().get(house.put(mail(html=EVIL)) + "/frame")
    _, _, body = answer.text.partition("<body>")
    assert "evil.example" not in answer.text and "\u202e" not in answer.text
    assert not re.search(
        r"<(script|style|iframe|object|embed|form|input|svg|math|video|audio|link|meta|base)\b", body, re.I
    )
    assert not re.search(r"\bon\w+\s*=|style\s*=|javascript:|srcset", body, re.I)
    assert 'href="https://good.example/page" rel="noopener noreferrer nofollow"' in body and "<b>bold</b>" in body
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy and "allow-same-origin" not in policy


@given(st.text(max_size=300))
def test_no_html_gets_anything_from_elsewhere(text):
    shown = frame.document(Parts(mail(html=text or " ")), text, "en")
    assert not re.search(r"<(script|iframe|object|embed|link|form)\b", shown, re.I)
    assert not re.search(r"""\bsrc=["'](?!data:image/)""", shown, re.I)


@pytest.mark.parametrize(
    "html",
    ["<div>" * 100_000, "<div></b>" * 50_000, "<svg><g>" + "<g>" * 9_000, "<DIV/>" * 9_000, "<b>" * 300, "<x>" * 10**5],
)
def test_html_that_takes_for_ever_is_shown_as_text(html):
    assert frame.is_deep(html)
    shown = frame.document(Parts(mail(text="the text", html=html)), "deep", "en")
    assert "<pre" in shown and "the text" in shown


@pytest.mark.parametrize("html", ["<p>" * 10_000, "<ul>" + "<li>x" * 999, "<b>x</b>" * 9_999, "<table><tr><td>" * 80])
def test_html_that_people_write_is_not_deep(html):
    assert not frame.is_deep(html)


def test_what_no_parser_was_meant_for_stops_no_page(house):
    odd = (b"From: " + b"(" * 20_000, b"To: =?utf-8?b?x?= <a@b>", b"Subject: =?utf-8?b?a?=", b"From: \xff<\xfe>")
    for n, line in enumerate(odd):
        house.put(line + b"\n\nhello\n", at=100 + n)
    assert house.browser().get(f"/mailbox/{ALICE}").text.count('class="subject"') == 4
    root, name = house.store.root / "example.org/alice", os.fsdecode(b"100.\xff")
    (root / os.fsdecode(b".\xff\xfe") / "cur").mkdir(parents=True)
    (root / "cur").mkdir(exist_ok=True)
    (root / "cur" / f"{name}:2,S").write_bytes(b"Subject: odd\n\nx\n")
    for path in ("", f"/mailbox/{ALICE}", f"/mailbox/{ALICE}?folder=INBOX", f"/mailbox/{ALICE}/{id_of(name)}"):
        assert house.browser().get(path or "/").status_code == 200


def test_a_giant_text_is_cut_and_paged(house, monkeypatch):
    monkeypatch.setattr("archiver.web.pages.LARGEST_TEXT", 100)
    shown = house.browser().get(house.put(mail(text="word\n" * 90)) + "?view=text").text
    assert shown.count("word") == 20 and "The rest is left out" in shown


def naughty() -> list[str]:
    listed = Path(__file__).parent.parent / "fixtures/naughty/blns.json"
    return [text for text in json.loads(listed.read_text()) if text]


def subject_of(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())[:200] or "x"


@pytest.mark.slow
def test_naughty_strings_are_only_text(house):
    house.put_all((mail(subject=subject_of(text), text=text), 1_000 + n, "") for n, text in enumerate(naughty()))
    last = -(-len(naughty()) // 50)
    for page in range(1, last + 1):
        shown = house.browser().get(f"/mailbox/{ALICE}?page={page}").text
        assert not re.search(
            r"<(script|iframe|img|object|embed)\b|\son\w+=", re.sub(r"<bdi>.*?</bdi>", "", shown), re.I
        )
        for inside in re.findall(r"<bdi>(.*?)</bdi>", shown, re.DOTALL):
            assert "<" not in inside
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", shown)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        'a"; filename=evil.html; x="',
        "invoice\u202efdp.exe",
        "crlf\r\nSet-Cookie: a=b",
        "交談歷程記錄.png",
        ".htaccess",
        "nul\x00.txt",
        "x" * 500,
    ],
)
def test_a_files_name_does_nothing_but_name_it(house, name):
    raw = (
        b'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n--b\nContent-Type: text/plain\n\nhi\n--b\n'
        b"Content-Type: text/html\nContent-Disposition: attachment; filename*=utf-8''"
        + "".join(f"%{octet:02X}" for octet in name.encode()).encode()
        + b"\n\n<script>alert(1)</script>\n--b--\n"
    )
    url = house.put(raw)
    answer = house.browser().get(f"{url}/file/1")
    disposition = answer.headers["content-disposition"]
    assert re.fullmatch(
        r"attachment; filename=\"[ !#-$&-.0-\[\]-~]+\"; filename\*=UTF-8''[A-Za-z0-9_.~%-]+", disposition
    )
    assert "set-cookie" not in answer.headers and "%2F" not in disposition and "%E2%80%AE" not in disposition
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "\u202e" not in house.browser().get(url).text


@pytest.mark.parametrize(
    ("content", "type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_a_picture_is_what_begins_like_one(house, content, type):
    assert picture_type(content) == type
    answer = house.browser().get(house.put(mail(files={"a.png": content})) + "/picture/1")
    assert (answer.status_code, answer.headers["content-type"]) == (
        (200, type) if type else (404, "text/html; charset=utf-8")
    )


@pytest.mark.parametrize(
    "path",
    [
        "/mailbox/../../etc/passwd",
        "/mailbox/..%2f..%2fetc/passwd",
        "/mailbox/%2e%2e@%2e%2e",
        "/mailbox/nobody@example.org",
        "/mailbox/alice@example.org/../../x",
        "/mailbox/alice@example.org/..%2f..%2fspool.db",
        f"/mailbox/{ALICE}/{'0' * 32}",
        f"/mailbox/{ALICE}/{'g' * 32}",
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/style.css/",
        f"/static/{'x' * 300}.css",
        f"/mailbox/{ALICE}/{'0' * 32}/file/{'1' * 4_400}",
        f"/mailbox/{ALICE}/{'0' * 32}/picture/{'1' * 4_400}",
        "/static/",
        "/nowhere",
    ],
)
def test_nothing_leads_out_of_the_folders(house, path):
    house.put(mail())
    answer = house.browser().get(path)
    assert (answer.status_code == 404 and "There is no such" in answer.text) or "Not Found" in answer.text


@pytest.mark.parametrize(
    "broken", [b"", b"\x00", b"Subject: =?x?b?!?=\n", b"Content-Type: multipart/mixed\n\n--", b"\xff" * 99]
)
def test_what_is_broken_is_shown_all_the_same(house, broken):
    url = house.put(broken)
    for below in ("", "?view=text", "/frame", "/message.eml"):
        assert house.browser().get(url + below).status_code == 200
    assert house.browser().get(f"/mailbox/{ALICE}").status_code == 200


# Who may read, and what every answer says


def test_every_answer_is_shut(house):
    url = house.put(mail())
    for path in (
        "/",
        "/overview",
        f"/mailbox/{ALICE}",
        url,
        f"{url}/frame",
        f"{url}/message.eml",
        "/x",
        "/static/style.css",
    ):
        headers = house.browser().get(path).headers
        assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert (
            "script-src" not in headers["content-security-policy"]
            and "unsafe" not in headers["content-security-policy"]
        )


def test_pages_hold_no_script_and_no_style_of_their_own(house):
    house.overview = overview_of(FIGURES, TOTALS, str)
    url = house.put(ours().content)
    for path in ("/", "/overview", f"/mailbox/{ALICE}", url, f"{url}?view=text", "/enter", "/x"):
        shown = house.browser().get(path).text
        assert not re.search(r"""<script|<style|\sstyle=|\son\w+=|(src|href|action)=["']?(\w+:|//)""", shown)


@pytest.mark.parametrize(
    ("host", "status"), [("page.example", 200), ("PAGE.example:99", 200), ("evil.example", 421), ("", 421)]
)
def test_a_name_that_is_not_ours_is_refused(house, host, status):
    assert house.browser(host=host).get("/").status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_written(house, method):
    assert house.browser().request(method, "/").status_code == 405


@pytest.mark.parametrize(
    ("site", "mode", "to", "status"),
    [
        ("same-origin", "navigate", "iframe", 200),
        ("none", "navigate", "document", 200),
        ("cross-site", "navigate", "document", 200),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "no-cors", "image", 403),
    ],
)
def test_other_sites_pages_get_nothing(house, site, mode, to, status):
    asked = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": to}
    assert house.browser(**asked).get("/").status_code == status


def test_a_token_opens_once(tmp_path):
    house = House(tmp_path, asks=True)
    token = house.access.token()
    one, other = house.browser(), house.browser()
    assert one.get("/").status_code == 303 and one.get("/").headers["location"] == "/enter"
    assert one.head(f"/enter?token={token}").status_code in (403, 405)
    entered = one.get(f"/enter?token={token}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "archiver-8026" in cookie
    assert one.get("/").status_code == 200
    assert other.get(f"/enter?token={token}").status_code == 403 and other.get("/").status_code == 303
    assert other.get(f"/enter?token={house.told[0]}").status_code == 303 and other.get("/").status_code == 200


def test_a_session_ends(tmp_path):
    house = House(tmp_path, asks=True)
    browser = house.browser()
    for end in ("leaves", "time"):
        browser.get(f"/enter?token={house.access.token()}")
        assert browser.get("/").status_code == 200
        if end == "leaves":
            assert browser.post("/leave").status_code == 303
        else:
            house.clock.now += LASTS
        assert browser.get("/").status_code == 303


@pytest.mark.parametrize("token", ["", "x", "é" * 9, "a" * 9_000])
def test_no_other_token_opens(tmp_path, token):
    house = House(tmp_path, asks=True)
    assert house.browser().get("/enter", params={"token": token}).status_code == 403
    house.access.token()
    assert house.browser().get("/enter", params={"token": token}).status_code == 403


def test_a_password_opens(tmp_path, monkeypatch):
    monkeypatch.setattr("archiver.web.access._PAUSE", 0)
    house = House(tmp_path, asks=True, account=ACCOUNT)
    browser = house.browser()
    assert 'type="password"' in browser.get("/enter").text
    for user, word in (("auditor", "x" * 5_000), ("other", "open sesame")):
        assert browser.post("/enter", data={"user": user, "password": word}).status_code == 403
    assert browser.get("/").status_code == 303
    assert browser.post("/enter", data={"user": "auditor", "password": "open sesame"}).status_code == 303
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("body", [b"x" * 20_000, b"\xff\xfe", b"&".join([b"a=b"] * 50)])
def test_what_is_no_form_is_refused(tmp_path, body):
    assert House(tmp_path, asks=True, account=ACCOUNT).browser().post("/enter", content=body).status_code in (400, 413)


def test_a_password_is_kept_as_a_salted_hash():
    made = password.made("pässword")
    assert made != password.made("pässword") and re.fullmatch(r"scrypt\$\S+", made) and read_password(made) == made
    assert password.matches(made, "pässword") and not password.matches(made, "password")


# Pictures of the whole

FIGURES = Figures(
    days=((15_625, 4), (15_626, 1), (16_000, 2)),
    rooms=(RoomFigure("irc:libera/#ubuntu", "#ubuntu", "group", 17), RoomFigure("x:y", "<b>\u202e", "group", 1)),
    latencies=(5, 1, 0, 0, 0, 0, 0, 2),
    waiting=(WaitingFigure("smtp:mail", 3, 90 * SECOND),),
)


def test_the_whole_is_drawn(house):
    house.overview = overview_of(FIGURES, TOTALS, lambda longest: f"{longest // SECOND} s")
    shown = house.browser().get("/overview").text
    assert "2 conversations in 2013, at most 2 a day" in shown
    assert "5 conversations in 2012, at most 4 a day" in house.browser().get("/overview?year=2012").text
    assert "2012-10-12: 4 conversations" in house.browser().get("/overview?year=2012").text
    assert "#ubuntu" in shown and "the first for 90 s" in shown and "&lt;b&gt;" in shown and "\u202e" not in shown
    assert house.browser().get("/overview?year=99999999").status_code == 200


@given(st.dictionaries(st.integers(-800_000, 3_000_000), st.integers(1, 10**6), max_size=20), st.integers(1, 9999))
def test_a_calendar_holds_its_year_and_no_more(counts, year):
    drawn = calendar(counts, year)
    assert len(drawn.days) in (365, 366) and drawn.total == sum(n for day, n in counts.items() if year_of(day) == year)
    assert all(0 <= day.level <= LEVELS and (day.level > 0) == (day.count > 0) for day in drawn.days)
    assert len({(day.x, day.y) for day in drawn.days}) == len(drawn.days)
    assert all(day.x + 11 <= drawn.width and day.y + 11 <= drawn.height for day in drawn.days)


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 10**9), st.just("")), max_size=9))
def test_bars_are_seen_and_fit(rows):
    for bar in bars(rows):
        assert 0 <= bar.length <= 1000 and (bar.length > 0) == (bar.value > 0)


@given(st.integers(1, 10**6), st.data())
def test_shades_grow_with_the_count(most, data):
    one, other = sorted(data.draw(st.tuples(st.integers(0, most), st.integers(0, most))))
    assert level(one, most) <= level(other, most) <= LEVELS


# Addresses


@given(
    st.builds(
        Asked, q=st.text(max_size=20).map(str.strip), room=st.text(max_size=20).map(str.strip), page=st.integers(1, 9)
    ),
    st.from_regex(r"[a-zé.%/?#]{1,9}@[a-z]{1,9}", fullmatch=True),
)
def test_what_is_asked_comes_back_from_its_address(asked, mailbox):
    from urllib.parse import parse_qsl, urlsplit

    url = urlsplit(mailbox_url(mailbox, asked))
    assert asked_of(dict(parse_qsl(url.query))) == asked and url.path.count("/") == 2


@given(st.integers(1, 10**6), st.integers(1, 100), st.integers(0, 10**6))
def test_a_page_is_within(page, size, total):
    pages = paging(page, size, total)
    assert 1 <= pages.page <= pages.last and 0 <= pages.start <= pages.end <= total
    assert pages.end - pages.start <= size and (total == 0 or pages.end > pages.start)
