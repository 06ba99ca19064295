"""Mattermost's compliance exports, as its published exporters write them."""

from __future__ import annotations

import csv
import email
import email.policy
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at

FOLDER = FIXTURES / "mattermost" / "compliance"
TABLE = FOLDER / "posts.csv"
MAILS = sorted((FIXTURES / "mattermost" / "globalrelay").glob("*.eml"))
XML = FIXTURES / "mattermost" / "actiance" / "actiance_export.xml"


class TestMattermostTable(ImporterContract):
    importer = IMPORTERS["mattermost-csv"]
    samples = ((FOLDER, Options()),)


class TestMattermostActiance(ImporterContract):
    importer = IMPORTERS["mattermost-actiance"]
    samples = ((XML.parent, Options()),)


class TestMattermostGlobalRelay(ImporterContract):
    importer = IMPORTERS["mattermost-globalrelay"]
    samples = tuple((path, Options()) for path in MAILS)


def read(name: str, path: Path) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS[name].read(document_at(path), Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


@pytest.mark.counted("mattermost-csv")
def test_every_row_is_there_once() -> None:
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    captured, rejected, reading = read("mattermost-csv", TABLE)
    types = Counter(each.event.type for each in captured)
    kinds = Counter(each["Post Type"] for each in rows)
    earlier = sum(bool(each["Edited By Post Id"]) for each in rows)
    assert not rejected
    assert types["message.sent"] + types["message.edited"] == kinds["message"]
    assert types["message.edited"] == earlier
    assert types["message.retracted"] == sum(each["Post Update Type"] == "Deleted" for each in rows)
    assert types["file.shared"] == kinds["attachment"]
    assert types["participant.joined"] == kinds["enter"] + kinds["previously-joined"]
    assert types["participant.left"] == kinds["leave"]
    assert reading.nobody == {"hook"}


def test_edits_files_answers_and_direct_channels() -> None:
    captured, _, _ = read("mattermost-csv", TABLE)
    by_id = {each.event.id: each for each in captured}
    first = by_id["c1/post1"].event.data.message
    changed = by_id["c1/post1/edited/1709632900000"].event
    assert first is not None and first.text == 'Menü, "today"?'
    assert changed.data.message is not None and changed.data.message.text == "Menü,\ntomorrow?"
    answer = by_id["c1/post2"].event.data.message
    assert answer is not None and answer.in_reply_to == "post1"
    (shared,) = (each for each in captured if each.event.type == "file.shared")
    assert [(each.name, each.size) for each in shared.event.data.attachments or ()] == [("menu (1).txt", 12)]
    assert len(shared.attached) == 1
    direct = by_id["d1/post6"].event.data.conversation
    assert direct.kind == "im"
    assert [each.address for each in direct.participants or ()] == ["ann@example.org", "bob@example.org"]


def test_older_exports_without_updates_and_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text(
        "Post Creation Time,Channel Id,Channel Type,User Email,Post Id,Edited By Post Id,Post Message,Post Type\n"
        "1709632802000,c1,public,a@example.org,old,p,before,message\n"
        "1709632802000,c1,public,a@example.org,p,,after,message\n"
        "soon,c1,public,a@example.org,q,,no time,message\n"
        "1709632802000,,public,a@example.org,r,,no channel,message\n"
        "1709632802000,c1,public,a@example.org,s,,../../etc (files/../../../etc/passwd),attachment\n"
    )
    captured, rejected, _ = read("mattermost-csv", path)
    assert [each.event.type for each in captured] == ["message.sent", "message.edited", "file.shared"]
    assert [each.position.rpartition(":")[2] for each in rejected] == ["4", "5"]
    assert not captured[2].attached


@given(st.lists(st.sampled_from(["1709632802000", '"', ",", "\n", "c1", "message", "\0", "é", "p"]), max_size=40))
def test_any_table_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "posts.csv"
    path.write_text("Post Creation Time,Channel Id,Post Id,Post Message,Post Type\n" + "".join(pieces))
    captured, rejected, _ = read("mattermost-csv", path)
    assert captured or rejected or not "".join(pieces).strip()


@pytest.mark.counted("mattermost-actiance")
def test_every_element_of_actiances_is_there_once() -> None:
    root = ElementTree.parse(XML).getroot()
    count = {tag: sum(1 for _ in root.iter(tag)) for tag in ("Message", "ParticipantEntered", "ParticipantLeft")}
    captured, rejected, reading = read("mattermost-actiance", XML)
    types = Counter(each.event.type for each in captured)
    assert not rejected
    assert types["message.sent"] + types["message.edited"] == count["Message"]
    assert types["participant.joined"] == count["ParticipantEntered"]
    assert types["participant.left"] == count["ParticipantLeft"]
    assert types["message.retracted"] == sum(each.text == "Deleted" for each in root.iter("UpdatedType"))
    texts = [each.event.data.message.text for each in captured if each.event.type == "message.sent"]  # type: ignore[union-attr]
    assert texts == ["Menu & co?", "here", "between us", "ok"]
    (shared,) = (each for each in captured if each.event.type == "file.shared")
    assert len(shared.attached) == 1
    direct = [each.event for each in captured if each.event.data.conversation.kind == "im"]
    assert len(direct[-1].data.conversation.participants or ()) == 2
    assert reading.nobody == {"bob@example.org"}


@given(st.lists(st.sampled_from(["<Message>", "</Message>", "<MessageId>p", "</MessageId>", "x", "&amp;", "<", "5"])))
def test_any_xml_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "actiance_export.xml"
    path.write_text("<FileDump><Conversation Perspective='x'><RoomID>r</RoomID>" + "".join(pieces))
    captured, rejected, _ = read("mattermost-actiance", path)
    assert rejected and not captured


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "actiance_export.xml"
    path.write_text('<!DOCTYPE FileDump [<!ENTITY a SYSTEM "file:///etc/passwd">]><FileDump>&a;</FileDump>')
    _, (rejected,), _ = read("mattermost-actiance", path)
    assert "refused" in rejected.reason


def test_both_forms_give_a_post_one_identity() -> None:
    table = {each.event.id: each.event for each in read("mattermost-csv", TABLE)[0]}
    xml = {each.event.id: each.event for each in read("mattermost-actiance", XML)[0]}
    both = {identity for identity in table.keys() & xml.keys() if table[identity].type == "message.sent"}
    assert both == {"c1/post1", "c1/post3", "d1/post5", "d1/post6"}
    assert all(table[each].time == xml[each].time for each in both)


@pytest.mark.counted("mattermost-globalrelay")
def test_every_line_of_global_relays_transcripts_is_there_once() -> None:
    for path in MAILS:
        raw = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        (page,) = (part.get_content() for part in raw.walk() if part.get_content_type() == "text/html")
        captured, rejected, reading = read("mattermost-globalrelay", path)
        types = Counter(each.event.type for each in captured)
        assert not rejected
        said = types["message.sent"] + types["message.edited"] + types["file.shared"] + reading.ignored["deleted files"]
        assert said == page.count('<li class="message">') > 1
        assert types["participant.joined"] == page.count('<td class="userid">')
        assert types["message.retracted"] == page.count(">Deleted<")


def test_edits_files_leaves_and_direct_channels_of_global_relay() -> None:
    (direct, _, direct_reading), (town, _, _) = (read("mattermost-globalrelay", path) for path in MAILS)
    by_id = {each.event.id: each for each in town}
    texts = [by_id[key].event.data.message.text for key in ("c1/post1", "c1/post1/edited/1709632900000")]  # type: ignore[union-attr]
    assert texts == ["Menü & co?", "Menü & <co>?\nOr not."]
    shared = by_id["c1/post3/file/menu.txt"]
    assert [content for _, content in shared.attached] == [b"soup\nbread\n"]
    assert [each.event.data.actor.address for each in town if each.event.type == "participant.left"] == [
        "ann@example.org"
    ]  # type: ignore[union-attr]
    assert {each.event.data.conversation.topic for each in town} == {"Town Square"}
    place = direct[0].event.data.conversation
    assert (place.kind, [each.address for each in place.participants or ()]) == (
        "im",
        ["ann@example.org", "hook@example.org"],
    )
    assert direct_reading.nobody == {"hook@example.org"}


def test_what_global_relays_mail_lacks_is_told(tmp_path: Path) -> None:
    head = "From: a@example.org\nX-GlobalRelay-MsgType: Mattermost\n"
    channel = head + "X-Mattermost-ChannelID: c1\nContent-Type: text/html\n\n<table></table>"
    broken = '<li class="message"><span class="post_id">p</span><span class="sent_time">{}</span>{}</li>'
    who = '<span class="username">@ann</span>'
    for text, reason in (
        (head + "\nx", "nothing says which channel it is of"),
        (head + "X-Mattermost-ChannelID: c1\n\nx", "no transcript in HTML"),
        (channel, "its HTML lists nobody and no message"),
        (channel + broken.format("soon", who), "no time: 'soon'"),
        (channel + broken.format("2024-03-05T10:00:00", who), "a time without a zone: '2024-03-05T10:00:00'"),
        (channel + broken.format("2024-03-05T10:00:00Z", ""), "nothing says who"),
    ):
        path = tmp_path / "a.eml"
        path.write_text(text)
        captured, rejected, _ = read("mattermost-globalrelay", path)
        assert not captured and [each.reason for each in rejected] == [reason]


@given(
    st.lists(st.sampled_from(['<li class="message">', "</li>", '<span class="post_id">', "</span>", "p", "&amp;", "<"]))
)
def test_any_transcript_of_global_relay_is_events_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.eml"
    head = "X-GlobalRelay-MsgType: Mattermost\nX-Mattermost-ChannelID: c1\nContent-Type: text/html\n\n</table>"
    path.write_text(head + "".join(pieces))
    captured, rejected, _ = read("mattermost-globalrelay", path)
    assert not captured and len(rejected) == max(1, "".join(pieces).count('<li class="message">'))
