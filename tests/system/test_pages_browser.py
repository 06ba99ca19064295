"""Exported pages in Debian's Chromium, from disk as somebody opens them: pictures show, nothing else does anything."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from golden import GOLDEN, golden_item
from hostile import EVIL
from servers.chromium import PHONE, chromium, watched

from archiver.exporting import exporting
from archiver.exporting.pages import html
from archiver.exporting.records import Report, Wanted
from archiver.exporting.selecting import Chosen
from archiver.store import MaildirStore, Put
from archiver.store.protocol import Where
from archiver.types import Destination, Item

pytestmark = [pytest.mark.slow, pytest.mark.server]

ALICE, HISTORY = "alice@example.org", "Conversation History"
PLAIN = "1.plain"


def hostile() -> bytes:
    made = EmailMessage()
    made["From"], made["Date"] = "<b>Eve</b> <eve@example.org>", "Mon, 02 Jan 2017 10:00:00 +0000"
    made["Subject"] = "<script>alert(3)</script>\u202etxt"
    made.set_content("x")
    made.add_alternative(EVIL, subtype="html")
    made.add_attachment(EVIL.encode(), maintype="text", subtype="html", filename="../<b>\u202efdp.html")
    return made.as_bytes()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a folder whose name is no URL as it stands."""
    root = tmp_path_factory.mktemp("pages")
    store = MaildirStore("{data}/mail/{domain}/{local}", data=root)
    items = [golden_item(*each) for each in GOLDEN if each[1] != "archive"]
    items.append(Item("", PLAIN, "", "", 0, 0, True, hostile()))
    assert not any(store.put([Put(ALICE, HISTORY, each) for each in items]))
    wheres = [Where(ALICE, HISTORY, name) for name in store.names(ALICE, HISTORY)]
    made = root / "50% of #us"
    report = Report()
    chosen = Chosen(None, store, Destination.HISTORY, wheres)
    exporting.export([chosen], html(made), made, Wanted(), lambda: 0, report)
    assert report.items == len(items)
    return made


def test_pages_on_disk_are_whole_harmless_and_accessible(out: Path) -> None:
    pages = sorted(out.rglob("*.html"))
    with chromium() as browser, watched(browser, size=PHONE) as window:
        pictures = 0
        for path in pages:
            window.page.goto(path.as_uri())
            shown = window.page.evaluate(
                "[...document.images].filter(i => i.hasAttribute('src')).map(i => i.naturalWidth)"
            )
            assert all(shown), path
            pictures += len(shown)
            assert window.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            found = Axe().run(window.page).response["violations"]
            assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == [], path
        assert pictures == 1
        window.page.goto((out / "index.html").as_uri())
        for link in window.page.locator("li a").all():
            link.click()
            window.page.get_by_text("All conversations").click()
            assert window.page.url == (out / "index.html").as_uri()
        assert window.dialogs == [] == window.complaints
        assert window.left(out.as_uri()) == []
