"""How much memory reading takes: none that grows with a document, but for the few that have to be read whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from contracts.importer import RECEIVED
from large_documents import MARK, WRITERS

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading, jsonfile, mbox, rsmf
from archiver.importers.recognising import document_at

WHOLE = frozenset(("jigasi", "meta", "rsmf"))
"""Formats whose documents are one JSON value each, read whole."""
SMALL, LARGE = 3_000, 75_000
"""Messages: somewhat over 1 MB, and 25 times as much."""
WEIGHT = {"items": 5}
"""An item has each message three times, and its header."""
ALLOWED = 12 * 1024
"""KiB that a process may differ by: what is looked at ahead, and an allocator keeps; there are 30 MiB more to read."""

READING = """
import json, sys
from pathlib import Path
from archiver.events import Captured
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at
# What is remembered has a bound of its own: with a small one it can't hide what has none.
for module in list(sys.modules.values()):
    if getattr(module, "REMEMBERED", 0):
        module.REMEMBERED = 1_000
options = Options(zone="UTC", network="x")
pieces = IMPORTERS[sys.argv[1]].read(document_at(Path(sys.argv[2])), options, Reading(1_800_000_000_000_000))
said = rejected = 0
for piece in pieces:
    said += isinstance(piece, Captured) and piece.event.type in ("message.sent", "speech.transcribed")
    rejected += not isinstance(piece, Captured)
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(json.dumps({"said": said, "rejected": rejected, "peak": int(peak)}))
"""


def reading(name: str, folder: Path, count: int) -> int:
    """The most memory, in KiB, that a process took which reads a document of so many messages and does nothing else."""
    folder.mkdir()
    path = WRITERS[name](folder, count)
    command = [sys.executable, "-c", READING, name, str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout)
    assert (told["said"], told["rejected"]) == (count, 0)
    return int(told["peak"])


def test_there_is_a_document_of_each_format() -> None:
    assert set(WRITERS) == set(IMPORTERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(IMPORTERS) - WHOLE))
def test_a_document_of_25_times_the_size_takes_no_more_memory(name: str, tmp_path: Path) -> None:
    counts = (count // WEIGHT.get(name, 1) for count in (SMALL, LARGE))
    small, large = (reading(name, tmp_path / str(count), count) for count in counts)
    assert large - small < ALLOWED


# What is held as a whole has a limit


def lengthened(path: Path, size: int) -> None:
    """With blanks, which change nothing of what it says, to more than so many bytes."""
    with path.open("ab") as out:
        out.write(b" " * (size - path.stat().st_size + 1))


SAID = ("message.sent", "speech.transcribed")


def read(name: str, path: Path) -> tuple[int, list[Rejected]]:
    """How many messages came, and what was refused."""
    pieces = list(IMPORTERS[name].read(document_at(path), Options(), Reading(RECEIVED)))
    said = [each for each in pieces if isinstance(each, Captured) and each.event.type in SAID]
    return len(said), [each for each in pieces if isinstance(each, Rejected)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "long", "kept"),
    [
        *((name, "", 0) for name in sorted(WHOLE)),
        ("slack", "users.json", 2_000),
        ("slack", "channels.json", 0),
        ("slack", "general/2000-01-02.json", 1_000),
        ("zulip", "realm.json", 0),
        ("googlechat", "group_info.json", 2_000),
    ],
)
def test_a_document_that_is_read_whole_is_refused_above_the_limit(
    name: str, long: str, kept: int, tmp_path: Path
) -> None:
    """Of an export of many files only that one is: without people their ids stand, without rooms nobody can say where
    what was said belongs."""
    path = WRITERS[name](tmp_path, 2_000)
    (tmp_path / "group_info.json").write_text('{"name": "Team"}')
    assert read(name, path) == (2_000, [])
    lengthened(tmp_path / long if long else path, jsonfile.WHOLE_LIMIT)
    count, rejected = read(name, path)
    (refused,) = [each for each in rejected if "no list of the export" not in each.reason]
    assert (count, refused.reason) == (kept, f"larger than {jsonfile.WHOLE_LIMIT:,} bytes")
    assert refused.position == str(tmp_path / long if long else path)


@pytest.mark.slow
def test_a_packed_rsmf_file_is_refused_above_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "day.rsmf"
    path.write_bytes(b"X-RSMF-Version: 2.0.0\n\n")
    lengthened(path, rsmf.LARGEST)
    count, (refused,) = read("rsmf", path)
    assert (count, refused.reason) == (0, f"larger than {rsmf.LARGEST:,} bytes")


MIB = 1024 * 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "limit", "rest"),
    [
        *((name, mbox.LARGEST, True) for name in ("mail", "mattermost-globalrelay")),
        *((name, 16 * MIB, True) for name in ("events", "mattermost")),
        *((name, MIB // 16, True) for name in ("irc", "signal", "webvtt", "whatsapp", "zoomchat")),
        *((name, limit, True) for name, limit in (("mattermost-csv", MIB // 2), ("pidgin", MIB))),
        *((name, 16 * MIB, False) for name in ("discord", "googlechat", "matrix", "skype", "teams", "telegram")),
        *((name, MIB, False) for name in ("adium", "bigbluebutton", "mattermost-actiance", "xmpp")),
    ],
)
def test_of_a_stream_one_piece_above_the_limit_is_refused(name: str, limit: int, rest: bool, tmp_path: Path) -> None:
    """`rest`: the others come, too; in JSON and XML nobody can go on behind it, and what came before counts."""
    path = WRITERS[name](tmp_path, 10_000)
    said = path.read_bytes().split(MARK.encode())
    said[5_000] = b"long " * (limit // 5) + b"x" * MIB + said[5_000]
    path.write_bytes(MARK.encode().join(said))
    count, (refused,) = read(name, path)
    assert f"{limit:,}" in refused.reason
    assert count == (9_999 if rest else 4_999)
