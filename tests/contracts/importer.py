"""What holds for every importer; each joins by a subclass that says its samples.

Whoever writes a new importer needs nothing else: `importer`, `samples` (path, options), and the tests below.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest
from effort import examples
from long_runs import PIECES, with_runs
from msgspec import structs
from spoiling import no_longer_than, no_more_work_than, spoilt_copy

from archiver.backfill.extent import sizes_of
from archiver.events import SECOND, Captured, Rejected, capture, guesses_of
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.importers import IMPORTERS, Document, Importer, Options, Reading
from archiver.importers.archive import archive_at
from archiver.importers.folder import Folder
from archiver.importers.metering import Meter
from archiver.importers.recognising import HEAD, document_at, recognise

RECEIVED = 1_800_000_000 * SECOND

GARBAGE = {
    "empty": b"",
    "blank": b"\n \n\r\n",
    "zeros": b"\0" * 5000,
    "every byte": bytes(range(256)) * 50,
    "no line end": b"a" * 3_000_000,
    "brackets": b"[" * 200_000,
    "tags": b"<recording>" * 20_000,
    "billion laughs": b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><recording><event>&b;</event></recording>',
    "half a gzip": gzip.compress(bytes(range(256)) * 500)[:300],
    "an archive": b"PK\x03\x04" + bytes(range(256)) * 20,
}


FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
EXPECTED = FIXTURES / "expected" / "imported"


class ImporterContract:
    importer: Importer
    samples: tuple[tuple[Path, Options], ...]
    golden_samples: tuple[tuple[Path, Options], ...] = ()
    """Which of them stand in fixtures/expected/imported with all they give, where it would be too much of all.

    Only scripts/refresh_fixtures writes it.
    """

    brings_marks = False
    """Whether its events were made by others, and bear what those guessed."""

    @classmethod
    def told(cls) -> bytes:
        """Everything its samples give, one JSON object a line."""
        lines = []
        for path, options in cls.golden_samples or cls.samples:
            for each in cls().read(path, options):
                if isinstance(each, Captured):
                    lines.append(each.body)
                else:
                    position = each.position.removeprefix(f"{FIXTURES}/")
                    lines.append(msgspec.json.encode({"rejected": each.reason, "position": position}))
        return b"".join(line + b"\n" for line in lines)

    def test_its_samples_give_what_is_expected(self) -> None:
        assert self.told() == (EXPECTED / f"{self.importer.name}.ndjson").read_bytes()

    def document(self, path: Path) -> Document:
        """A file, or the one export in a folder or archive."""
        whole = path.is_dir() or archive_at(path) is not None
        (document,) = recognise((path,)).found[self.importer.name] if whole else (document_at(path),)
        return document

    def read(self, path: Path, options: Options) -> list[Captured | Rejected]:
        return list(self.importer.read(self.document(path), options, Reading(RECEIVED)))

    def captured(self, path: Path, options: Options) -> list[Captured]:
        return [each for each in self.read(path, options) if isinstance(each, Captured)]

    def test_it_is_listed_by_its_name(self) -> None:
        assert IMPORTERS[self.importer.name] is self.importer
        assert self.importer.title

    def test_every_sample_gives_events(self) -> None:
        for path, options in self.samples:
            assert self.captured(path, options), path

    def test_it_knows_its_own(self) -> None:
        for path, _ in self.samples:
            assert list(recognise((path,)).found) == [self.importer.name]

    def test_identities_are_unique(self) -> None:
        for path, options in self.samples:
            seen = Counter((each.event.source, each.event.id) for each in self.captured(path, options))
            assert seen.most_common(1)[0][1] == 1

    def test_reading_again_and_elsewhere_gives_the_same(self, tmp_path: Path) -> None:
        for number, (path, options) in enumerate(self.samples):
            copy = tmp_path / str(number) / path.parent.name / path.name
            copy.parent.mkdir(parents=True)
            shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
            first = [each.body for each in self.captured(path, options)]
            assert [each.body for each in self.captured(path, options)] == first
            assert [each.body for each in self.captured(copy, options)] == first

    def test_a_packed_file_gives_the_same(self, tmp_path: Path) -> None:
        for path, options in self.samples:
            packed = tmp_path / path.parent.name / path.name
            packed.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and not self.importer.marks:
                packed.write_bytes(gzip.compress(path.read_bytes()))
                self.gives_the_same(packed, path, options)

    def test_an_archive_is_read_in_place(self, tmp_path: Path) -> None:
        for number, (path, options) in enumerate(self.samples):
            if path.is_file() and archive_at(path) is not None:
                continue  # what lies in an archive in an archive is left alone
            root = tmp_path / str(number) / (path.name if path.is_dir() else path.parent.name)
            root.mkdir(parents=True)
            (root / ".hidden").touch()
            shutil.copytree(path, root, dirs_exist_ok=True) if path.is_dir() else shutil.copy(path, root)
            for kind in ("zip", "gztar"):
                packed = Path(shutil.make_archive(str(tmp_path / f"{number}"), kind, root.parent))
                self.gives_the_same(packed, path, options)

    def gives_the_same(self, packed: Path, path: Path, options: Options) -> None:
        assert [each.body for each in self.captured(packed, options)] == [
            each.body for each in self.captured(path, options)
        ]

    def test_it_can_be_seen_how_far_it_is(self) -> None:
        for path, options in self.samples:
            document = self.document(path)
            meter = Meter()
            metered = meter.metered(document, whole=bool(self.importer.marks))
            found = list(self.importer.read(metered, options, Reading(RECEIVED)))
            assert [each.body for each in found if isinstance(each, Captured)] == [
                each.body for each in self.captured(path, options)
            ]
            size = sizes_of(self.importer, (document,))[document.place]
            assert 0 < meter.seen <= size

    def test_a_file_that_breaks_off_keeps_what_came_before(self, tmp_path: Path) -> None:
        for path, options in self.samples if not self.importer.marks else ():
            if path.is_dir():
                continue
            whole = gzip.compress(path.read_bytes())
            cut = tmp_path / path.parent.name / path.name
            cut.parent.mkdir(parents=True, exist_ok=True)
            cut.write_bytes(whole[: len(whole) - 4])
            found = self.read(cut, options)
            assert isinstance(found[-1], Rejected)
            kept = [each.event.id for each in found if isinstance(each, Captured)]
            assert kept == [each.event.id for each in self.captured(path, options)][: len(kept)]

    def test_a_body_is_canonical_and_says_what_the_record_says(self) -> None:
        for path, options in self.samples:
            for each in self.captured(path, options):
                again = capture(each.body, received=RECEIVED)
                assert (again.body, again.event, again.time) == (each.body, each.event, each.time)

    def test_equal_times_are_told_apart_by_sequence(self) -> None:
        for path, options in self.samples:
            events = self.captured(path, options)
            places = [(each.event.source, each.time, each.event.sequence) for each in events if each.event.sequence]
            assert len(set(places)) == len(places)

    def test_what_was_guessed_is_told_and_marked(self) -> None:
        for path, options in self.samples:
            for stated in (options, structs.replace(options, zone=None, charset=None)):
                reading = Reading(RECEIVED)
                (document,) = recognise((path,)).found[self.importer.name]
                events = [e.event for e in self.importer.read(document, stated, reading) if isinstance(e, Captured)]
                marks = Counter(e.archiverguessed for e in events if e.archiverguessed)
                assert reading.marks == (Counter() if self.brings_marks else marks)
                reasons = guesses_of(reading.marks)
                assert "" not in reasons, "each has its words"
                assert not ((stated.zone and "zone" in reasons) or (stated.charset and "charset" in reasons))

    def test_a_promised_order_is_kept(self) -> None:
        for path, options in self.samples if self.importer.ordered else ():
            times = [each.time for each in self.captured(path, options)]
            assert times == sorted(times)

    @pytest.mark.parametrize("kind", GARBAGE)
    def test_garbage_is_rejected_and_never_crashes(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / min(self.importer.marks, default="2020-02-20.log")
        path.write_bytes(GARBAGE[kind])
        found = list(self.importer.read(document_at(path), Options(channel="#c"), Reading(RECEIVED)))
        assert all(isinstance(each, Rejected) for each in found)
        assert found or kind in ("empty", "blank")
        assert all(each.position.startswith(str(path)) for each in found if isinstance(each, Rejected))

    def test_what_is_spoilt_is_events_or_rejected(self, tmp_path: Path) -> None:
        """A number in SPOILT makes a campaign of it, each time with other files."""
        campaign = int(os.environ.get("SPOILT", "0"))
        first = Random().randrange(2**32) if campaign else 0
        for seed in range(first, first + (campaign or examples(60))):
            random = Random(seed)
            path, options = random.choice(self.samples)
            copy = spoilt_copy(path, tmp_path / "spoilt", random)
            with no_longer_than(60):
                self.survives(copy, options, seed)

    def survives(self, path: Path, options: Options, seed: int) -> None:
        try:
            document = self.document(path) if path.is_file() and archive_at(path) is None else self.found(path)
            found = list(self.importer.read(document, options, Reading(RECEIVED))) if document else []
        except (UsageError, EnvironmentFault):
            return  # no such export any more: that is told, and nothing was taken
        except Exception as fault:
            raise AssertionError(f"seed {seed} of {self.importer.name}") from fault
        assert all(isinstance(each, Captured | Rejected) for each in found)

    def found(self, path: Path) -> Document | None:
        return next(iter(recognise((path,)).found.get(self.importer.name, ())), None)

    @pytest.mark.slow
    @pytest.mark.parametrize("piece", PIECES)
    def test_no_line_takes_long(self, piece: str, tmp_path: Path) -> None:
        """A sample takes about a tenth of a second; a pattern that goes back and forth over such a line, minutes."""
        for number, (path, options) in enumerate(self.samples[:3]):
            copy = with_runs(path, tmp_path / str(number), piece)
            within = self.document(path).within
            document = Document(Folder(copy), within) if copy.is_dir() else document_at(copy)
            reading = Reading(RECEIVED)
            with no_more_work_than(6):
                self.importer.sniff(document, document.head(HEAD))
                assert list(self.importer.read(document, options, reading)) or reading.ignored

    def test_a_path_that_is_not_there_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            self.read(tmp_path / "missing", Options())
