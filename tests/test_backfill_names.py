"""Files whose names aren't UTF-8, as old systems wrote them: read like any other, and shown with escapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from builders import say

from archiver.events import Captured, ndjson
from archiver.importers import Options, Reading, importer
from archiver.importers.recognising import documents_at

LATIN = os.fsdecode("Gespräch".encode("latin-1"))
"""As Python holds such a name (PEP 383)."""
SHOWN = r"Gespr\xe4ch"


def archiver(folder: Path, *arguments: str | Path, status: int = 0) -> Any:
    """As a process, whose output is to be UTF-8; gives what it says in JSON."""
    command = [Path(sys.executable).with_name("archiver"), "--data", folder / "data", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    return json.loads(done.stdout.decode("utf-8", "strict"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An event file in a folder, both so named, beside a file that it shares, another, a broken archive, and a link."""
    inner = tmp_path / "in" / LATIN
    inner.mkdir(parents=True)
    (inner / "note.txt").write_text("a note")
    (inner / "stray.txt").write_text("nobody names it")
    events = [say("alice@example.org", "see", 0, id="1", attachments=[{"path": "note.txt"}])]
    (inner / f"{LATIN}.ndjson").write_bytes(ndjson(events))
    (inner / f"{LATIN}.zip").write_bytes(b"PK\x03\x04broken")
    (inner / f"link{LATIN}").symlink_to(tmp_path)
    return tmp_path / "in"


@pytest.mark.slow
def test_such_files_are_read_and_shown_with_escapes(folder: Path, tmp_path: Path) -> None:
    report = archiver(tmp_path, "backfill", folder, status=1)
    (document,) = report["documents"]
    assert (document["place"], document["new"]) == (f"{folder}/{SHOWN}/{SHOWN}.ndjson", 1)
    left = {name for each in report["left"] for name in each["such"]}
    assert {f"{folder}/{SHOWN}/{name}" for name in (f"{SHOWN}.zip", f"link{SHOWN}", "stray.txt")} == left
    assert archiver(tmp_path, "backfill", "--report", "1") == report
    (item,) = (tmp_path / "data" / "mail" / "example.org" / "alice").glob(".Conversation*/*/*")
    assert b"note.txt" in item.read_bytes()


@pytest.mark.slow
def test_the_same_again_is_known_by_whatever_path(folder: Path, tmp_path: Path) -> None:
    path = folder / LATIN / f"{LATIN}.ndjson"
    assert archiver(tmp_path, "backfill", path)["accepted"] == 1
    again = archiver(tmp_path, "backfill", path)
    assert (again["accepted"], again["skipped"]) == (0, 1)
    assert archiver(tmp_path, "backfill", folder, status=1)["skipped"] == 1
    assert archiver(tmp_path, "backfill", "--runs")[0]["paths"]
    assert archiver(tmp_path, "backfill", "--dry-run", folder, status=1)["formats"][0]["known"] == 1
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        file.add(path.parent, LATIN)
    packed = archiver(tmp_path, "backfill", tmp_path / "a.tar.gz")
    assert packed["documents"][0]["place"] == f"{tmp_path}/a.tar.gz/{SHOWN}/{SHOWN}.ndjson"
    assert (packed["documents"][0]["read"], packed["accepted"]) == (1, 0)


def test_what_is_derived_of_such_a_name_is_text(tmp_path: Path) -> None:
    """A channel that only the log's name tells."""
    path = tmp_path / f"#{LATIN}.log"
    path.write_text("2020-01-01 10:00:00\tann\thi\n")
    (document,) = documents_at((path,))
    pieces = list(importer("irc").read(document, Options(), Reading(1_700_000_000_000_000)))
    (captured,) = (each for each in pieces if isinstance(each, Captured))
    assert captured.event.data.conversation.id == f"#{SHOWN.lower()}"
    assert [document.name, document.place] == [f"#{SHOWN}.log", f"{tmp_path}/#{SHOWN}.log"]
    assert captured.body.decode()
