"""From the spool to the folders: the last items don't depend on the order in which their events arrived."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive_builder import Archive
from builders import DAY, HOUR, MINUTE, edit, react, say

PEOPLE = ["a@x.org", "b@x.org"]
MESSAGE = say(PEOPLE[0], "hello", HOUR, id="m1", present=PEOPLE)
REFERENCES = [
    react(PEOPLE[1], "m1", "+", HOUR + 30 * MINUTE, present=PEOPLE),
    react(PEOPLE[1], "m1", "+", HOUR - 30 * MINUTE, present=PEOPLE),
    edit(PEOPLE[0], "m1", "hello all", HOUR + 30 * MINUTE, present=PEOPLE),
]


def last(data: Path, *batches: list) -> dict[str, list[str]]:
    """The texts in each mailbox after filing batch by batch."""
    archive = Archive(data)
    for number, batch in enumerate(batches):
        archive.take(batch, DAY + number)
    found = {mailbox: archive.texts(mailbox) for mailbox in PEOPLE}
    archive.spool.close()
    return found


@pytest.mark.parametrize("reference", REFERENCES, ids=["later reaction", "earlier reaction", "later edit"])
def test_a_reference_filed_alone_goes_when_its_message_comes(tmp_path: Path, reference) -> None:
    at_once = last(tmp_path / "once", [MESSAGE, reference])
    assert any("hello" in text for text in at_once[PEOPLE[0]])
    assert last(tmp_path / "apart", [reference], [MESSAGE]) == at_once
