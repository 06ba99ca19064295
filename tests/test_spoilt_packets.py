"""What comes from a network spoilt: HEP packets with SIP in them, and journal reports. Never a crash, never a hang.

A number in SPOILT makes a campaign of that many, each time with others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from effort import examples
from sip_builder import ANN, BOB, answer, hep, request, roster
from spoiling import no_longer_than, spoilt

from archiver.events import SECOND, Captured, Rejected
from archiver.exceptions import EventError
from archiver.sources.mail import read_mail
from archiver.sources.sip.hep import read_packet
from archiver.sources.sip.message import read_message
from archiver.sources.sip.telling import events_of
from archiver.sources.sip.tracking import Tracking

MAIL = Path(__file__).parent.parent / "fixtures" / "mail"
AT_ONCE = 1_000
"""Inputs that may take a minute together, and take a second."""

CPIM = (
    b"From: Ann <im:ann@a.example>\r\nTo: <im:bob@b.example>\r\nDateTime: 2000-12-13T13:40:00-08:00\r\n\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nhello"
)
PACKETS = (
    hep(request()),
    hep(request(body="größer", headers="Contact: <sip:x@y;a=b>;q=0.1\r\n"), key=b"secret", kind=1),
    hep(request(body=CPIM, kind="message/cpim")),
    hep(request("INVITE", "v=0\r\n", kind="application/sdp", headers="Subject: plans\r\n")),
    hep(request("BYE", "", to_tag="t2")),
    hep(answer(200, "INVITE")),
    hep(roster(1, ANN, BOB, topic="plans")[0], correlation="call 7"),
)
TAKEN = read_message(roster(1)[1])
"""The answer to the last, with which it counts."""
REPORT = (
    b"From: <MicrosoftExchange@example.org>\r\nTo: <journal@example.org>\r\nMessage-ID: <r@example.org>\r\n"
    b"X-MS-Journal-Report:\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain\r\n\r\nSender: ann@example.org\r\nSubject: x\r\nMessage-Id: <1@example.org>\r\n"
    b"To: bob@example.org\r\nBcc: eve@example.org, Expanded: all@example.org\r\n\r\n--b\r\n"
    b"Content-Type: message/rfc822\r\n\r\nFrom: Ann <ann@example.org>\r\nTo: =?utf-8?q?B=C3=B6b?= <bob@example.org>\r\n"
    b"Message-ID: <1@example.org>\r\nDate: Tue, 05 Mar 2024 15:04:10 +0000\r\nContent-Type: text/html\r\n\r\n"
    b"<p>hello <b>you</b></p>\r\n--b--\r\n"
)
REPORTS = (REPORT, *(each.read_bytes() for each in sorted(MAIL.glob("*.eml"))))


def hear(packet: bytes) -> str:
    try:
        read = read_packet(packet)
        message = read_message(read.payload, read.correlation)
    except EventError:
        return "refused"
    tracking = Tracking()
    happenings = [*tracking.take(message, 1, 1, 1.0), *tracking.take(TAKEN, 1, 1, 1.0), *tracking.drain(1.0)]
    found = [piece for each in happenings for piece in events_of(each, source="sip:x", received=1_800_000_000 * SECOND)]
    return "refused" if any(isinstance(each, Rejected) for each in found) else "read"


def deliver(mail: bytes) -> str:
    found = list(read_mail(mail, source="smtp:mail", received=1_800_000_000 * SECOND))
    assert found and all(isinstance(each, Captured | Rejected) for each in found)
    bugs = [each.reason for each in found if isinstance(each, Rejected) and "not understood" in each.reason]
    assert not bugs, bugs
    return "read" if any(isinstance(each, Captured) for each in found) else "refused"


@pytest.mark.slow
@pytest.mark.parametrize(("take", "samples", "few"), [(hear, PACKETS, 20_000), (deliver, REPORTS, 4_000)])
def test_whatever_comes_is_read_or_refused(take: Callable[[bytes], str], samples: tuple[bytes, ...], few: int) -> None:
    campaign = int(os.environ.get("SPOILT", "0"))
    first = Random().randrange(2**32) if campaign else 0
    outcomes: Counter[str] = Counter()
    for start in range(first, first + (campaign or examples(few)), AT_ONCE):
        with no_longer_than(60):
            for seed in range(start, start + AT_ONCE):
                random = Random(seed)
                content = spoilt(random.choice(samples), random)
                try:
                    outcomes[take(content)] += 1
                except Exception as fault:
                    raise AssertionError(f"seed {seed}: {content!r}") from fault
    assert set(outcomes) == {"read", "refused"}
