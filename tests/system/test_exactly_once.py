"""Every message of real logs is in the right mailboxes exactly once, counted by other programs than ours.

What is right is worked out from the raw log by a few crude lines here: a person is there from their first own line
until thirty minutes after their last, under every nickname they change to.
"""

from __future__ import annotations

import mailbox
import re
from collections import Counter
from pathlib import Path

import pytest
from servers.dovecot import dovecot, mail_directory

from system.archives import FIXTURES, FOLDER, archiver, owned_by_mail_user, parsed, said, text_of

pytestmark = pytest.mark.slow

LOG = FIXTURES / "irc" / "2016-12-19_20.raw.txt"
LINE = re.compile(r"\[(\d\d):(\d\d)\] (?:<(?P<nick>[^>]+)> (?P<text>.*)| \* (?P<who>\S+) (?P<does>.*))")
CHANGE = re.compile(r"=== (\S+) is now known as (\S+)")
STAYS = 30
IDLE = 10
SPAN = 12 * 60


def expected() -> dict[str, list[str]]:
    """By speaker: the texts said while they were there, of the conversations in which they spoke."""
    acted: dict[str, int] = {}
    talks: list[list[tuple[str, str, frozenset[str]]]] = []
    last = begun = -IDLE - 1
    for line in LOG.read_text(encoding="utf-8").splitlines():
        if change := CHANGE.match(line):
            old, new = change.groups()
            acted.pop(old, None)
            acted[new] = last
        match = LINE.match(line)
        if match is None or match["nick"] is None:
            continue
        minute = max(int(match[1]) * 60 + int(match[2]), last)
        if minute - last > IDLE or minute - begun >= SPAN:
            talks.append([])
            begun = minute
        last = acted[match["nick"]] = minute
        here = frozenset(each for each, at in acted.items() if minute - at <= STAYS)
        talks[-1].append((match["nick"], match["text"], here))
    heard: dict[str, list[str]] = {}
    for talk in talks:
        for who in {speaker for speaker, _, _ in talk}:
            heard.setdefault(who, []).extend(text for _, text, here in talk if who in here)
    return heard


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("archive")
    archiver(data, "backfill", "irc", "--channel", "#ubuntu", "--network", "libera", str(LOG))
    return data


def items(data: Path, person: str) -> list[bytes]:
    """Through Python's own reader."""
    folder = mailbox.Maildir(data / "mail" / "libera" / person, create=False).get_folder(FOLDER)
    return [folder.get_bytes(key) for key in folder.keys()]  # noqa: SIM118


def plain_people(data: Path) -> list[str]:
    """People whose folder is named as they are: no byte of theirs needed escaping."""
    return sorted(path.name for path in (data / "mail" / "libera").iterdir() if "%" not in path.name)


def spoken(data: Path, person: str) -> Counter[tuple[str, str]]:
    """(speaker, text) of what lies in a mailbox, actions left out: the crude lines here don't know them."""
    found = Counter(pair for item in items(data, person) for pair in said(parsed(item)))
    return Counter({pair: count for pair, count in found.items() if pair[1].split(" ")[0] != "/me"})


def test_every_message_is_in_its_speakers_mailbox_exactly_once(data: Path) -> None:
    by_speaker: dict[str, Counter[str]] = {}
    for match in map(LINE.match, LOG.read_text(encoding="utf-8").splitlines()):
        if match is not None and match["nick"]:
            by_speaker.setdefault(match["nick"].casefold(), Counter())[match["text"]] += 1
    people = plain_people(data)
    assert len(set(people) & set(by_speaker)) > 100
    for person in people:
        own: Counter[str] = Counter()
        for (who, text), count in spoken(data, person).items():
            own[text] += count if who.casefold() == person else 0
        assert +own == by_speaker.get(person, Counter()), person


def test_who_never_changed_names_has_just_what_was_said_while_they_were_there(data: Path) -> None:
    told = expected()
    lines = LOG.read_text(encoding="utf-8").splitlines()
    renamed = {nick.casefold() for line in lines if (change := CHANGE.match(line)) for nick in change.groups()}
    once = Counter(nick.casefold() for nick in told)
    checked = 0
    for nick, texts in told.items():
        name = nick.casefold()
        acting = any(nick in line for line in lines if line.startswith("===") or "  * " in line)
        if name in renamed or once[name] > 1 or acting or not (data / "mail" / "libera" / name).is_dir():
            continue
        got: Counter[str] = Counter()
        for (_, text), count in spoken(data, name).items():
            got[text] += count
        assert got == Counter(texts), nick
        checked += 1
    assert checked > 80


@pytest.mark.slow
def test_the_text_part_shows_each_message_once(data: Path) -> None:
    for person in plain_people(data):
        for item in items(data, person):
            message = parsed(item)
            text = text_of(message)
            for who, said_text in set(said(message)):
                if len(said_text) > 40 and not said_text.startswith("/me"):
                    times = [each for each in said(message) if each == (who, said_text)]
                    assert text.count(said_text.strip()) >= len(times), said_text


@pytest.mark.slow
@pytest.mark.server
def test_dovecot_counts_the_same(data: Path) -> None:
    with mail_directory() as root:
        archiver(
            root,
            *("backfill", "irc", "--channel", "#ubuntu", "--network", "libera", str(LOG)),
            config=owned_by_mail_user(root),
        )
        with dovecot(root / "mail") as server:
            for person in plain_people(data)[:40]:
                with server.login(f"{person}@libera") as client:
                    client.select_folder(FOLDER, readonly=True)
                    fetched = client.fetch(client.search(), ["BODY.PEEK[]"])
                through_imap = Counter(said_in(fetched[uid][b"BODY[]"]) for uid in fetched)
                assert through_imap == Counter(said_in(item) for item in items(data, person)), person


def said_in(content: bytes) -> tuple[tuple[str, str], ...]:
    return tuple(said(parsed(content)))
