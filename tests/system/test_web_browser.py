"""The page in a real browser: nothing hostile runs or gets out, the same is read everywhere, everybody can use it."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from builders import BASE, DAY, say
from golden import golden_item
from hostile import EVIL
from playwright.sync_api import Browser
from servers.chromium import DESK, PHONE, Watched, chromium, watched
from servers.dovecot import dovecot, mail_directory
from servers.page import page

from archiver.events import ndjson
from system.archives import FIXTURES, FOLDER, archiver, owned_by_mail_user, parsed, text_of

pytestmark = [pytest.mark.slow, pytest.mark.server]

ALICE = "alice@example.org"
BOX = f"mailbox/{ALICE}"
NAME = "<img src=x onerror=alert(1)>\u202eevil"
SAYS = "<script>alert('said')</script> \u202etxt.exe\u2066 https://good.example/\u202e"


def hostile_talk() -> bytes:
    """Bob says what is hostile, and formats it so; so is Alice's name, the room's and its topic."""
    talk = [
        say("bob@example.org", SAYS, 0, room="<b>#room</b>", topic=f"<svg onload=alert(2)>{NAME}"),
        say("bob@example.org", "formatted", 1, room="<b>#room</b>"),
        say(ALICE, "mine", 2, room="<b>#room</b>"),
    ]
    wire = [json.loads(line) for line in ndjson(talk).splitlines()]
    wire[1]["data"]["message"]["html"] = EVIL
    wire[2]["data"]["actor"]["name"] = NAME
    return b"".join(json.dumps(event).encode() + b"\n" for event in wire)


def hostile_mail() -> bytes:
    made = EmailMessage()
    made["From"], made["To"] = "Bob <bob@example.org>", ALICE
    made["Subject"], made["Date"] = "<script>alert(3)</script>\u202etxt", "Fri, 12 Oct 2012 10:00:00 +0000"
    made.set_content(SAYS)
    made.add_alternative(EVIL, subtype="html")
    for name in ("../<b>\u202efdp.html", "picture.png"):
        made.add_attachment(EVIL.encode(), maintype="text", subtype="html", filename=name)
    return made.as_bytes()


HOSTILE_MAIL = hostile_mail()


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Sample conversations, hostile ones, and a hostile mail of others, where a mail server may read them."""
    with mail_directory() as root:
        config = owned_by_mail_user(root)
        (root / "mail").mkdir(mode=0o755)
        (root / "hostile.ndjson").write_bytes(hostile_talk())
        events = FIXTURES / "events" / "reactions_and_replies.ndjson"
        archiver(root, "backfill", "events", str(root / "hostile.ndjson"), str(events), config=config)
        folder = root / f"mail/example.org/alice/.{FOLDER}/cur"
        (folder / "1350036000.M1.other:2,S").write_bytes(HOSTILE_MAIL)
        pictured = golden_item("file_and_inline_image", ALICE, "en", "UTC")
        (folder / f"{pictured.name}:2,S").write_bytes(pictured.content)
        yield root


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def url(data: Path) -> Iterator[str]:
    with page(data, "--listen", "127.0.0.1:0", "--no-token", config=data / "archiver.toml") as serving:
        yield serving.next_url()


@pytest.fixture
def window(browser: Browser) -> Iterator[Watched]:
    with watched(browser) as opened:
        yield opened


def items(window: Watched, url: str) -> list[str]:
    """Addresses of all items of the mailbox."""
    window.page.goto(url + BOX)
    links = window.page.locator("a.subject")
    return [url + str(links.nth(n).get_attribute("href")).lstrip("/") for n in range(links.count())]


def every_page(window: Watched, url: str) -> list[str]:
    found = items(window, url)
    shown = [url, f"{url}search?q=plain", f"{url}overview", f"{url}{BOX}", f"{url}{BOX}?q=alert", f"{url}nowhere"]
    return shown + [f"{item}{view}" for item in found for view in ("", "?view=text")]


def test_the_hostile_page_is_hostile(browser: Browser) -> None:
    """Or the tests below would show nothing."""
    with watched(browser) as window:
        window.page.set_content(EVIL)
        window.page.wait_for_timeout(500)
        assert window.dialogs and window.left("http://127.0.0.1")


def test_nothing_hostile_runs_and_nothing_leaves(window: Watched, url: str) -> None:
    shown = every_page(window, url)
    assert len(shown) >= 14
    frames = [f"{item}/frame" for item in items(window, url)]
    for address in [*shown, *frames]:
        window.page.goto(address)
        window.page.wait_for_load_state("networkidle")
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", window.page.content())
    assert window.dialogs == [] and window.left(url) == []
    # The page that isn't there is complained of, and nothing else: nothing was even refused by a policy.
    assert [each for each in window.complaints if "404" not in each] == []
    assert len(window.context.pages) == 1


def test_the_frame_has_no_origin_and_runs_no_script(window: Watched, url: str) -> None:
    window.page.goto(items(window, url)[0])
    element = window.page.locator("iframe")
    assert element.get_attribute("sandbox") == "allow-popups allow-popups-to-escape-sandbox"
    frame = window.page.frame_locator("iframe")
    assert frame.locator("script, style:not(head > style), form, iframe, object, link").count() == 0
    assert frame.locator("h1").first.is_visible()


def test_pictures_are_shown(window: Watched, url: str) -> None:
    window.page.goto(f"{url}{BOX}?q=has:file+kind:im")
    window.page.locator("a.subject").first.click()
    picture = window.page.frame_locator("iframe").locator("img").first
    picture.wait_for()
    box = picture.bounding_box()
    assert str(picture.get_attribute("src")).startswith("data:image/") and box and box["width"] >= 1
    below = window.page.locator(".files img").first
    assert below.evaluate("each => each.complete && each.naturalWidth > 0")


def violations(window: Watched) -> list[tuple[str, list[str]]]:
    """What axe finds wrong: its rule, and some of the places."""
    found = Axe().run(window.page, options={"iframes": False}).response["violations"]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, url: str, size: dict[str, int], dark: bool) -> None:
    with watched(browser, size=size, dark=dark) as window:
        frames = [f"{item}/frame" for item in items(window, url)]
        for address in [*every_page(window, url), *frames]:
            if address in frames:  # where it stands no script may run, and so no axe
                window.page.goto("about:blank")
                window.page.set_content(window.page.request.get(address).text())
            else:
                window.page.goto(address)
            window.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            assert violations(window) == [], address


def test_it_fits_a_phone(browser: Browser, url: str) -> None:
    with watched(browser, size=PHONE) as window:
        for address in every_page(window, url):
            window.page.goto(address)
            assert window.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address


def test_keys_are_enough(window: Watched, url: str) -> None:
    window.page.goto(url + BOX)
    window.page.keyboard.press("Tab")
    skip = window.page.locator(":focus")
    assert skip.inner_text() == "Skip to the content" and (skip.bounding_box() or {})["y"] >= 0
    window.page.keyboard.press("Enter")
    for _ in range(20):
        window.page.keyboard.press("Tab")
        if window.page.locator("a.subject:focus").count():
            break
    window.page.keyboard.press("Enter")
    window.page.wait_for_url(re.compile(f"{ALICE}/[0-9a-f]{{32}}$"))
    window.page.locator(".tabs a", has_text="Text").focus()
    window.page.keyboard.press("Enter")
    window.page.wait_for_selector("pre.transcript")


def test_what_is_taken_away_is_the_item(window: Watched, url: str) -> None:
    window.page.goto(f"{url}{BOX}?kind=mail")
    window.page.locator("a.subject").click()
    with window.page.expect_download() as download:
        window.page.locator("a", has_text="EML").click()
    assert Path(download.value.path()).read_bytes() == HOSTILE_MAIL
    assert re.fullmatch(r"[^/\\\u202e]+\.eml", download.value.suggested_filename)
    for n in range(window.page.locator(".files a[download]").count()):
        with window.page.expect_download() as download:
            window.page.locator(".files a[download]").nth(n).click()
        assert Path(download.value.path()).read_bytes() == EVIL.encode()
        assert "\u202e" not in download.value.suggested_filename and "/" not in download.value.suggested_filename


def test_one_item_reads_the_same_everywhere(window: Watched, url: str, data: Path) -> None:
    """The page, the terminal, `--json` and what a mail server gives its clients."""
    config = data / "archiver.toml"
    listed = json.loads(archiver(data, "inspect", ALICE, "--json", config=config))
    ours = [item for item in listed if item["kind"] != "mail"]
    assert len(ours) >= 3
    with dovecot(data / "mail") as server, server.login(ALICE) as client:
        client.select_folder(FOLDER, readonly=True)
        for item in ours:
            shown = json.loads(archiver(data, "inspect", ALICE, item["name"], "--json", config=config))
            window.page.goto(f"{url}{BOX}/{item['message_id'].strip('<').partition('@')[0]}?view=text")
            paged = window.page.locator("pre.transcript").evaluate("each => each.textContent")
            (uid,) = client.search(["HEADER", "Message-ID", item["message_id"]])
            fetched = text_of(parsed(client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"])).replace("\r\n", "\n")
            printed = archiver(data, "inspect", ALICE, item["name"], config=config).partition("\n\n")[2]
            assert paged == shown["text"] == fetched
            assert printed.rstrip("\n") == paged.rstrip("\n")


def test_the_printed_address_opens_once(browser: Browser, data: Path) -> None:
    with page(data, "--listen", "127.0.0.1:0", config=data / "archiver.toml") as serving:
        first = serving.next_url()
        base = first.partition("enter")[0]
        with watched(browser) as one, watched(browser) as other:
            one.page.goto(first)
            assert one.page.url == base and "token" not in one.page.url
            assert other.page.goto(base) and other.page.url == f"{base}enter"
            other.page.goto(first)
            assert "used before" in other.page.inner_text("main")
            other.page.goto(serving.next_url())
            assert other.page.url == base
            one.page.locator("button", has_text="Leave").click()
            one.page.goto(base)
            assert one.page.url == f"{base}enter"
            for window in (one, other):
                assert violations(window) == []
        assert serving.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_nothing_logged(window: Watched, data: Path, number: signal.Signals) -> None:
    with page(data, "--listen", "127.0.0.1:0", "--no-token", config=data / "archiver.toml") as serving:
        url = serving.next_url()
        for address in every_page(window, url):
            window.page.goto(address)
        assert serving.stop(number) == 0
        assert ALICE not in serving.said and "GET" not in serving.said and "Traceback" not in serving.said


def test_other_machines_need_a_password_and_tls(browser: Browser, data: Path, tmp_path: Path) -> None:
    import trustme

    from archiver.web import password

    authority = trustme.CA()
    issued = authority.issue_cert("archive.example.org", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    config = tmp_path / "archiver.toml"
    config.write_text(
        f"""[web]
listen = "0.0.0.0:0"
hosts = ["127.0.0.1"]
user = "auditor"
password = "{password.made("open sesame")}"
certificate = "{tmp_path}/certificate.pem"
key = "{tmp_path}/key.pem"
"""
    )
    with page(data, config=config) as serving, watched(browser) as window:
        url = serving.next_url()
        assert url.startswith("https://127.0.0.1:") and "token" not in url
        window.page.goto(url)
        assert window.page.url == f"{url}enter" and Axe().run(window.page).violations_count == 0
        for word in ("wrong", "open sesame"):
            window.page.get_by_label("Name").fill("auditor")
            window.page.get_by_label("Password").fill(word)
            window.page.get_by_role("button", name="Enter").click()
        window.page.wait_for_url(url)
        (cookie,) = window.context.cookies()
        assert cookie["secure"] and cookie["httpOnly"] and cookie["name"].startswith("__Host-")
        assert serving.stop() == 0


def test_its_first_screen_of_a_large_mailbox_comes_soon(window: Watched, tmp_path: Path) -> None:
    folder = tmp_path / f"mail/example.org/alice/.{FOLDER}/cur"
    folder.mkdir(parents=True)
    (tmp_path / "mail/example.org/alice/cur").mkdir()
    for n in range(20_000):
        (folder / f"{BASE + n * DAY // 50}.K{n:032x}.conversation-archiver:2,S").write_bytes(b"Subject: x\n\nhello\n")
    with page(tmp_path, "--listen", "127.0.0.1:0", "--no-token") as serving:
        url = serving.next_url()
        window.page.goto(url)
        window.page.goto(url + BOX)
        timing = window.page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
        assert "1–50 of 20,000 conversations" in window.page.inner_text("main")
        assert timing["responseStart"] - timing["requestStart"] < 3_000
        window.page.locator(".filters a", has_text="2013-05").click()
        assert "1,550" in window.page.inner_text("main")
