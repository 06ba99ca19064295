"""One item is the same transcript wherever it is read: at the terminal, as JSON, and over a mail server's IMAP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from builders import say
from imapclient import IMAPClient
from servers.dovecot import dovecot, mail_directory

from archiver.events import ndjson
from archiver.logs import plain
from system.archives import FOLDER, archiver, owned_by_mail_user

pytestmark = [pytest.mark.server, pytest.mark.slow]

ALICE, BOB = "alice@example.org", "bob@example.org"
TALKS = {
    "plain": ["hello", "and good bye"],
    "scripts": ["午安，會議 10:00 開始", "שלום — Größe 👩\u200d👩\u200d👧"],
    "long": ["word " * 400, "=20 =3D soft=\nbreaks  \n-- \nFrom here on", "> quoted\n.\n..\n"],
    "hostile": [
        "\x1b[31mred\x1b]8;;http://example.org\x07click\x1b]8;;\x07",
        "\u202eevil\u202c\r\nSubject: forged\x9b2J",
    ],
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Path, IMAPClient]]:
    with mail_directory() as root:
        owned_by_mail_user(root)
        (root / "mail").mkdir(mode=0o755)
        people = [ALICE, BOB]
        talk = [
            say(people[n % 2], text, n, id=f"{room}-{n}", room=room, topic=room, present=people)
            for room, texts in TALKS.items()
            for n, text in enumerate(texts)
        ]
        (root / "events.ndjson").write_bytes(ndjson(talk))
        archiver(root, "backfill", "events", str(root / "events.ndjson"), config=root / "archiver.toml")
        with dovecot(root / "mail") as server, server.login(ALICE) as client:
            client.select_folder(FOLDER, readonly=True)
            yield root, client


def section_of(structure: Sequence[object], above: str = "") -> str | None:
    """The section of the first text/plain part (RFC 3501, 6.4.5)."""
    if not isinstance(structure[0], list):
        is_text = (bytes(structure[0]).lower(), bytes(structure[1]).lower()) == (b"text", b"plain")  # type: ignore[arg-type]
        return (above or "1") if is_text else None
    found = (section_of(part, f"{above}.{number}".strip(".")) for number, part in enumerate(structure[0], 1))
    return next((section for section in found if section), None)


def over_imap(client: IMAPClient, room: str) -> str:
    """The text part alone, as the server gives it out, decoded as its own header says."""
    (number,) = client.search(["HEADER", "X-Archiver-Conversation", room])
    structure = client.fetch([number], ["BODYSTRUCTURE"])[number][b"BODYSTRUCTURE"]
    section = section_of(structure)
    answer = client.fetch([number], [f"BODY.PEEK[{section}.MIME]", f"BODY.PEEK[{section}]"])[number]
    header, body = (answer[f"BODY[{section}{more}]".encode()] for more in (".MIME", ""))
    return str(message_from_bytes(header + body, policy=policy.default).get_content()).replace("\r\n", "\n")


@pytest.mark.parametrize("room", TALKS)
def test_terminal_json_and_imap_show_the_same_transcript(served: tuple[Path, IMAPClient], room: str) -> None:
    root, client = served
    there = over_imap(client, room)
    config = root / "archiver.toml"
    assert room in there and "Alice" in there and there.count("00:00:0") >= len(TALKS[room])
    assert json.loads(archiver(root, "--json", "inspect", ALICE, room, config=config))["text"] == there
    shown = archiver(root, "inspect", ALICE, room, config=config)
    _, _, transcript = shown.partition("\n\n")
    lines = there.rstrip("\n").split("\n")
    assert transcript == "".join(f"{plain(line.expandtabs())}\n" for line in lines)
    if room != "hostile":
        assert transcript.rstrip("\n") == there.rstrip("\n").replace("\u200d", r"\u200d"), "nothing of it is an escape"
