"""What all importers share: the contract, the list of them, options; and the origin of the samples."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from contracts.importer import RECEIVED, ImporterContract

from archiver.events import LINE_LIMIT, Captured, Rejected
from archiver.exceptions import UsageError
from archiver.importers import IMPORTERS, Options, Reading, importer
from archiver.importers.ndjson import UNREADABLE_LIMIT
from archiver.importers.recognising import document_at

FIXTURES = Path(__file__).parent.parent / "fixtures"


class TestEvents(ImporterContract):
    importer = IMPORTERS["events"]
    samples = ((FIXTURES / "events" / "bad_input.ndjson", Options()),)

    def test_counts(self) -> None:
        found = Counter(type(each) for each in self.read(*self.samples[0]))
        assert found == {Captured: 20, Rejected: 16}

    @pytest.mark.counted("events")
    def test_every_line_is_there_once(self) -> None:
        for path in sorted((FIXTURES / "events").glob("*.ndjson")):
            if path.name != "bad_input.ndjson":
                lines = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
                captured = self.captured(path, Options())
                assert [each.event.id for each in captured] == [each["id"] for each in lines], path

    def test_a_file_of_something_else_is_kept_whole_and_not_line_by_line(self, tmp_path: Path) -> None:
        path = tmp_path / "picture"
        path.write_bytes(b"\x89\n" * (LINE_LIMIT // 2 + 1))
        *lines, whole = self.read(path, Options())
        assert len(lines) == UNREADABLE_LIMIT
        assert isinstance(whole, Rejected) and whole.position == str(path)
        assert whole.content == path.read_bytes()[:LINE_LIMIT]
        assert "1,000 lines are no events and 0 are: not read further than" in whole.reason
        assert "picture:1000; here only its first 16,777,216 bytes" in whole.reason

    def test_a_log_with_many_faults_is_read_to_its_end(self, tmp_path: Path) -> None:
        sound = self.samples[0][0].parent / "bad_input.ndjson"
        (line, *_) = [each.body for each in self.read(sound, Options()) if isinstance(each, Captured)]
        path = tmp_path / "log"
        path.write_bytes((line + b"\n{broken\n") * (UNREADABLE_LIMIT + 5))
        found = Counter(type(each) for each in self.read(path, Options()))
        assert found == {Captured: UNREADABLE_LIMIT + 5, Rejected: UNREADABLE_LIMIT + 5}

    def test_attachments_lie_beside_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"a")
        (tmp_path / "e.ndjson").write_bytes(
            b'{"specversion":"1.0","source":"s","id":"1","type":"file.shared","time":"2020-01-01T00:00:00Z",'
            b'"data":{"conversation":{"id":"r","kind":"group"},"attachments":[{"path":"a.txt"}]}}'
        )
        (captured,) = self.captured(tmp_path / "e.ndjson", Options())
        assert captured.attached == ((hashlib.sha256(b"a").hexdigest(), tmp_path / "a.txt"),)


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        importer("icq")
    assert all(name in caught.value.hint for name in IMPORTERS)


@pytest.mark.parametrize("options", [Options(zone="Mars/Base"), Options(zone="../etc"), Options(charset="klingon")])
def test_options_that_cannot_be_meant_are_usage_errors(options: Options) -> None:
    with pytest.raises(UsageError):
        list(IMPORTERS["irc"].read(document_at(FIXTURES / "irc" / "2016-12-19_20.raw.txt"), options, Reading(RECEIVED)))


@pytest.mark.parametrize("name", ["irc", "bigbluebutton"])
def test_a_date_that_is_none_is_a_usage_error(name: str) -> None:
    path = FIXTURES / "copyleft" / "bbb" / "raw-2011-misc" / "good_audio_events.xml"
    path = path if name == "bigbluebutton" else FIXTURES / "irc" / "2016-12-19_20.raw.txt"
    with pytest.raises(UsageError):
        list(IMPORTERS[name].read(document_at(path), Options(date="20-20-20", channel="#c"), Reading(RECEIVED)))


def test_every_sample_log_and_recording_is_listed_with_its_origin_and_digest() -> None:
    readme = (FIXTURES / "README.md").read_text()
    for folder in ("irc", "copyleft/irc", "copyleft/bbb"):
        files = [path for path in (FIXTURES / folder).rglob("*") if path.is_file()]
        samples = [path for path in files if not path.name.startswith(("LICENSE", "COPYING"))]
        assert len(files) > len(samples) > 0, "the licence text lies beside the files"
        for path in samples:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            (row,) = [line for line in readme.splitlines() if f"`{path.relative_to(FIXTURES)}`" in line]
            assert f"`{digest}`" in row
