"""What people do with real mail clients is told, and is no damage: over Dovecot, and in a copy that mbsync made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import HOUR, say
from servers.dovecot import PASSWORD, Dovecot, dovecot, mail_directory

from archiver.events import ndjson
from system.archives import FOLDER, archiver, owned_by_mail_user

pytestmark = [pytest.mark.server, pytest.mark.slow]

ALICE, BOB = "alice@example.org", "bob@example.org"
ROOMS = ("stays", "moved", "copied", "flagged", "deleted", "expunged", "back", "appended", "altered", "kept-in-folder")


class Served:
    """Ten items for each of two people, and a mail server over them."""

    def __init__(self, root: Path, server: Dovecot) -> None:
        self.root = root
        self.server = server
        people = [ALICE, BOB]
        events = [
            say(people[n], f"text {n}", number * HOUR + n, id=f"{room}-{n}", room=room, present=people)
            for number, room in enumerate(ROOMS)
            for n in range(2)
        ]
        path = root / "events.ndjson"
        path.write_bytes(ndjson(events))
        archiver(root, "backfill", "events", str(path), config=self.config)

    @property
    def config(self) -> Path:
        return self.root / "archiver.toml"

    def verify(self, *arguments: str, status: int = 0) -> list[dict[str, str]]:
        told = archiver(self.root, "--json", "inspect", "--verify", *arguments, status=status, config=self.config)
        return json.loads(told)  # type: ignore[no-any-return]


@pytest.fixture
def served() -> Iterator[Served]:
    with mail_directory() as root:
        owned_by_mail_user(root)
        (root / "mail").mkdir(mode=0o755)
        with dovecot(root / "mail") as server:
            yield Served(root, server)


def use(served: Served) -> None:
    """Alice does what people do."""
    with served.server.login(ALICE) as client:
        client.create_folder("Kept")
        client.create_folder("Trash")
        client.select_folder(FOLDER)

        def uid(room: str) -> list[int]:
            return client.search(["HEADER", "X-Archiver-Conversation", room])

        client.move(uid("moved"), "Kept")
        client.copy(uid("copied"), "Kept")
        client.add_flags(uid("flagged"), [rb"\Flagged", "$Important"])
        client.remove_flags(uid("flagged"), [rb"\Seen"])
        client.delete_messages(uid("expunged"))
        client.expunge()
        client.delete_messages(uid("deleted"))
        (content,) = [data[b"BODY[]"] for data in client.fetch(uid("appended"), ["BODY.PEEK[]"]).values()]
        client.append("Kept", content, [rb"\Seen"])
        (content,) = [data[b"BODY[]"] for data in client.fetch(uid("altered"), ["BODY.PEEK[]"]).values()]
        client.append("Kept", content.replace(b"text 0", b"TEXT 0"), [rb"\Seen"])
        client.move(uid("back"), "Kept")
        client.select_folder("Kept")
        client.move(uid("back"), FOLDER)


def codes(told: list[dict[str, str]]) -> Counter[str]:
    assert not [each for each in told if each["kind"] != "information"]
    return Counter(each["code"] for each in told)


DONE = Counter({"moved": 1, "copied": 1, "deleted": 2, "flagged": 2, "put-back": 1, "altered-copy": 1})


def test_what_is_done_over_imap_is_no_damage(served: Served) -> None:
    assert served.verify() == []
    use(served)
    told = codes(served.verify(ALICE))
    assert told == DONE
    assert served.verify(BOB) == []
    assert codes(served.verify("--repair")) == told, "there is nothing to mend"
    text = archiver(served.root, "inspect", "--verify", config=served.config)
    assert "No damage: " in text and "2 deleted by their owners" in text and "1 moved to other folders" in text


def test_a_folder_renamed_and_one_deleted_over_imap_is_no_damage(served: Served) -> None:
    with served.server.login(ALICE) as client:
        client.rename_folder(FOLDER, "Talks")
    assert codes(served.verify(ALICE)) <= Counter({"moved": len(ROOMS)})
    with served.server.login(BOB) as client:
        client.delete_folder(FOLDER)
    assert codes(served.verify(BOB)) == Counter({"deleted": len(ROOMS)})


MBSYNC = """
IMAPAccount there
Host 127.0.0.1
Port {port}
User {user}
Pass {password}
{plain}
AuthMechs LOGIN

IMAPStore there
Account there

MaildirStore here
Inbox {copy}
SubFolders Maildir++

Channel all
Far :there:
Near :here:
Patterns *
Create Near
Sync Pull
SyncState *
"""


def synced(served: Served, copy: Path) -> Path:
    binary = shutil.which("mbsync")
    assert binary, "mbsync is not installed: apt-get install isync"
    config = served.root / "mbsyncrc"
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    plain = "TLSType None" if tuple(map(int, version.split()[1].split(".")[:2])) >= (1, 5) else "SSLType None"
    config.write_text(
        MBSYNC.format(port=served.server.port, user=ALICE, password=PASSWORD, copy=copy, plain=plain), encoding="utf-8"
    )
    copy.mkdir(mode=0o700)
    done = subprocess.run(
        [binary, "-c", str(config), "-a"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HOME": str(served.root)},
    )
    assert done.returncode == 0, done.stderr
    return copy


def test_a_copy_that_mbsync_made_of_a_used_mailbox_is_whole(served: Served, tmp_path: Path) -> None:
    use(served)
    copy = synced(served, tmp_path / "copy")
    told = json.loads(archiver(tmp_path / "empty", "--json", "inspect", "--verify", "--maildir", str(copy)))
    assert codes(told)["altered-copy"] == 1
    kept = copy / ".Kept/cur"
    (altered,) = [path for path in kept.iterdir() if b"TEXT 0" in path.read_bytes()]
    (sound,) = [
        path
        for path in (copy / f".{FOLDER}/cur").iterdir()
        if b"text 0" in path.read_bytes() and b"conversation: altered\n" in path.read_bytes().lower()
    ]
    sound.unlink()
    (problem,) = [
        each
        for each in json.loads(
            archiver(tmp_path / "empty", "--json", "inspect", "--verify", "--maildir", str(copy), status=1)
        )
        if each["kind"] == "problem"
    ]
    assert problem["code"] == "item-changed" and problem["place"].endswith(altered.name.partition(":")[0])


def test_a_copy_that_mbsync_made_is_whole(served: Served, tmp_path: Path) -> None:
    copy = synced(served, tmp_path / "copy")
    assert len([path for path in copy.rglob("cur/*") if path.is_file()]) == len(ROOMS)
    empty = tmp_path / "empty"
    assert archiver(empty, "inspect", "--verify", "--maildir", str(copy)).endswith("checked, all as filed.\n")
    assert not empty.exists()
    (item, *_) = sorted(copy.rglob("cur/*"))
    item.write_bytes(item.read_bytes().replace(b"text ", b"TEXT ", 1))
    (problem,) = json.loads(archiver(empty, "--json", "inspect", "--verify", "--maildir", str(copy), status=1))
    assert problem["code"] == "item-changed"
