"""scripts/backfill, as cron runs it; and whether there is room, told beforehand."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard
from builders import say

from archiver.backfill import room
from archiver.backfill.extent import SMALL, Extent, extent_of
from archiver.events import ndjson
from archiver.exceptions import EnvironmentFault
from archiver.importers import IMPORTERS
from archiver.importers.recognising import document_at, recognise

ROOT = Path(__file__).parent.parent
GIB = 2**30


def scripted(tmp_path: Path, path: Path, archiver: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`archiver` is the command that it runs, else ours."""
    archiver = archiver or Path(sys.executable).with_name("archiver")
    command = [ROOT / "scripts" / "backfill", tmp_path / "logs", "--data", tmp_path / "data", "backfill", path]
    environment = {**os.environ, "ARCHIVER": str(archiver)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.slow
def test_the_script_keeps_log_and_report_and_speaks_only_of_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(ndjson([say("alice@example.org", "hello", 0, id="1")]))
    done = scripted(tmp_path, path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (report,) = (tmp_path / "logs").glob("*.json")
    assert json.loads(report.read_text())["accepted"] == 1
    (tmp_path / "in").mkdir()
    path.rename(tmp_path / "in" / path.name)
    (tmp_path / "in" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    assert scripted(tmp_path, tmp_path / "in").stderr == ""
    (tmp_path / "in" / "evil.db").write_bytes(bytes(range(256)))
    left = scripted(tmp_path, tmp_path / "in")
    assert left.returncode == 0 and left.stderr.startswith("Left alone: 1 file (of no known format")
    missing = scripted(tmp_path, tmp_path / "nowhere.ndjson")
    assert missing.returncode == 2 and "no such file" in missing.stderr


def test_while_the_last_one_runs_it_leaves_at_once(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = scripted(tmp_path, tmp_path / "nowhere.ndjson")
    assert (done.returncode, done.stderr) == (0, "") and not list((tmp_path / "logs").glob("*.log"))


def test_what_it_runs_stands_behind_everybody_else(tmp_path: Path) -> None:
    """As the kernel has it: the nice value is field 19 of proc(5)'s stat, the disk's class and rank are ionice(1)'s."""
    command = tmp_path / "archiver"
    command.write_text("#!/bin/sh\ncut -d ' ' -f 19 /proc/$$/stat\nionice -p $$\n")
    command.chmod(0o755)
    assert scripted(tmp_path, tmp_path / "export.ndjson", command).returncode == 0
    (report,) = (tmp_path / "logs").glob("*.json")
    nice, disk = report.read_text().splitlines()
    assert int(nice) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert disk == "best-effort: prio 7"


def free(monkeypatch: pytest.MonkeyPatch, disks: dict[Path, int]) -> None:
    """What is free below each folder, all of them file systems of their own."""
    numbers = {folder: n for n, folder in enumerate(disks)}
    real = Path.stat

    def stat(path: Path, **more: Any) -> Any:
        return SimpleNamespace(st_dev=numbers[path]) if path in numbers else real(path, **more)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=disks[path]))


@pytest.mark.parametrize(
    ("data_free", "mail_free", "extent", "fault"),
    [
        (0, 0, Extent(room.LARGE - 1, 0), None),
        (12 * GIB, 15 * GIB, Extent(10 * GIB, 0), None),
        (12 * GIB - 1, 99 * GIB, Extent(10 * GIB, 0), "data: 12.0 GiB are likely to be needed, 12.0 GiB are free"),
        (99 * GIB, 14 * GIB, Extent(10 * GIB, 0), "mail: 15.0 GiB are likely to be needed, 14.0 GiB are free"),
        (99 * GIB, 27 * GIB, Extent(0, 10 * GIB), "mail: 28.0 GiB are likely to be needed, 27.0 GiB are free"),
        (9 * GIB, 99 * GIB, Extent(0, 10 * GIB), "data: 10.0 GiB are likely to be needed, 9.0 GiB are free"),
    ],
)
def test_room_is_asked_for_on_each_disk(
    data_free: int, mail_free: int, extent: Extent, fault: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, mail = tmp_path / "data", tmp_path / "mail"
    data.mkdir()
    mail.mkdir()
    with monkeypatch.context() as patched, pytest.raises(EnvironmentFault) if fault else nullcontext() as raised:
        free(patched, {data: data_free, mail: mail_free})
        room.require_room(data, mail / "not" / "there", extent)
    assert not fault or fault in str(raised.value)


def test_the_copy_of_a_database_needs_room_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(room, "gettempdir", lambda: str(temporary))
    with monkeypatch.context() as patched:
        free(patched, {tmp_path: 99 * GIB, temporary: 3 * GIB})
        room.require_room(tmp_path, tmp_path / "mail", Extent(4 * GIB, 0, 3 * GIB))
        with pytest.raises(EnvironmentFault, match=r"tmp: 4\.0 GiB are likely to be needed"):
            room.require_room(tmp_path, tmp_path / "mail", Extent(4 * GIB, 0, 4 * GIB))


@pytest.mark.parametrize("packed", [True, False])
def test_only_a_database_that_is_not_opened_where_it_lies_counts_as_copied(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (noise)")
        database.execute("INSERT INTO t VALUES (?)", (random.Random(1).randbytes(2 * SMALL),))
    size = path.stat().st_size
    if packed:
        path.write_bytes(zstandard.compress(path.read_bytes()))
    found = extent_of(IMPORTERS["imessage"], (document_at(path),), (path,))
    assert found.copied == (pytest.approx(size, rel=0.01) if packed else 0)


def test_on_one_disk_both_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mail").mkdir()
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=26 * GIB))
    room.require_room(tmp_path, tmp_path / "mail", Extent(9 * GIB, 0))
    with pytest.raises(EnvironmentFault, match=r"mail: 27\.0 GiB"):
        room.require_room(tmp_path, tmp_path / "mail", Extent(10 * GIB, 0))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_counts_as_what_it_holds(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    text = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() + b" the same each time\n" for n in range(80_000))
    path = tmp_path / "a.ndjson"
    path.write_bytes(pack(text))
    assert SMALL < path.stat().st_size < len(text) * 0.8
    found = extent_of(IMPORTERS["events"], (document_at(path),), (path,))
    assert found.media == 0 and found.text == pytest.approx(len(text), rel=0.1)


def test_files_beside_an_export_count_apart(tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "WhatsApp Chat with Ann.txt").write_text("01/02/2024, 10:00 - Ann: hi\n")
    (tmp_path / "chat" / "IMG-1.jpg").write_bytes(b"x" * 5_000)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "chat"))
    for path, media in (
        (tmp_path / "chat", 5_000),
        (packed, 5_000),
        (tmp_path / "chat" / "WhatsApp Chat with Ann.txt", 0),
    ):
        documents = recognise((path,)).found["whatsapp"]
        assert extent_of(IMPORTERS["whatsapp"], documents, (path,)) == Extent(28, media)


def test_of_an_export_of_many_files_all_count(tmp_path: Path) -> None:
    export = next(each for each in sorted((ROOT / "fixtures" / "slack").iterdir()) if (each / "users.json").exists())
    (document,) = recognise((export,)).found["slack"]
    sizes = {each: each.stat().st_size for each in export.rglob("*") if each.is_file()}
    texts = sum(size for each, size in sizes.items() if each.suffix == ".json")
    assert extent_of(IMPORTERS["slack"], (document,), (export,)) == Extent(texts, sum(sizes.values()) - texts)
