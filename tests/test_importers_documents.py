"""Documents and where they lie: folders, zips and tars read in place, their limits, and who is found to read them."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from contracts.importer import RECEIVED
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.importers import Options, Reading, importer, sqlitefile
from archiver.importers.archive import HEADER, Tar, Zip, archive_at
from archiver.importers.document import Document
from archiver.importers.folder import Folder
from archiver.importers.leaving import Leavings
from archiver.importers.recognising import chosen, document_at, documents_at, recognise
from archiver.importers.swelling import FREE, RATIO

FIXTURES = Path(__file__).parent.parent / "fixtures"
DAY = FIXTURES / "irc" / "2016-12-19_20.raw.txt"
EVENTS = FIXTURES / "events" / "poll.ndjson"
FILES = {"b/two.txt": b"two" * 1000, "one.txt": b"one", "b/c/three.txt": b""}
DATABASES = (
    ("imessage", FIXTURES / "copyleft" / "imessage" / "macos" / "chat.db"),
    ("xmpp", FIXTURES / "xmpp" / "prosody.sqlite"),
)
PACK = {".gz": gzip.compress, ".zst": zstandard.compress, ".tar": bytes}


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    """Packed as its name says."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    path.write_bytes(PACK[path.suffix](plain.getvalue()))
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.zst"])
def test_members_are_read_in_place_in_any_order(name: str, tmp_path: Path) -> None:
    path = (zip_of if name == "a.zip" else tar_of)(tmp_path / name, FILES)
    documents = {each.within: each for each in documents_at((path,))}
    assert list(documents) == list(FILES)
    for within in (*FILES, *reversed(FILES)):
        with documents[within].open() as stream:
            assert stream.read() == FILES[within]
        assert documents[within].size == len(FILES[within])
        assert documents[within].place == f"{path}/{within}"
    two, one = documents["b/two.txt"].open(), documents["one.txt"].open()
    assert (two.read(3), one.read(2), two.read(3), one.read()) == (b"two", b"on", b"two", b"e")


def test_what_lies_beside_is_found_and_nothing_outside(tmp_path: Path) -> None:
    archive = archive_at(zip_of(tmp_path / "a.zip", FILES))
    assert archive is not None
    two = Document(archive, "b/two.txt")
    for relative, found in (
        ("c/three.txt", "b/c/three.txt"),
        ("../one.txt", "one.txt"),
        ("./two.txt", "b/two.txt"),
        ("c\\three.txt", "b/c/three.txt"),
        ("../../one.txt", None),
        ("/one.txt", None),
        ("one.txt", None),
        ("", None),
        ("a\0", None),
    ):
        beside = two.beside(relative)
        assert (beside and beside.within) == found
    assert [each.within for each in two.below()] == ["b/two.txt", "b/c/three.txt"]
    one = two.beside("../one.txt")
    assert one is not None and one.content() == b"one"


def test_links_on_disk_lead_nowhere_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "loop").symlink_to("loop")
    document = Document(Folder(tmp_path / "in"), "e")
    assert [document.beside(name) for name in ("link", "loop", "../secret", "x" * 300)] == [None] * 4


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_tar_that_swells_ends_there(packing: str, tmp_path: Path) -> None:
    path = tar_of(tmp_path / f"a.tar{packing}", {"a": b"fair", "b": b"0" * (FREE * 3), "c": b"behind"})
    tar = Tar(path)
    assert "refused as a bomb" in tar.broken and "c" not in list(tar.names())
    assert tar.open("a").read() == b"fair"


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [HEADER + 1, 2**40, 2**62, 2**80, -600])
def test_a_tar_that_lies_about_a_long_name_ends_there(kind: bytes, size: int, tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", {"good": b"good"})
    with path.open("r+b") as file:
        file.seek(1024)
        lie = tarfile.TarInfo("lie")
        lie.type, lie.size = kind, size
        file.write(lie.tobuf(tarfile.GNU_FORMAT))
    tar = Tar(path)
    assert list(tar.names()) == ["good"] and tar.broken


def test_a_tar_of_names_within_names_ends_there(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", {"good": b"good"})
    name = tarfile.TarInfo("name")
    name.type = tarfile.GNUTYPE_LONGNAME
    path.write_bytes(path.read_bytes()[:1024] + name.tobuf(tarfile.GNU_FORMAT) * 5_000)
    tar = Tar(path)
    assert list(tar.names()) == ["good"] and tar.broken


@pytest.mark.parametrize("spoilt", [b"\0" * 8 + b"x" * 504, b"x" * 512])
def test_a_tar_with_a_spoilt_header_ends_there_and_says_so(spoilt: bytes, tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", {"good": b"good", "lost": b"lost"})
    assert not Tar(path).broken
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(spoilt)
    tar = Tar(path)
    assert list(tar.names()) == ["good"] and "no mark of the end" in tar.broken


def test_a_tar_cut_between_its_members_says_so(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", {"good": b"good", "lost": b"lost"})
    path.write_bytes(path.read_bytes()[:1024])
    tar = Tar(path)
    assert list(tar.names()) == ["good"] and "no mark of the end" in tar.broken


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst", "a.ndjson.zst"])
def test_what_is_damaged_from_its_start_on_is_no_unknown_format(name: str, tmp_path: Path) -> None:
    pack = PACK[Path(name).suffix]
    (tmp_path / name).write_bytes(pack(EVENTS.read_bytes())[:40])
    leavings = Leavings()
    seen = recognise((tmp_path,), leave=leavings)
    assert not seen.found and not seen.unknown
    (left,) = leavings.told
    assert left.is_fault and "damaged or ends early" in left.why and left.such == [str(tmp_path / name)]


def test_a_bomb_ends_where_it_swells(tmp_path: Path) -> None:
    bomb, fair = documents_at((zip_of(tmp_path / "a.zip", {"log": b"0" * (FREE * 3), "fair": b"0" * FREE}),))
    with fair.open() as stream:
        assert len(stream.read()) == FREE
    with pytest.raises(EOFError, match="refused as a bomb"), bomb.open() as stream:
        while stream.read(1 << 20):
            pass
    *_, last = importer("events").read(bomb, Options(), Reading(RECEIVED))
    assert isinstance(last, Rejected) and "refused as a bomb" in last.reason


@pytest.mark.slow
@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_packed_file_that_swells_ends_there(packing: str, tmp_path: Path) -> None:
    event = EVENTS.read_bytes().splitlines(keepends=True)[0]
    path = tmp_path / f"a.ndjson{packing}"
    path.write_bytes(PACK[packing](event + b"\n" * (FREE * 3)))
    first, last = importer("events").read(document_at(path), Options(), Reading(RECEIVED))
    assert isinstance(first, Captured)
    assert isinstance(last, Rejected) and "refused as a bomb" in last.reason


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_what_is_packed_well_is_no_bomb(packing: str, tmp_path: Path) -> None:
    """A log in which the same is said for days: 100 to 1."""
    line, noise = b"10:00 <ann> is anybody here?\n" * 400, random.Random(1)
    content = b"".join(line + noise.randbytes(60) for _ in range(2 * FREE // len(line)))
    path = tmp_path / f"a.log{packing}"
    path.write_bytes(PACK[packing](content))
    assert 50 < len(content) / path.stat().st_size < RATIO
    with document_at(path).open() as stream:
        assert stream.read() == content


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_database_that_swells_is_told_and_fills_no_disk(packing: str, tmp_path: Path) -> None:
    path = tmp_path / f"chat.db{packing}"
    path.write_bytes(PACK[packing](sqlitefile.MAGIC + b"\0" * (FREE * 3)))
    leavings = Leavings()
    assert not recognise((path,), leave=leavings).found
    (left,) = leavings.told
    assert left.is_fault and "refused as a bomb" in left.why


def test_a_full_temporary_folder_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chat.db.gz"
    path.write_bytes(gzip.compress(sqlitefile.MAGIC + bytes(8192)))
    copy = Path.open

    def full(self: Path, *how: Any, **more: Any) -> Any:
        return copy(Path("/dev/full") if self.name == "copy" else self, *how, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(EnvironmentFault, match="No space left") as raised:
        recognise((path,))
    assert "TMPDIR" in raised.value.hint


def test_members_that_lead_out_are_left_out(tmp_path: Path) -> None:
    names = ("/etc/passwd", "../up", "a/../../up", "..\\up", "good", "a/.hidden")
    files = dict.fromkeys(names, b"")
    assert [each.within for each in documents_at((zip_of(tmp_path / "a.zip", files),))] == ["good"]
    path = tar_of(tmp_path / "a.tar", files)
    with tarfile.open(path, "a") as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"special{kind.decode()}")
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info)
    archive = Tar(path)
    assert list(archive.names()) == ["good"]
    assert archive.left_out == {"a name that leads out of the archive": 4, "link or device": 4}


def test_encrypted_members_are_left_out_and_counted(tmp_path: Path) -> None:
    content = bytearray(zip_of(tmp_path / "e.zip", {"x": b"x"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "e.zip").write_bytes(content)
    archive = Zip(tmp_path / "e.zip")
    assert (list(archive.names()), archive.left_out) == ([], {"encrypted": 1})


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_a_tar_that_breaks_off_gives_what_came_before(name: str, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(600_000)
    path = tar_of(tmp_path / name, {"first": b"1" * 5000, "last": noise})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    first, *rest = documents_at((path,))
    with first.open() as stream:
        assert stream.read() == b"1" * 5000
    for each in rest:
        with pytest.raises((EOFError, zstandard.ZstdError)), each.open() as stream:
            stream.read()


@given(st.binary(max_size=2000), st.sampled_from([b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b""]))
def test_any_bytes_are_an_archive_a_document_or_a_mistake(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.zip"
    path.write_bytes(magic + content)
    try:
        for each in documents_at((path,)):
            each.tree.size(each.within)
        recognise((path,))
    except UsageError as fault:
        assert str(path) in str(fault)
    shutil.rmtree(path.parent)


def test_each_document_finds_its_reader_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    shutil.copy(DAY, tmp_path)
    shutil.copy(EVENTS, tmp_path)
    zip_of(tmp_path / "more.zip", {"x/poll.ndjson": EVENTS.read_bytes(), "y.png": b"\x89PNG\r\n"})
    (tmp_path / "notes.bin").write_bytes(bytes(range(256)))
    seen = recognise((tmp_path,))
    assert {name: [each.name for each in found] for name, found in seen.found.items()} == {
        "irc": [DAY.name],
        "events": ["poll.ndjson", "poll.ndjson"],
    }
    assert [each.name for each in seen.unknown] == ["y.png", "notes.bin"]


def test_a_named_format_reads_all_but_pictures(tmp_path: Path) -> None:
    for name in ("a.log", "b.png", "c"):
        (tmp_path / name).touch()
    assert [each.name for each in chosen(importer("irc"), (tmp_path,))] == ["a.log", "c"]
    assert [each.name for each in chosen(importer("irc"), (tmp_path / "b.png",))] == ["b.png"]
    assert document_at(tmp_path / "c").place == str(tmp_path / "c")


def test_a_zip_whose_members_lie_before_its_start_is_told(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"one.txt": b"one"})
    raw = path.read_bytes()
    at = raw.rindex(b"PK\x05\x06") + 16  # where its directory begins: later than it does
    path.write_bytes(raw[:at] + (int.from_bytes(raw[at : at + 4], "little") + 60).to_bytes(4, "little") + raw[at + 4 :])
    with pytest.raises(EOFError, match="the archive is damaged here"):
        Zip(path).open("one.txt").read()


def test_a_damaged_file_beside_an_export_can_not_be_had(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:  # stored, so that its bytes can be found
        file.writestr("export.txt", "x")
        file.writestr("menu.txt", "soup and bread")
    path.write_bytes(path.read_bytes().replace(b"soup", b"sous", 1))
    assert Document(Zip(path), "export.txt").content_of("menu.txt") is None


@pytest.mark.parametrize("name", ["chat.db.gz", "chat.db", "some.zip"])
def test_a_packed_database_is_unpacked_once_to_be_looked_at(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many formats look at it; and anew once it has changed."""
    path, copied, copy = tmp_path / name, 0, sqlitefile._copy

    def counted(*arguments: Any) -> None:
        nonlocal copied
        copied += 1
        copy(*arguments)

    def put(database: Path) -> None:
        content = database.read_bytes()
        if name == "some.zip":
            zip_of(path, {"chat.db": content})
        else:
            path.write_bytes(gzip.compress(content))

    monkeypatch.setattr(sqlitefile, "_copy", counted)
    for count, (format_, database) in enumerate(DATABASES, 1):
        put(database)
        for _ in range(2):
            assert list(recognise((path,)).found) == [format_]
        assert copied == count
