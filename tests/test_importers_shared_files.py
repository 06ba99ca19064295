"""Which files an export may have as attachments: those it was sent with, and nothing else that lies on the machine."""

from __future__ import annotations

import json
import shutil
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import say
from contracts.importer import RECEIVED

from archiver.events import Captured, ndjson
from archiver.importers import Options, Reading, importer, leaving
from archiver.importers.document import Document
from archiver.importers.leaving import Leavings
from archiver.importers.ndjson import Events
from archiver.importers.recognising import chosen, document_at, documents_at, guess, recognise

REFUSED = (
    "../ann/private.json",
    "../ann/photo.jpg",
    ".ssh/id_rsa",
    "sub/.netrc",
    "sub/../photo.jpg",
    "..\\ann\\photo.jpg",
    "to_ann",
    "to_hidden",
    "ann.ndjson",
    "sub/result.json",
    "sub/ann.zip",
    "sub/ann.tgz",
    "{itself}",
)
HAD = ("photo.jpg", "./sub/photo.jpg", "sub\\photo.jpg", "sub/notes.txt", "sub/photos.zip")


def telegram(paths: tuple[str, ...]) -> dict[str, Any]:
    said = {"type": "message", "from": "Eve", "from_id": "user1", "text": "see"}
    sent = [
        {**said, "id": number, "date_unixtime": str(1_700_000_000 + number), "file": path}
        for number, path in enumerate(paths)
    ]
    return {"name": "Eve", "type": "personal_chat", "id": 5, "messages": sent}


def event_file(paths: tuple[str, ...]) -> bytes:
    return ndjson(
        [
            say("eve@example.org", "see", number, id=str(number), attachments=[{"path": path}])
            for number, path in enumerate(paths)
        ]
    )


def export(paths: tuple[str, ...]) -> bytes:
    return json.dumps(telegram(paths)).encode()


WRITERS: dict[str, tuple[str, str, Callable[[tuple[str, ...]], bytes]]] = {
    "telegram": ("telegram", "result.json", export),
    "events": ("events", "e.ndjson", event_file),
}


def exports_of_two(root: Path, written: str) -> Path:
    """Eve's export beside Ann's, and within it what lies in a home directory; gives the folder of both."""
    eve, ann = root / "exports" / "eve", root / "exports" / "ann"
    for folder in (eve / ".ssh", eve / "sub", ann):
        folder.mkdir(parents=True)
    for path in (eve / ".ssh" / "id_rsa", eve / "sub" / ".netrc", eve / "sub" / "notes.txt"):
        path.write_text(path.name)
    for path in (eve / "photo.jpg", eve / "sub" / "photo.jpg", ann / "photo.jpg"):
        path.write_bytes(b"\xff\xd8\xff" + path.parent.name.encode())
    theirs = event_file(("x",))
    for path in (ann / "private.json", eve / "ann.ndjson"):
        path.write_bytes(theirs)
    (eve / "sub" / "result.json").write_bytes(export(("x",)))
    shutil.make_archive(str(eve / "sub" / "photos"), "zip", ann, "photo.jpg")
    shutil.make_archive(str(eve / "sub" / "ann"), "zip", ann)
    shutil.make_archive(str(eve / "sub" / "ann"), "gztar", ann)
    (eve / "sub" / "ann.tar.gz").rename(eve / "sub" / "ann.tgz")
    name, write = WRITERS[written][1:]
    (eve / name).write_bytes(write(tuple(each.replace("{itself}", name) for each in (*REFUSED, *HAD))))
    return root / "exports"


def files_of(document: Document) -> list[tuple[bool, str]]:
    """Of each message whether it has its file, and what its item is told of it."""
    found = guess(document)
    assert found is not None
    pieces = list(found.read(document, Options(), Reading(RECEIVED)))
    captured = [each for each in pieces if isinstance(each, Captured)]
    assert len(captured) == len(pieces) == len(REFUSED) + len(HAD)
    shown = [(each.event.data.attachments or [None])[0] for each in captured]
    return [(bool(each.attached), str(a and (a.name or a.path))) for each, a in zip(captured, shown, strict=True)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("written", sorted(WRITERS))
def test_an_export_has_its_own_files_and_nobody_elses(written: str, packed: bool, tmp_path: Path) -> None:
    folder = exports_of_two(tmp_path, written)
    eve = folder / "eve"
    if not packed:
        (eve / "to_ann").symlink_to(folder / "ann" / "photo.jpg")
        (eve / "to_hidden").symlink_to(eve / ".ssh" / "id_rsa")
    path = Path(shutil.make_archive(str(tmp_path / "all"), "zip", folder)) if packed else folder
    name = WRITERS[written][1]
    (document,) = (each for each in documents_at((path,)) if each.within.endswith(f"eve/{name}"))
    told = files_of(document)
    assert [is_had for is_had, _ in told] == [False] * len(REFUSED) + [True] * len(HAD)
    assert all(name and name != "None" for _, name in told)  # a file that may not be had is told as one that is missing


@pytest.mark.parametrize("written", sorted(WRITERS))
def test_nor_has_one_that_lies_in_a_home_directory(written: str, tmp_path: Path) -> None:
    """Named by itself: the folder it lies in is all there is."""
    eve = exports_of_two(tmp_path, written) / "eve"
    (document,) = documents_at((eve / WRITERS[written][1],))
    assert [is_had for is_had, _ in files_of(document)] == [False] * len(REFUSED) + [True] * len(HAD)


@pytest.mark.parametrize(
    ("uri", "is_had"),
    [
        ("messages/inbox/eve/photos/1.jpg", True),
        ("your_activity_across_facebook/messages/inbox/eve/photos/1.jpg", True),
        ("messages/stickers_used/1.jpg", True),
        ("photos/1.jpg", True),
        ("other/1.jpg", False),
        ("../other/1.jpg", False),
        ("messages/../other/1.jpg", False),
        ("messages/inbox/ann/message_1.json", False),
    ],
)
def test_paths_from_the_root_of_a_download_stay_in_its_chats(uri: str, is_had: bool, tmp_path: Path) -> None:
    root = tmp_path / "your_activity_across_facebook"
    for name in ("messages/inbox/eve/photos", "messages/stickers_used", "messages/inbox/ann", "other"):
        (root / name).mkdir(parents=True)
        (root / name / "1.jpg").write_bytes(b"\xff\xd8\xff")
    chat = {
        "participants": [{"name": "Eve"}, {"name": "Bob"}],
        "messages": [{"sender_name": "Eve", "timestamp_ms": 1_700_000_000_000, "photos": [{"uri": uri}]}],
    }
    for name in ("eve", "ann"):
        (root / "messages" / "inbox" / name / "message_1.json").write_text(json.dumps(chat))
    (document,) = (each for each in documents_at((root,)) if each.within.endswith("eve/message_1.json"))
    (piece,) = importer("meta").read(document, Options(), Reading(RECEIVED))
    assert isinstance(piece, Captured) and bool(piece.attached) is is_had


def test_where_only_files_lie_one_may_be_of_any_kind(tmp_path: Path) -> None:
    """A log that somebody sent is a file of the chat, where the format keeps nothing else beside it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log.ndjson").write_bytes(event_file(("x",)))
    document = next(each for each in documents_at((tmp_path,)))
    other = Document(document.tree, "import.jsonl", document.is_input)
    assert other.shared("log.ndjson", "data", only_files=True) is not None
    assert other.shared("data/log.ndjson") is None
    assert other.shared("../data/log.ndjson", "data", only_files=True) is None


def discord(paths: tuple[str, ...]) -> dict[str, Any]:
    said = {
        "type": "Default",
        "author": {"id": "1", "name": "Eve"},
        "content": "see",
        "timestamp": "2024-01-01T00:00:00+00:00",
    }
    sent = [said | {"id": str(n), "attachments": [{"url": each}]} for n, each in enumerate(paths)]
    return {"guild": {"id": "1", "name": "g"}, "channel": {"id": "2", "type": "GuildTextChat"}, "messages": sent}


def meta(paths: tuple[str, ...]) -> dict[str, Any]:
    sent = [{"sender_name": "Eve", "timestamp_ms": 10**12 + n, "files": [{"uri": p}]} for n, p in enumerate(paths)]
    return {"participants": [{"name": "Eve"}, {"name": "Bob"}], "messages": sent}


def from_the_root(paths: tuple[str, ...]) -> dict[str, Any]:
    return meta(tuple(f"your_activity/messages/inbox/eve/{each}" for each in paths))


def googlechat(paths: tuple[str, ...]) -> dict[str, Any]:
    sent = {"creator": {"email": "eve@example.org"}, "created_date": "Friday, January 5, 2024 at 9:00:00 AM UTC"}
    files = ([{"original_name": each, "export_name": each}] for each in paths)
    return {"messages": [sent | {"message_id": f"a/b/{n}", "attached_files": each} for n, each in enumerate(files)]}


MAIL = b"From: ann@example.org\nTo: bob@example.org\nDate: Thu, 20 Feb 2020 10:00:00 +0000\nSubject: hi\n\nprivate\n"
SENT = {
    "mail.eml": MAIL,
    "talk.vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ann>hi</v>\n",
    "2020-02-20.log": b"[10:00] <ann> hi\n",
    "result.json": json.dumps(telegram(("x",))).encode(),
    "page.pdf": b"%PDF-1.4\n",
    "photo.jpg": b"\xff\xd8\xff",
    "broken.gz": b"\x1f\x8b\x08broken",
}
KEEPERS = (
    ("telegram", "eve/result.json", telegram, "files/"),
    ("telegram", "eve/result.json", telegram, "chats/chat_01/files/"),
    ("discord", "eve/chat.json", discord, "chat.json_Files/"),
    ("meta", "messages/inbox/eve/message_1.json", meta, "files/"),
    ("meta", "messages/inbox/eve/message_1.json", from_the_root, "photos/"),
    ("googlechat", "Groups/DM eve/messages.json", googlechat, ""),
)
OTHERS = ("../ann/mail.eml", "{}../ann.eml", "{}ann/mail.eml", "{}to_ann", "{}.hidden.eml")
"""Beside the folder of what was sent, below a folder in it, by a link out of it, hidden."""


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "within", "write", "folder"), KEEPERS, ids=[f"{each[0]} {each[3]}" for each in KEEPERS]
)
def test_what_was_sent_may_be_of_any_kind_where_nothing_else_lies(
    name: str, within: str, write: Any, folder: str, packed: bool, named: bool, tmp_path: Path
) -> None:
    """It is attached, and neither input nor left alone; another's export is neither had nor hidden."""
    path = tmp_path / "in" / within
    kept, ann = path.parent / folder, path.parent.parent / "ann"
    for each in (kept / "ann", ann):
        each.mkdir(parents=True)
    for sent, content in SENT.items():
        (kept / sent).write_bytes(content)
    theirs = [ann / "mail.eml", kept / "ann" / "mail.eml", *([kept.parent / "ann.eml"] if folder else ())]
    for each in (*theirs, kept / ".hidden.eml"):
        each.write_bytes(MAIL)
    if not packed:
        (kept / "to_ann").symlink_to(ann / "mail.eml")
    paths = (*(f"{folder}{each}" for each in SENT), *(each.format(folder) for each in OTHERS))
    path.write_bytes(json.dumps(write(paths)).encode())
    root = Path(shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "in")) if packed else tmp_path / "in"
    leavings = Leavings()
    if named:
        documents = [each for each in chosen(importer(name), (root,), leave=leavings) if each.name == path.name]
    else:
        found = recognise((root,), leave=leavings).found
        assert len(found.pop("mail")) == len(theirs)
        ((format_, documents),) = [(key, list(value)) for key, value in found.items()]
        assert format_ == name
    (document,) = documents
    pieces = list(importer(name).read(document, Options(), Reading(RECEIVED)))
    captured = [each for each in pieces if isinstance(each, Captured) and each.event.type == "message.sent"]
    captured.sort(key=lambda each: each.time)
    assert [bool(each.attached) for each in captured] == [True] * len(SENT) + [False] * len(OTHERS)
    told = {each.why for each in leavings.told} - {"links that lead out of the folder", "links to files"}
    assert told == (set() if named else {leaving.SENT})


WORDS = "25/06/20, 10:00 - Ann: hi\n"
POSTS = (Path(__file__).parent.parent / "fixtures" / "mattermost" / "compliance" / "posts.csv").read_bytes()


def zipped(path: Path, content: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("WhatsApp Chat with Ann.txt", content)


@pytest.mark.parametrize("by_star", [False, True])
def test_an_export_that_was_sent_is_no_input_packed_or_marked(by_star: bool, tmp_path: Path) -> None:
    """Nor is an archive that can't be read a fault, every night."""
    (tmp_path / "result.json").write_text(json.dumps(telegram(("files/a.zip",))))
    kept = tmp_path / "files"
    kept.mkdir()
    zipped(kept / "a.zip", WORDS)
    (kept / "posts.csv").write_bytes(POSTS)
    (kept / "broken.zip").write_bytes(b"PK\x03\x04broken")
    leavings = Leavings()
    paths = sorted(tmp_path.iterdir()) if by_star else [tmp_path]
    assert list(recognise(paths, leave=leavings).found) == ["telegram"]
    assert [(each.why, each.count) for each in leavings.told] == [(leaving.SENT, 2)]
    leavings = Leavings()
    assert [each.name for each in chosen(importer("telegram"), paths, leave=leavings)] == ["result.json"]
    assert not leavings.told


@pytest.mark.parametrize(("export", "kept"), [("slack/export", "__uploads"), ("zulip", "uploads")])
def test_what_was_sent_in_a_workspace_is_no_input(export: str, kept: str, tmp_path: Path) -> None:
    root = next((Path(__file__).parent.parent / "fixtures" / export.split("/")[0]).rglob(MARK[kept])).parent
    shutil.copytree(root, tmp_path / "in")
    before = recognise([tmp_path / "in"]).found
    (tmp_path / "in" / kept / "F1").mkdir(parents=True, exist_ok=True)
    (tmp_path / "in" / kept / "F1" / "posts.csv").write_bytes(POSTS)
    zipped(tmp_path / "in" / kept / "F1" / "a.zip", WORDS)
    assert recognise([tmp_path / "in"]).found.keys() == before.keys()


MARK = {"__uploads": "users.json", "uploads": "realm.json"}


@pytest.mark.parametrize("name", ["Groups/DM eve/messages.json", "WhatsApp Chat with Eve.txt"])
def test_a_chat_is_read_though_a_file_was_sent_that_marks_an_export(name: str, tmp_path: Path) -> None:
    chat = tmp_path / name
    chat.parent.mkdir(parents=True, exist_ok=True)
    chat.write_text(json.dumps(googlechat(("posts.csv",))) if name.endswith(".json") else WORDS)
    (chat.parent / "posts.csv").write_bytes(POSTS)
    found = recognise([tmp_path]).found
    assert chat.name in [each.name for each in (*found.get("googlechat", ()), *found.get("whatsapp", ()))]
    assert "googlechat" not in found or "mattermost-csv" not in found


def test_a_chat_does_not_get_a_log_that_begins_with_a_day(tmp_path: Path) -> None:
    """Nor can it keep one from being read unnoticed."""
    chat = tmp_path / "WhatsApp Chat with Eve.txt"
    chat.write_text("25/06/20, 10:00 - Eve: 01122023-board.log (file attached)\n")
    (tmp_path / "01122023-board.log").write_bytes(b"[10:00] <ann> secret\n")
    leavings = Leavings()
    assert set(recognise([tmp_path], leave=leavings).found) == {"whatsapp"}
    assert [(each.why, each.such) for each in leavings.told] == [
        (leaving.CHAT_S_OWN, [f"{tmp_path}/01122023-board.log"])
    ]
    assert leaving.CHAT_S_OWN not in leaving.EXPECTED
    assert set(recognise([tmp_path / "01122023-board.log"]).found) == {"irc"}
    (document,) = [each for each in documents_at([tmp_path]) if each.name == chat.name]
    pieces = importer("whatsapp").read(document, Options(), Reading(RECEIVED))
    assert not any(each.attached for each in pieces if isinstance(each, Captured))


@pytest.mark.parametrize("pack", ["zip", "tar"])
def test_a_name_of_an_archive_that_no_file_can_have_is_left_out(pack: str, tmp_path: Path) -> None:
    """It has thousands of folders, and each would be looked at and remembered."""
    path, name = tmp_path / f"a.{pack}", "a/" * 3_000 + "x.bin"
    if pack == "zip":
        with zipfile.ZipFile(path, "w") as zip_:
            zip_.writestr(name, "x")
    else:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(tarfile.TarInfo(name))
    leavings = Leavings()
    assert not recognise([path], leave=leavings).found
    assert [(each.why, each.count) for each in leavings.told] == [
        ("in archives: a name too long to be one of a file", 1)
    ]


def test_a_path_as_long_as_a_line_may_be_takes_no_more_memory_than_the_line(tmp_path: Path) -> None:
    """`finditer` remembers each step of a repetition until its end."""
    path, size = tmp_path / "a.ndjson", 2 * 1024 * 1024
    path.write_bytes(b'{"specversion": "1.0", "path": "%s"}\n{"path": "b.pdf"}\n' % (b"a" * size))
    tracemalloc.start()
    try:
        assert list(Events().named(document_at(path))) == ["b.pdf"]
        assert tracemalloc.get_traced_memory()[1] < 8 * size
    finally:
        tracemalloc.stop()
