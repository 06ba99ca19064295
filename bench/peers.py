"""The same items by others' means: the standard library's `mailbox`, and `mdeliver` of mblaze as a script uses it."""

from __future__ import annotations

import mailbox
import shutil
import subprocess
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from msgspec import Struct

from archiver.store import Put

Places = dict[tuple[str, str], Path]

# Parameters and transfer encodings are the library's to choose; all other fields are an item's own.
_MADE_BY_LIBRARY = {"content-type", "content-transfer-encoding", "mime-version"}
_SCRIPT = """while read -r message folder; do
    mdeliver -c -X S "$folder" <"$message" || exit
done
"""


class Parts(Struct, frozen=True):
    """What an item is made of, before it is a message."""

    fields: list[tuple[str, str]]
    text: str
    html: str
    events: bytes


def places(puts: Sequence[Put]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((put.mailbox, put.folder) for put in puts))


def make_folders(root: Path, puts: Sequence[Put]) -> Places:
    made: Places = {}
    for number, place in enumerate(places(puts)):
        made[place] = root / f"mailbox{number}"
        for name in ("cur", "new", "tmp"):
            (made[place] / name).mkdir(parents=True)
    return made


# The standard library


def make_boxes(root: Path, puts: Sequence[Put]) -> dict[tuple[str, str], mailbox.Maildir]:
    return {place: mailbox.Maildir(folder, create=False) for place, folder in make_folders(root, puts).items()}


def parts_of(content: bytes) -> Parts:
    """Taken from a ready item, so that both sides file the same."""
    parsed = message_from_bytes(content, policy=policy.default)
    fields = [(name, str(value)) for name, value in parsed.items() if name.lower() not in _MADE_BY_LIBRARY]
    by_type = {part.get_content_type(): part for part in parsed.walk()}
    return Parts(
        fields,
        by_type["text/plain"].get_content(),
        by_type["text/html"].get_content(),
        by_type["application/gzip"].get_content(),
    )


def message(parts: Parts) -> EmailMessage:
    made = EmailMessage()
    for name, value in parts.fields:
        made[name] = value
    made.set_content(parts.text)
    made.add_alternative(parts.html, subtype="html")
    made.add_attachment(parts.events, "application", "gzip", filename="conversation.ndjson.gz")
    return made


# mblaze


def has_mdeliver() -> bool:
    return shutil.which("mdeliver") is not None


def mdeliver_script(root: Path, puts: Sequence[Put]) -> tuple[Path, Path]:
    """Ready messages as files, and a list of which goes where; the shell starts processes with the least ado."""
    folders = make_folders(root, puts)
    ready = root / "ready"
    ready.mkdir()
    lines = []
    for number, put in enumerate(puts):
        (ready / str(number)).write_bytes(put.item.content)
        lines.append(f"{ready / str(number)} {folders[put.mailbox, put.folder]}\n")
    (root / "list").write_text("".join(lines))
    (root / "deliver").write_text(_SCRIPT)
    return root / "deliver", root / "list"


def run_script(script: tuple[Path, Path]) -> None:
    with script[1].open() as lines:
        subprocess.run(["sh", str(script[0])], stdin=lines, check=True)
