"""Exported chats of WhatsApp and Signal: real ones counted, the order of dates, clocks of many languages, files."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at
from archiver.importers.whatsapp.chat import NOT_UNDERSTOOD, OWNERS
from archiver.importers.whatsapp.dates import DAY_FIRST, MONTH_FIRST, YEAR_FIRST, Orders
from archiver.importers.whatsapp.line import start

MINER = sorted((FIXTURES / "whatsapp").glob("*.txt"))
COPYLEFT = FIXTURES / "copyleft" / "whatsapp"
IPHONE = COPYLEFT / "ios-export" / "_chat.txt"
HALVES = (COPYLEFT / "whatstk-lorem-merge-part1.txt", COPYLEFT / "whatstk-lorem-merge-part2.txt")
POKEMON = COPYLEFT / "whatstk-pokemon.txt"
TAIPEI = Options(zone="Asia/Taipei")


class TestWhatsApp(ImporterContract):
    importer = IMPORTERS["whatsapp"]
    samples = tuple((path, TAIPEI) for path in (*MINER, IPHONE.parent, *HALVES, POKEMON))


class TestSignal(ImporterContract):
    importer = IMPORTERS["signal"]
    samples = ((FIXTURES / "signal" / "chat-miner-test_export.txt", Options()),)


def read(path: Path, options: Options | None = None) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["whatsapp"].read(document_at(path), options or Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def chat(tmp_path: Path, text: str, name: str = "WhatsApp Chat with Ann.txt") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def said(captured: list[Captured]) -> list[tuple[str, str]]:
    return [
        (each.event.data.actor.name or "", each.event.data.message.text or "")
        for each in captured
        if each.event.type == "message.sent" and each.event.data.actor and each.event.data.message
    ]


def test_five_date_forms_of_one_chat_give_the_same_conversation() -> None:
    told = [[(e.event.type, e.event.time, e.event.data.actor, e.event.data.message) for e in read(p)[0]] for p in MINER]
    assert len(told) == 5 and len(told[0]) == 8
    assert told[1:] == told[:-1]
    assert told[0][0][1].isoformat() == "2019-01-01T11:25:00+00:00"
    assert told[0][-1][1].isoformat() == "2021-12-30T22:01:00+00:00"


@pytest.mark.counted("whatsapp")
@pytest.mark.parametrize("path", [*HALVES, POKEMON])
def test_a_real_chat_is_read_whole(path: Path) -> None:
    begins = re.findall(r"^\S{10}, \d\d:\d\d - ([^:\n]+): ", path.read_text(), re.MULTILINE)
    captured, rejected, reading = read(path)
    assert not rejected
    assert len(said(captured)) == len(begins) - sum(name == "Pokemon Chat" for name in begins)
    assert sum(reading.ignored.values()) == (2 if path is POKEMON else 0)


@pytest.mark.counted("signal")
def test_signals_sample_is_read_whole() -> None:
    ((path, options),) = TestSignal.samples
    found = list(IMPORTERS["signal"].read(document_at(path), options, Reading(RECEIVED)))
    lines = re.findall(r"\[\d{4}-\d\d-\d\d, \d\d:\d\d\] (.*?): (.*(?:\n[^\[\n].*)*)", path.read_text())
    assert all(isinstance(each, Captured) for each in found)
    assert said([each for each in found if isinstance(each, Captured)]) == lines


def test_an_iphones_export_with_its_files() -> None:
    captured, rejected, reading = read(IPHONE)
    assert not rejected
    begun = re.findall(r"^\u200e?\[", IPHONE.read_text(), re.MULTILINE)
    told = sum(each.event.type in ("message.sent", "call.started") for each in captured)
    assert told + sum(reading.ignored.values()) == len(begun)
    texts = [text for _, text in said(captured)]
    assert "Someone else\nwith a lot to say\nover multiple lines!" in texts
    assert "An edited message" in texts
    attached = [(a.name, bool(e.attached)) for e in captured for a in e.event.data.attachments or ()]
    assert attached == [("some-image.jpg", True), ("some-doc.pdf", True), ("image omitted (not in the export)", False)]
    types = [each.event.type for each in captured]
    assert (types.count("message.retracted"), types.count("message.edited"), types.count("call.started")) == (2, 1, 2)
    back = [each for each in captured if each.event.archivertime]
    assert back and all(each.time == back[0].time for each in back), "a clock that goes back is held"


def test_zone_title_people_and_what_was_guessed(tmp_path: Path) -> None:
    path = chat(
        tmp_path, "01.02.24, 10:00 - Ann: hi\n01.02.24, 10:00 - +49 (171) 555-1234: ok\n01.02.24, 10:00 - Ann: hi\n"
    )
    captured, _, reading = read(path, TAIPEI)
    assert [each.event.time.isoformat() for each in captured] == ["2024-02-01T02:00:00+00:00"] * 3
    assert {each.event.data.conversation.id for each in captured} == {"Ann"}
    assert [each.address for each in captured[0].event.data.conversation.participants or ()] == ["+491715551234", "Ann"]
    assert len({each.event.id for each in captured}) == 3
    assert [each.event.sequence for each in captured] == ["000001", "000002", "000003"]
    assert {each.event.archiverguessed for each in captured} == set(reading.marks) == {"day-first"}
    assert reading.unnumbered == 3
    zoneless, _, _ = read(path, Options())
    assert {each.event.archiverguessed for each in zoneless} == {"zone=UTC; day-first"}


def test_a_longer_export_gives_the_same_and_more(tmp_path: Path) -> None:
    short = chat(tmp_path, "2024-01-01, 10:00 - Ann: one\n2024-01-01, 10:00 - Bob: two\n")
    first = [each.event.id for each in read(short)[0]]
    longer = chat(tmp_path, short.read_text() + "2024-01-01, 10:00 - Bob: two\n2024-01-02, 10:00 - Ann: three\n")
    assert [each.event.id for each in read(longer)[0]][:2] == first
    assert len({each.event.id for each in read(longer)[0]}) == 4


def test_who_comes_and_goes_in_a_group(tmp_path: Path) -> None:
    path = chat(
        tmp_path,
        '1/13/24, 9:00 AM - Ann created group "Team"\n1/13/24, 9:01 AM - Ann added Bob\n'
        '1/13/24, 9:02 AM - Bob: hello: all\n1/13/24, 9:03 AM - Ann changed the subject from "Team" to "Crew"\n'
        "1/13/24, 9:04 AM - Bob left\n1/13/24, 9:05 AM - Something in Klingon\n",
    )
    captured, _, reading = read(path)
    assert [each.event.type for each in captured] == [
        *(
            "conversation.started",
            "participant.joined",
            "message.sent",
            "conversation.topic.changed",
            "participant.left",
        )
    ]
    assert captured[1].event.data.subject is not None and captured[1].event.data.subject.address == "Bob"
    assert said(captured) == [("Bob", "hello: all")]
    assert captured[3].event.data.topic == "Crew"
    assert captured[0].event.data.conversation.kind == "group"
    assert reading.ignored == {NOT_UNDERSTOOD: 1}


COMINGS = [
    ('Ann created group "Team"', "started", "Ann", "", ""),
    ("Ann added Bob", "joined", "Ann", "Bob", ""),
    ("You were added", "joined", "", "me", ""),
    ("Ann hat die Gruppe „Team“ erstellt.", "started", "Ann", "", ""),
    ("Du hast Bob hinzugefügt", "joined", "me", "Bob", ""),
    ("Ann hat dich hinzugefügt", "joined", "Ann", "me", ""),
    ("Bob ist dieser Gruppe über einen Einladungslink beigetreten", "joined", "Bob", "", ""),
    ("Ann hat den Betreff von „Team“ zu „Neu: alle“ geändert", "topic.changed", "Ann", "", "Neu: alle"),
    ("Ann hat Bob entfernt", "left", "Ann", "Bob", ""),
    ("Bob hat die Gruppe verlassen", "left", "Bob", "", ""),
    ('Ann creó el grupo "Equipo"', "started", "Ann", "", ""),
    ("Ann te añadió", "joined", "Ann", "me", ""),
    ("Añadiste a Bob", "joined", "me", "Bob", ""),
    ("Bob se unió usando el enlace de invitación de este grupo.", "joined", "Bob", "", ""),
    ('Ann cambió el asunto de "Equipo" a "Nuevo"', "topic.changed", "Ann", "", "Nuevo"),
    ("Bob salió del grupo", "left", "Bob", "", ""),
    ('Você criou o grupo "Time"', "started", "me", "", ""),
    ("Ann adicionou você", "joined", "Ann", "me", ""),
    ("Bob entrou usando o link de convite deste grupo", "joined", "Bob", "", ""),
    ('Ann mudou o nome de "Time" para "Novo"', "topic.changed", "Ann", "", "Novo"),
    ("Bob saiu", "left", "Bob", "", ""),
    ("Ann a créé le groupe « Équipe »", "started", "Ann", "", ""),
    ("Ann vous a ajouté(e)", "joined", "Ann", "me", ""),
    ("Vous avez ajouté Bob", "joined", "me", "Bob", ""),
    ("Ann a changé le sujet de « Équipe » en « Neuf »", "topic.changed", "Ann", "", "Neuf"),
    ("Bob a quitté le groupe", "left", "Bob", "", ""),
    ('Hai creato il gruppo "Gruppo"', "started", "me", "", ""),
    ("Ann ti ha aggiunto", "joined", "Ann", "me", ""),
    ("Bob è entrato usando il link d'invito di questo gruppo", "joined", "Bob", "", ""),
    ('Ann ha cambiato l\'oggetto da "Gruppo" a "Nuovo"', "topic.changed", "Ann", "", "Nuovo"),
    ("Bob ha abbandonato", "left", "Bob", "", ""),
    ('Ann heeft de groep "Team" gemaakt', "started", "Ann", "", ""),
    ("Je hebt Bob toegevoegd", "joined", "me", "Bob", ""),
    ('Ann heeft het onderwerp gewijzigd van "Team" in "Nieuw"', "topic.changed", "Ann", "", "Nieuw"),
    ("Bob heeft de groep verlaten", "left", "Bob", "", ""),
]


@pytest.mark.parametrize("form", ["1/13/24, 9:00 AM - {}\n", "[13.01.24, 09:00:00] Team: \u200e{}\n"])
@pytest.mark.parametrize(("line", "kind", "who", "whom", "topic"), COMINGS)
def test_comings_and_goings_in_many_languages(
    form: str, line: str, kind: str, who: str, whom: str, topic: str, tmp_path: Path
) -> None:
    """On Android, and as an iPhone writes them, behind the group's name."""
    captured, rejected, reading = read(chat(tmp_path, form.format(line)), Options(owner="me"))
    (event,) = [each.event for each in captured]
    assert not rejected and not reading.ignored
    assert event.type.partition(".")[2] == kind and event.data.conversation.kind == "group"
    assert (event.data.actor.address if event.data.actor else "") == who
    assert (event.data.subject.address if event.data.subject else "") == whom
    assert (event.data.topic or "") == topic


def test_where_nothing_says_whose_phone_it_is_nobody_is_called_you(tmp_path: Path) -> None:
    lines = (
        "Ann added you",
        "You left",
        "Du hast Bob hinzugefügt",
        "Te uniste a través del enlace",
        "Saliste del grupo",
    )
    text = "".join(f"1/13/24, 9:0{n} AM - {line}\n" for n, line in enumerate(lines))
    captured, _, reading = read(chat(tmp_path, text))
    (event,) = [each.event for each in captured]
    assert event.data.actor is None and event.data.subject is not None and event.data.subject.address == "Bob"
    assert reading.ignored == {OWNERS: 4}


SMALL_THINGS = [
    ("Diese Nachricht wurde gelöscht.", ["sent", "retracted"]),
    ("Mensagem apagada", ["sent", "retracted"]),
    ("Este mensaje fue eliminado.", ["sent", "retracted"]),
    *((line, ["started"]) for line in ("Verpasster Sprachanruf", "Videollamada perdida", "Llamada perdida")),
    *((line, ["started"]) for line in ("Chamada de voz perdida", "Appel vocal manqué", "Videochiamata persa")),
    *((line, ["started"]) for line in ("Gemiste spraakoproep", "Missed voice call", "Videoanruf, \u200e5 Min.")),
]


@pytest.mark.parametrize(("line", "expected"), SMALL_THINGS)
def test_deletions_and_calls_in_many_languages(line: str, expected: list[str], tmp_path: Path) -> None:
    captured, _, _ = read(chat(tmp_path, f"[13.01.24, 09:00:00] Ann: \u200e{line}\n"))
    assert [each.event.type.partition(".")[2] for each in captured] == expected


@pytest.mark.parametrize("line", ["Bild weggelassen", "imagen omitida", "áudio ocultado", "image absente", "<Medien>"])
def test_files_that_are_left_out_in_many_languages(line: str, tmp_path: Path) -> None:
    captured, _, _ = read(chat(tmp_path, f"[13.01.24, 09:00:00] Ann: \u200e{line}\n"))
    (file,) = captured[0].event.data.attachments or ()
    assert file.name == f"{line.strip('<>')} (not in the export)"


def test_what_people_write_is_never_taken_for_the_systems(tmp_path: Path) -> None:
    texts = (
        "Bob left",
        'she changed the subject to "x"',
        "Ann added Bob",
        "Verpasster Anruf",
        "Du hast Bob hinzugefügt",
    )
    written = "".join(f"1/13/24, 9:00 AM - Ann: {text}\n" for text in texts)
    captured, _, reading = read(chat(tmp_path, written))
    assert [text for _, text in said(captured)] == list(texts) and not reading.ignored


def test_files_beside_the_chat_are_attached_and_the_missing_said(tmp_path: Path) -> None:
    (tmp_path / "IMG-1.jpg").write_bytes(b"jpg")
    path = chat(
        tmp_path,
        "01/02/2024, 10:00 - Ann: IMG-1.jpg (Datei angehängt)\nlook\n"
        "01/02/2024, 10:01 - Ann: gone.jpg (file attached)\n"
        "01/02/2024, 10:02 - Ann: <Medien ausgeschlossen>\n"
        "01/02/2024, 10:03 - Ann: \u200e<adjunto: ../../etc/passwd.txt>\n",
    )
    captured, rejected, _ = read(path)
    assert not rejected and len(captured) == 4
    assert captured[0].attached and said(captured)[0] == ("Ann", "look")
    assert said(captured)[1] == ("Ann", "gone.jpg (file attached)")
    assert captured[2].event.data.attachments is not None
    assert not captured[3].attached


@pytest.mark.parametrize(
    ("line", "hour", "minute"),
    [
        ("2019/1/20 下午3:05 - 甲: x", 15, 5),
        ("2019. 1. 20. 오후 3:05 - 갑: x", 15, 5),
        ("[20.01.19, 15:05:09] A: x", 15, 5),
        ("\u200e[20/1/19, 3:05:09\u202fPM] A: x", 15, 5),
        ("20/1/19, 3:05\u00a0p.\u00a0m. - A: x", 15, 5),
        ("20-01-19 15.05 - A: x", 15, 5),
        ("20/01/2562, 15:05 - A: x", 15, 5),
        ("1/20/19, 12:05 AM - A: x", 0, 5),
        ("1/20/19, 12:05 pm - A: x", 12, 5),
        ("٢٠/١/٢٠١٩، ٣:٠٥ م - A: x".replace("،", ","), 15, 5),
        ("2019年1月20日 15:05 - 甲: x", 15, 5),
    ],
)
def test_clocks_of_many_languages(line: str, hour: int, minute: int) -> None:
    found = start(line)
    assert found is not None
    assert (found.hour, found.minute) == (hour, minute)
    assert found.text.rpartition(": ")[2] == "x" and len(found.text) == 4


@pytest.mark.parametrize(
    ("dates", "order", "doubt"),
    [
        (["13/01/24", "02/02/24"], DAY_FIRST, False),
        (["01/13/24", "02/02/24"], MONTH_FIRST, False),
        (["01/01/24", "02/02/24"], DAY_FIRST, True),
        (["05/01/24", "05/02/24", "06/01/24"], MONTH_FIRST, False),
        (["24-01-05", "24-02-01"], YEAR_FIRST, False),
        (["24/01/31"], YEAR_FIRST, False),
        (["01.02.24"], DAY_FIRST, True),
    ],
)
def test_the_order_of_dates_comes_from_the_whole_file(dates: list[str], order: str, doubt: bool) -> None:
    orders = Orders(date(2025, 1, 1))
    for each in dates:
        found = start(f"{each}, 10:00 - A: x")
        assert found is not None
        orders.add(found)
    assert orders.decide() == (order, doubt)


@given(
    st.dates(date(2010, 1, 1), date(2025, 12, 31)),
    st.times(),
    st.sampled_from(["{d}/{m}/{y}", "{d}.{m}.{y}", "{y}-{m:02}-{d:02}"]),
)
def test_any_time_is_read_as_it_was_written(day, time, form):  # type: ignore[no-untyped-def]
    stamp = form.format(d=day.day, m=day.month, y=day.year)
    found = start(f"[{stamp}, {time:%H:%M:%S}] A: x")
    assert found is not None
    assert (found.hour, found.minute, found.second) == (time.hour, time.minute, time.second)
    assert sorted(found.numbers) == sorted((day.day, day.month, day.year))


@given(st.text(st.sampled_from('0123456789/.-:, []-AMpm<>\u200e\n()x"年'), max_size=300))
def test_any_text_is_read_without_a_crash(text: str) -> None:
    for line in text.split("\n"):
        start(line)


@given(st.binary(max_size=400))
def test_any_bytes_behind_a_message_are_its_text_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(b"2024-01-01, 10:00 - Ann: one\n" + rest)
    captured, rejected, reading = read(path)
    assert captured or rejected or reading.ignored
