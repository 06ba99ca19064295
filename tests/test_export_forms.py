"""What is chosen, and the forms it is written in: whole, the same bytes each time, harmless, and read back."""

from __future__ import annotations

import csv
import io
import json
import mailbox
import os
import re
import signal
import zipfile
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest
from builders import event, say
from click.testing import CliRunner, Result
from conversation_builder import everything, made_up
from golden import BROWSED, GOLDEN, golden_item
from hypothesis import given, settings
from mishaps import in_child
from test_rebuilding import shown

from archiver.cli import main
from archiver.cli.export import _FORMS
from archiver.events import ndjson
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.exporting import exporting, pages
from archiver.exporting.files import Mbox, mbox
from archiver.exporting.manifest import about
from archiver.exporting.pages import html, index, page_files
from archiver.exporting.records import Form, Piece, Report, Wanted
from archiver.exporting.rsmf import rsmf, rsmf_files
from archiver.exporting.selecting import Chosen
from archiver.rendering import lines_of
from archiver.spool import Spool
from archiver.store import MaildirStore, Put
from archiver.store.protocol import Where
from archiver.types import Conversation, Destination, Item

ALICE, BOB = "alice@example.org", "bob@example.org"
HISTORY = "Conversation History"
SCHEMA = json.loads((Path(__file__).parent / "rsmf.schema.json").read_text())
FILE_FORMS = {"mbox", "zip"}


def mail(subject: str, body: str, *, markup: str = "", **headers: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Date"] = "Eve <eve@example.org>", ALICE, "Mon, 02 Jan 2017 10:00:00 +0000"
    made["Subject"] = subject
    for name, value in headers.items():
        made[name] = value
    made.set_content(body)
    if markup:
        made.add_alternative(markup, subtype="html")
    return made.as_bytes()


def golden(wanted: str) -> bytes:
    return next(golden_item(*each).content for each in GOLDEN if wanted == f"{each[0]}.{each[1].partition('@')[0]}")


def item(name: str, content: bytes) -> Item:
    return Item("", name, "", "", 0, 0, True, content)


@pytest.fixture
def store(tmp_path: Path) -> MaildirStore:
    """Items of ours in Conversation History, somebody's own mail beside them."""
    made = MaildirStore("{data}/mail/{domain}/{local}", data=tmp_path / "data")
    ours = [golden_item(*each) for each in BROWSED if each[1] != "archive"]
    puts = [Put(ALICE, HISTORY, each) for each in ours]
    puts.append(Put(ALICE, "INBOX", item("1483351200.M1.host", mail("own", "From here\n>From there\n\nFrom all\n"))))
    assert not any(made.put(puts))
    return made


def chosen(store: MaildirStore, spool: Spool | None = None) -> Chosen:
    wheres = [Where(ALICE, folder, name) for folder in (HISTORY, "INBOX") for name in store.names(ALICE, folder)]
    return Chosen(spool, store, Destination.HISTORY, wheres)


def export(store: MaildirStore, make: Callable[[Path], Form], target: Path) -> Report:
    report = Report()
    exporting.export([chosen(store)], make(target), target, Wanted(), lambda: 0, report)
    return report


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def inodes(root: Path) -> dict[Path, int]:
    """Of all but what tells of the others."""
    written = [path for path in root.rglob("*") if path.is_file()]
    return {path: path.stat().st_ino for path in written if not re.search("manifest|index", path.name)}


# All of them


@pytest.mark.parametrize(
    "form", [pytest.param(each, marks=pytest.mark.slow if each in ("html", "rsmf") else ()) for each in _FORMS]
)
def test_killed_anywhere_and_run_again_it_is_the_same(form: str, store: MaildirStore, tmp_path: Path) -> None:
    """Killed in the middle of a file, and before its end is written."""
    undisturbed = tmp_path / "one" / "out"
    first = export(store, _FORMS[form], undisturbed)
    assert first.items > 3
    disturbed = tmp_path / "two" / "out"
    for reads, syncs in ((0, 99), (3, 99), (99, 0), (99, 1), (99, 2), (99, 12)):
        status = in_child(partial(_killed_after, reads, syncs, store, _FORMS[form], disturbed))
        assert os.WIFSIGNALED(status) or syncs == 12 or (form == "zip" and syncs == 2)
        if form in FILE_FORMS and disturbed.exists():
            assert disturbed.read_bytes() == undisturbed.read_bytes(), "it is there whole, or not at all"
    again = export(store, _FORMS[form], disturbed)
    assert tree(disturbed.parent) == tree(undisturbed.parent)
    assert again == first
    before = inodes(disturbed.parent)
    assert export(store, _FORMS[form], disturbed) == first
    assert tree(disturbed.parent) == tree(undisturbed.parent), "and once more"
    assert inodes(disturbed.parent) == before, "what is there is not written again"


def _killed_after(reads: int, syncs: int, store: MaildirStore, make: Callable[[Path], Form], target: Path) -> None:
    """When so many items were read and are to be written, or so many files and folders synced."""
    left = {"reads": reads, "syncs": syncs}
    sync, read = os.fsync, store.read_all

    def count(what: str) -> None:
        if left[what] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[what] -= 1

    def fsync(descriptor: int) -> None:
        count("syncs")
        sync(descriptor)

    def read_all(*arguments: Any) -> Iterator[Any]:
        for each in read(*arguments):
            yield each
            count("reads")

    os.fsync, store.read_all = fsync, read_all
    export(store, make, target)


@pytest.mark.parametrize("form", list(_FORMS))
def test_the_manifest_has_every_file_as_it_is(form: str, store: MaildirStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = export(store, _FORMS[form], out)
    if form == "zip":
        with zipfile.ZipFile(out) as archive:
            written = {name: archive.read(name) for name in archive.namelist()}
        lines, table = written.pop("manifest.ndjson"), written.pop("manifest.csv")
        assert list(written) == sorted(written)
    elif form == "mbox":
        written = {}
        lines, table = (out.with_name(f"out.manifest.{kind}").read_bytes() for kind in ("ndjson", "csv"))
    else:
        written = tree(out)
        lines, table = written.pop("manifest.ndjson"), written.pop("manifest.csv")
        assert sha256(lines).hexdigest() == report.sha256
        written.pop("index.html", None)
    rows = [json.loads(line) for line in lines.splitlines()]
    if written:
        assert {row["path"]: row["sha256"] for row in rows} == {n: sha256(c).hexdigest() for n, c in written.items()}
    assert len({row["item"] for row in rows}) == report.items
    assert [row["path"] for row in csv.DictReader(io.StringIO(table.decode()))] == [row["path"] for row in rows]
    ours = next(row for row in rows if row["conversation"] == "alice@example.org bob@example.org")
    assert (ours["mailbox"], ours["folder"], ours["kind"]) == (ALICE, HISTORY, "im")
    assert ours["first"].startswith("20") and ours["source"].startswith("xmpp:")


@pytest.mark.parametrize("form", sorted(FILE_FORMS))
def test_another_file_in_its_place_stays(form: str, store: MaildirStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"mine")
    with pytest.raises(Exception, match="not the same"):
        export(store, _FORMS[form], out)
    assert tree(tmp_path)["out"] == b"mine"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("form", list(_FORMS))
def test_a_file_is_no_folder_and_a_folder_no_file(form: str, store: MaildirStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir() if form in FILE_FORMS else out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="is a f"):
        export(store, _FORMS[form], out)
    assert out.is_dir() or out.read_bytes() == b"mine"


@pytest.mark.parametrize("form", list(_FORMS))
def test_two_at_once_do_not_write_into_each_other(form: str, store: MaildirStore, tmp_path: Path) -> None:
    with _FORMS[form](tmp_path / "out"), pytest.raises(Exception, match="another export"):
        export(store, _FORMS[form], tmp_path / "out")
    export(store, _FORMS[form], tmp_path / "out")


@pytest.mark.parametrize("form", list(_FORMS))
def test_names_and_headers_that_are_no_text_stop_nothing(form: str, store: MaildirStore, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mail" / "example.org" / "alice" / "cur"
    odd = golden("whisper.bob").replace(b"\nSubject: ", b"\nSubject: \xff\xfe\x00 ").replace(b"\nDate: ", b"\nDate: x")
    for name, content in ((b"\xff\xfe.x:2,S", odd), (b"9999999999.y:2,", b"\xff\x00"), (b"1.empty:2,", b"")):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(content)
    report = export(store, _FORMS[form], tmp_path / "out")
    assert report.items + report.left_out == 10 + 1 + 3
    assert report.left_out == (3 if form == "rsmf" else 0)
    assert export(store, _FORMS[form], tmp_path / "out") == report


# Each of them


def test_an_mbox_is_read_by_python_and_gives_equal_bytes(store: MaildirStore, tmp_path: Path) -> None:
    report = export(store, mbox, tmp_path / "out.mbox")
    read = mailbox.mbox(tmp_path / "out.mbox", create=False)
    found = [re.sub(rb"^>(>*From )", rb"\1", read.get_bytes(key), flags=re.MULTILINE) for key in read.iterkeys()]
    lying = [store.read(ALICE, folder, name) for folder in (HISTORY, "INBOX") for name in store.names(ALICE, folder)]
    assert sorted(found) == sorted(lying)
    assert len(found) == report.items
    assert re.fullmatch(r"\S+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", read[0].get_from())


def test_what_an_mbox_separates_by_can_not_be_forged() -> None:
    out = io.BytesIO()
    content = b"From: =?utf-8?q?a=0AFrom_x?= <a b\x01@example.org>\nSubject: x\n\nno end"
    Mbox(out).add("", about(Piece((), "n", None), content, ""), content)
    assert len(re.findall(rb"^From ", out.getvalue(), re.MULTILINE)) == 1
    assert out.getvalue().endswith(b"no end\n\n")


@pytest.mark.slow
def test_all_that_holds_items_is_read_back_as_the_same_events(store: MaildirStore, tmp_path: Path) -> None:
    for form, out in (
        ("eml", tmp_path / "eml"),
        ("zip", tmp_path / "out.zip"),
        ("mbox", tmp_path / "mbox"),
        ("html", tmp_path / "h"),
    ):
        export(store, _FORMS[form], out)
        call = ["--data", str(tmp_path / f"again-{form}"), "backfill", "--jobs", "1", "items", str(out), "--json"]
        result = CliRunner().invoke(main, call)
        assert result.exit_code == 0, result.output
        with Spool.open(tmp_path / f"again-{form}", readonly=True) as spool:
            bodies = {row[0] for row in spool._connections.db.execute("SELECT body FROM event")}
        lying = [store.read(ALICE, HISTORY, name) for name in store.names(ALICE, HISTORY)]
        wanted = {line for content in lying for line in lines_of(content) if b'"archiver.roster"' not in line}
        assert {_known(body) for body in bodies} == {_known(line) for line in wanted}


def _known(line: bytes) -> tuple[str, str]:
    found = json.loads(line)
    return found["source"], found["id"]


def test_names_of_files_lead_nowhere(tmp_path: Path) -> None:
    store = MaildirStore("{data}/mail/{domain}/{local}", data=tmp_path / "data")
    assert not any(store.put([Put(ALICE, "INBOX", item("plain", mail("x", "y")))]))
    wheres = [Where(ALICE, f"../{n}/é", name) for n in range(2) for name in ("..", "a/../../b", "é" * 120, ".x")]
    pieces = list(Chosen(None, store, Destination.HISTORY, wheres).pieces(Wanted()))
    for piece in pieces:
        assert all(re.fullmatch(r"(?!\.)[A-Za-z0-9._+%=-]{1,200}", part) for part in piece.path.split("/"))
    assert len({piece.path for piece in pieces}) == len(wheres)


# RSMF


def opened(content: bytes) -> tuple[EmailMessage, dict[str, bytes]]:
    message = message_from_bytes(content, policy=policy.default)
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "rsmf.zip"
    with zipfile.ZipFile(io.BytesIO(attachment.get_payload(decode=True))) as archive:
        return message, {name: archive.read(name) for name in archive.namelist()}


def made_of(content: bytes, whose: str = ALICE) -> tuple[EmailMessage, dict, dict[str, bytes]]:
    ((suffix, made),) = rsmf_files(Piece((), "n", None, whose), content) or ()
    assert suffix == ".rsmf"
    message, within = opened(made)
    return message, json.loads(within.pop("rsmf_manifest.json")), within


@pytest.mark.parametrize("name", GOLDEN, ids="-".join)
def test_rsmf_is_as_its_specification_says(name: tuple[str, str, str, str]) -> None:
    check_rsmf(golden_item(*name).content)


def test_rsmf_says_what_was_guessed() -> None:
    _, sheet, _ = made_of(golden_item("guessed", ALICE, "en", "Europe/Berlin").content)
    told = [one["value"] for each in sheet["events"] for one in each["custom"] if one["name"] == "guessed"]
    assert told == ["zone=UTC; day-of-name", "zone=UTC; day-of-name", "zone=UTC; day-of-name; next-day"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(made_up())
def test_any_conversation_is_rsmf(conversation: Conversation) -> None:
    (made,) = shown(conversation, [everything(conversation)])
    check_rsmf(made.content)


def check_rsmf(content: bytes) -> None:
    message, sheet, within = made_of(content)
    jsonschema.validate(sheet, SCHEMA, cls=jsonschema.Draft7Validator)
    people = {each["id"] for each in sheet["participants"]}
    (talk,) = sheet["conversations"]
    assert set(talk["participants"]) <= people
    ids = [each["id"] for each in sheet["events"] if "id" in each]
    assert len(ids) == len(set(ids))
    files = {each["id"] for one in sheet["events"] for each in one.get("attachments", ())}
    assert files == set(within), "every file of the zip is somebody's, every attachment is there"
    for each in sheet["events"]:
        named = [each.get("participant"), *(edit["participant"] for edit in each.get("edits", ()))]
        named += [who for reaction in each.get("reactions", ()) for who in reaction["participants"]]
        assert {who for who in named if who} <= people
        assert each["conversation"] == talk["id"]
        assert each.get("parent") in (None, *ids)
    assert message["X-RSMF-Version"] == "2.0.0"
    assert int(message["X-RSMF-EventCount"]) == len(sheet["events"])
    assert message["X-RSMF-EventCollectionID"].replace(" ", "") == sheet["eventcollectionid"]
    times = sorted(each["timestamp"] for each in sheet["events"])
    assert not times or (message["X-RSMF-BeginDate"], message["X-RSMF-EndDate"]) == (times[0], times[-1])
    assert int(message["X-RSMF-AttachmentCount"]) == sum(len(e.get("attachments", ())) for e in sheet["events"])
    assert message.get_body(("plain",)) is not None


def test_rsmf_puts_edits_reactions_and_retractions_where_they_belong() -> None:
    _, sheet, _ = made_of(golden("edit_and_retract.bob"), BOB)
    said = [each for each in sheet["events"] if each["type"] == "message"]
    (edited,) = [each for each in said if "edits" in each]
    assert edited["edits"][0]["previous"] == "The review is on Tuesday at ten."
    assert edited["body"] == edited["edits"][0]["new"] == "The review is on Thursday at ten."
    (gone,) = [each for each in said if each.get("deleted")]
    assert gone["direction"] == "outgoing"
    assert "sha256" in gone.get("body", "sha256"), "what the item hides stays hidden"
    _, sheet, _ = made_of(golden("reactions_and_replies.alice"))
    reactions = [each for one in sheet["events"] for each in one.get("reactions", ())]
    assert reactions and all(each["count"] == len(each["participants"]) for each in reactions)
    assert any("parent" in each for each in sheet["events"])


def test_rsmf_leaves_out_others_messages_and_says_so(store: MaildirStore, tmp_path: Path) -> None:
    report = export(store, rsmf, tmp_path / "out")
    assert report.left_out == 1
    assert len(list((tmp_path / "out").rglob("*.rsmf"))) == report.items


# Pages

NASTY = """<h1 onclick=x()>hi</h1><script>x()</script><img src=https://e.example/p.png><img src="cid:none">
<a href="javascript:x()">a</a><a href='away.html'>b</a><iframe src=x></iframe><style>*{display:none}</style>
<base href=//e><meta http-equiv=refresh content="0;url=//e"><form action=//e><input></form><svg onload=x()>"""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def test_pages_hold_nothing_that_runs_or_asks(tmp_path: Path) -> None:
    nasty = '"><script>x()</script>\u202e'
    content = mail(nasty, "x", markup=NASTY)
    page = dict(page_files(Piece(("d", "l", "x"), "n", None), content))[".html"].decode()
    rows = [about(Piece(("d",), "n", None, "a<b@c", "f&g"), content, "").row('d/n"%?.html', b"")]
    for text in (page, b"".join(index(iter(rows))).decode()):
        assert not re.search(r"<(script|iframe|form|input|svg|meta http-equiv=.?refresh)", text, re.IGNORECASE)
        assert not re.search(r"<[^>]*\s(on\w+\s*=|javascript:)", text, re.IGNORECASE)
        assert not re.search(r"<(img|link|base)[^>]+(https?:)?//", text)
        assert "\u202e" not in text
        assert text.index("Content-Security-Policy") < text.index("<style>")
        assert "default-src &#x27;none&#x27;" in text and "width=device-width" in text
    assert 'href="../../../index.html"' in page
    assert "away.html" not in page


def test_what_is_too_large_to_be_taken_apart_is_only_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LARGEST", 1_000)
    content = mail("long", "word " * 1_000)
    made = dict(page_files(Piece((), "n", None), content))
    assert made[".eml"] == content
    assert b"Too large" in made[".html"] and b"<title>long</title>" in made[".html"]


def test_pictures_are_files_and_other_files_only_named(tmp_path: Path) -> None:
    made = EmailMessage()
    made["Subject"] = "pictures"
    made.set_content('<p><img src="cid:one@x"> and <img src="CID:two@x"></p>', subtype="html")
    made.add_related(PNG, "image", "png", cid="<one@x>", filename="../a.png")
    made.add_related(b"<svg onload=x()>", "image", "svg+xml", cid="<two@x>", filename="b.svg")
    written = dict(page_files(Piece((), "n%20", None), made.as_bytes()))
    assert set(written) == {".eml", ".files/1.png", ".html"}
    assert written[".files/1.png"] == PNG
    page = written[".html"].decode()
    assert re.findall(r'src="([^"]+)"', page) == ["n%2520.files/1.png"]
    assert "b.svg" in page and 'href="n%2520.eml"' in page


def test_every_link_of_the_pages_leads_to_a_file_of_theirs(store: MaildirStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = export(store, html, out)
    written = list(out.rglob("*.html"))
    assert len(written) == report.items + 1
    for page in written:
        for link in re.findall(r'(?:href|src)="([^":]+)"', page.read_text()):
            assert (page.parent / unquote(link)).resolve().is_relative_to(out)
            assert (page.parent / unquote(link)).is_file(), link
    assert len(re.findall(r'<li><a href="', (out / "index.html").read_text())) == report.items


def test_a_page_says_what_the_item_says(store: MaildirStore, tmp_path: Path) -> None:
    content = golden("dst_night.alice")
    page = dict(page_files(Piece((), "n", None), content))[".html"].decode()
    text = message_from_bytes(content, policy=policy.default).get_body(("plain",)).get_content()
    times = re.findall(r"^(\d\d:\d\d:\d\d)", text, re.MULTILINE)
    assert times and all(time in page for time in times)


# What is chosen


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Result]:
    def call(*arguments: object, status: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--data", str(tmp_path / "data"), *map(str, arguments)])
        assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def filed(tmp_path: Path, call: Callable[..., Result]) -> Iterator[None]:
    present = {"present": [ALICE, BOB]}
    said = [
        say(ALICE, "one apple", 0, id="1", **present),
        say(BOB, "two pears", 3_600, id="2", **present),
        say(BOB, "an apple again", 0, id="3", room="other", **present),
        event("file.shared", 1, BOB, id="f", room="other", attachments=[{"name": "a", "content": "YQ=="}], **present),
    ]
    (tmp_path / "events.ndjson").write_bytes(ndjson(said))
    call("backfill", "--jobs", 1, "events", tmp_path / "events.ndjson")
    yield


def test_a_mailbox_a_conversation_filters_and_a_search(
    filed: None, call: Callable[..., Result], tmp_path: Path
) -> None:
    def names(*arguments: object) -> list[str]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        told = json.loads(call("export", out, *arguments, "--json").output)
        found = sorted(path.name for path in out.rglob("*.eml"))
        assert told["items"] == len(found)
        return found

    every = names(ALICE)
    assert len(every) == 3
    assert len(names("sip:ALICE@example.org")) == 3
    conversation = names(ALICE, "room")
    assert len(conversation) == 2, "a conversation of two items is both of them"
    assert names(ALICE, "other") == sorted(set(every) - set(conversation))
    assert len(names(ALICE, "1")) == 1
    assert names(ALICE, "--has-file") == names(ALICE, "other")
    assert set(names(ALICE, "--text", "pears")) < set(conversation)
    assert len(names("--search", "apple")) == 2
    assert len(names(BOB, "--search", "apple")) == 2
    assert names(ALICE, "--search", "nothingofthekind") == []
    call("export", "", ALICE, status=2)
    for wrong in (["x"], [ALICE, "nobody"], [ALICE, "--new"], ["--with", "x"], [ALICE, "1", "--text", "x"]):
        call("export", tmp_path / "no", *wrong, status=2)


def test_what_was_chosen_and_is_whole_counts_as_exported(
    filed: None, call: Callable[..., Result], tmp_path: Path
) -> None:
    def new() -> int:
        out = tmp_path / f"new-{len(list(tmp_path.iterdir()))}"
        arguments = ["--of", "history", "--address", ALICE, "--new", "--as", "rsmf", "--json"]
        return int(json.loads(call("export", out, *arguments).output)["items"])

    assert new() == 3
    call("export", tmp_path / "r", ALICE, "--as", "rsmf")
    assert new() == 3, "an excerpt is not the item"
    call("export", tmp_path / "z.zip", ALICE, "other", "--as", "zip")
    assert new() == 2
    call("export", tmp_path / "e", ALICE)
    assert new() == 0


def test_both_ways_an_item_has_the_same_place(filed: None, call: Callable[..., Result], tmp_path: Path) -> None:
    call("export", tmp_path / "out", ALICE)
    before = tree(tmp_path / "out")
    call("export", tmp_path / "out", "--of", "history", "--address", ALICE)
    assert tree(tmp_path / "out") == before


def test_what_an_archive_has_on_record_is_asked(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[archiving]\narchive = "im+conference"\nto_mailbox = true\n[policy]\ninternal = true\n'
        '[directory]\ndomains = ["example.org"]\n'
        f'[[mailbox]]\naddress = "{ALICE}"\nexchange_archiving = "mailbox"\n'
    )
    said = [say(ALICE, f"word{n}", n * 3_600, id=str(n), present=[ALICE, BOB]) for n in range(3)]
    (tmp_path / "events.ndjson").write_bytes(ndjson(said))

    def call(*arguments: object) -> Result:
        fixed = ["--data", str(tmp_path / "data"), "--config", str(tmp_path / "config.toml")]
        return CliRunner().invoke(main, [*fixed, *map(str, arguments)])

    assert call("backfill", "--jobs", 1, "events", tmp_path / "events.ndjson").exit_code == 0
    assert json.loads(call("export", tmp_path / "a", ALICE, "--archive", "--json").output)["items"] == 3
    assert json.loads(call("export", tmp_path / "b", "--search", "word1", "--archive", "--json").output)["items"] == 1
    changed, *_ = (tmp_path / "data" / "archive").rglob("alice/**/cur/*")
    changed.chmod(0o600)
    changed.write_bytes(changed.read_bytes() + b"?")
    result = call("export", tmp_path / "c.zip", ALICE, "--archive", "--as", "zip")
    assert result.exit_code == 1
    assert changed.name.partition(":")[0] in result.output
    with zipfile.ZipFile(tmp_path / "c.zip") as archive:
        assert len(archive.namelist()) == 2 + 2


def test_a_manifest_that_somebody_wrote_names_nothing_outside(store: MaildirStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    out = tmp_path / "out"
    export(store, _FORMS["eml"], out)
    good = (out / "manifest.ndjson").read_bytes()
    row = json.loads(good.splitlines()[0])
    for path in ("../secret", str(tmp_path / "secret"), "a\0b", "x" * 300, "gone"):
        (out / "manifest.ndjson").write_bytes(good + json.dumps(row | {"path": path}).encode() + b"\n{half")
        export(store, _FORMS["eml"], out)
        assert (out / "manifest.ndjson").read_bytes() == good


def test_what_is_added_later_joins_the_manifest(store: MaildirStore, tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = store.names(ALICE, HISTORY)
    for name in names[:3]:
        one = Chosen(None, store, Destination.HISTORY, [Where(ALICE, HISTORY, name)])
        exporting.export([one], _FORMS["html"](out), out, Wanted(), lambda: 0, Report())
    rows = [json.loads(line) for line in (out / "manifest.ndjson").read_bytes().splitlines()]
    assert {row["name"] for row in rows} == set(names[:3])
    assert len(re.findall("<li>", (out / "index.html").read_text())) == 3


def test_a_full_disk_leaves_nothing_half(store: MaildirStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    for form in _FORMS:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(EnvironmentFault, match="No space"):
                export(store, _FORMS[form], tmp_path / form)
        assert not [path for path in tmp_path.rglob("*") if path.suffix in (".eml", ".html", ".rsmf", ".mbox", ".zip")]
        assert not (tmp_path / form).is_file()


BLOCKING: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a link for cur": (lambda box: block(box / ".Conversation History" / "cur"), "Conversation History/cur", "a link"),
    "a file for new": (
        lambda box: block(box / ".Conversation History" / "new", link=False),
        "Conversation History/new",
        "no directory",
    ),
    "a link for a folder": (lambda box: block(box / ".Conversation History"), "Conversation History", "a link"),
}


def block(path: Path, *, link: bool = True) -> None:
    path.rename(path.with_name("aside"))
    path.symlink_to("aside") if link else path.touch()


@pytest.mark.parametrize("how", BLOCKING)
@pytest.mark.parametrize("what", [["--of", "history"], [ALICE], ["--search", "dst OR hello OR lunch"]])
def test_what_its_owner_blocked_is_said_and_stands_in_the_manifest(
    how: str, what: list[str], filed: None, call: Callable[..., Result], tmp_path: Path
) -> None:
    put_in_the_way, folder, why = BLOCKING[how]
    put_in_the_way(tmp_path / "data" / "mail" / "example.org" / "alice")
    out = tmp_path / "out"
    for _ in range(2):
        told = call("export", out, *what, status=1)
        assert f"BLOCKED by its owner, nothing of it exported: {ALICE}: {folder}: it is {why}" in told.stdout
        rows = [json.loads(line) for line in (out / "manifest.ndjson").read_bytes().splitlines()]
        blocked = [each for each in rows if each["left_out"]]
        assert [(each["mailbox"], each["folder"], each["left_out"]) for each in blocked] == [
            (ALICE, folder, f"it is {why}")
        ]
        assert blocked == rows[-1:] and not blocked[0]["path"]
        table = list(csv.DictReader((out / "manifest.csv").open(newline="", encoding="utf-8-sig")))
        assert [each["left_out"] for each in table] == [each["left_out"] for each in rows]
