"""Years of #ubuntu into a thousand mailboxes: every message in its author's folder once, a second run files nothing.

Counted through Python's own mailbox; what was said is read from the raw logs by one crude pattern, which knows no
actions.
"""

from __future__ import annotations

import csv
import json
import mailbox
import re
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest

from system.archives import FIXTURES, FOLDER, archiver, listing, parsed, said

pytestmark = pytest.mark.slow

LOAD = sorted((FIXTURES / "irc" / "ubuntu-load").glob("*.raw.txt"))
DEV = [*sorted((FIXTURES / "irc" / "dev").glob("*.raw.txt")), *sorted((FIXTURES / "irc").glob("20*_*.raw.txt"))]
SAID = re.compile(rb"^\[\d\d:\d\d\] (?:<(?P<nick>[^>]+)>|-(?P<who>[^:\s]+):#\S+-)(?: (?P<text>.*))?$")
FORMATTING = re.compile("\x03(?:\\d{1,2}(?:,\\d{1,2})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]")
NICK = re.compile(rb"^=== (\S+) is now known as (\S+)|^===  ?(?:\* )?(\S+)|^\[\d\d:\d\d\]  \* (\S+)")
MAILBOXES = 1_000
Said = Counter[tuple[str, str]]


def decoded(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("windows-1252", "replace")
    return FORMATTING.sub("", text).replace("\0", "\ufffd")


def owner_of(nick: str) -> str:
    return f"u{crc32(nick.casefold().encode()) % MAILBOXES}@example.org"


def raw_messages() -> tuple[dict[str, Said], set[str]]:
    """What everybody said, by mailbox; and all nicknames."""
    wanted: dict[str, Said] = {}
    nicks: set[str] = set()
    for path in (*LOAD, *DEV):
        for raw in path.read_bytes().splitlines():
            match = SAID.match(raw)
            if match is not None:
                nick, text = (
                    decoded(match["nick"] or match["who"]).replace(" ", ""),
                    decoded(match["text"] or b"").rstrip(),
                )
                wanted.setdefault(owner_of(nick), Counter())[nick, text] += 1
                nicks.add(nick)
            elif came := NICK.match(raw):
                nicks |= {decoded(each) for each in came.groups() if each}
    return wanted, nicks


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Said]]:
    data = tmp_path_factory.mktemp("load")
    wanted, nicks = raw_messages()
    people = data / "people.csv"
    with people.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("address", "mailbox"))
        folded = {nick.casefold(): nick for nick in sorted(nicks)}
        rows.writerows((nick, owner_of(nick)) for nick in folded.values())
    config = data / "archiver.toml"
    config.write_text(f"[directory]\nfile = '{people}'\n")
    run(data / "data", config)
    return data / "data", config, wanted


def run(data: Path, config: Path) -> dict[str, int]:
    named = ("--channel", "#ubuntu", "--network", "libera", *map(str, LOAD + DEV))
    report = json.loads(archiver(data, "backfill", "irc", "--json", *named, config=config, timeout=900))
    return dict(report)


def test_every_message_is_in_its_authors_folder_once(filed: tuple[Path, Path, dict[str, Said]]) -> None:
    data, _, wanted = filed
    assert sum(sum(each.values()) for each in wanted.values()) > 55_000
    assert len(list((data / "mail" / "example.org").iterdir())) == len(wanted) > 950
    for owner, texts in wanted.items():
        folder = mailbox.Maildir(data / "mail" / "example.org" / owner.partition("@")[0], create=False)
        items = folder.get_folder(FOLDER)
        found: Said = Counter()
        for key in items.keys():  # noqa: SIM118
            found.update(said(parsed(items.get_bytes(key))))
        mine = {pair: n for pair, n in found.items() if owner_of(pair[0]) == owner and pair[1].split(" ")[0] != "/me"}
        own = Counter(mine)
        assert own == Counter({pair: n for pair, n in texts.items() if pair[1].split(" ")[0] != "/me"}), owner


def test_a_second_run_files_nothing(filed: tuple[Path, Path, dict[str, Said]]) -> None:
    data, config, _ = filed
    before = {name: stamp for name, (stamp, _) in listing(data).items()}
    report = run(data, config)
    assert report["skipped"] == len(LOAD) + len(DEV), "known by their content, and not read"
    assert report["accepted"] == report["conflicts"] == report["quarantined"] == 0
    assert {name: stamp for name, (stamp, _) in listing(data).items()} == before
