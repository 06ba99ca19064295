"""Mail servers deliver to the daemon by SMTP: plain transcript mails, and Exchange-style journal reports of others."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from itertools import count

from live.outbox import Outbox
from live.relay import HOST
from live.script import PAIR, ROOM, TALKS, Ability, Say, Step
from live.stage import Stage

_LANES = 4
_JOURNAL = "journal@archive.example.org"
_REPORTED = 3
"""Every so many is journalled by an Exchange, the rest comes as it was written."""


class MailPerformer:
    """Each message is a mail to all who take part; a server keeps it in its queue until the daemon said 250."""

    abilities = (Ability.REPLY, Ability.FILE)
    kinds: Mapping[str, str] = {PAIR: "im", ROOM: "group"}

    async def prepare(self, stage: Stage) -> str:
        port = stage.port()
        self._port = await stage.relay(port)
        return f'[smtp]\nlisten = "{HOST}:{port}"\n'

    async def start(self) -> None:
        self.outbox = Outbox(self._deliver, _LANES)
        self._numbers = count()

    async def perform(self, step: Step) -> None:
        assert isinstance(step, Say)
        mail = _mail(step)
        await self.outbox.put(_report(mail, step) if next(self._numbers) % _REPORTED == 0 else mail)

    async def restart(self) -> None:
        """A queue in memory has nothing to restart; its connections break all the time."""

    async def settle(self) -> None:
        await self.outbox.empty()

    async def stop(self) -> None:
        await self.outbox.close()

    def mailbox(self, person: str) -> str:
        return f"{person}@example.org"

    def _deliver(self, mail: EmailMessage) -> bool:
        """A connection each: so a cut finds some in every state."""
        try:
            with smtplib.SMTP(HOST, self._port, timeout=10) as client:
                client.send_message(mail, from_addr=mail["From"].addresses[0].addr_spec, to_addrs=[_JOURNAL])
            return True
        except smtplib.SMTPResponseException as refusal:
            assert 400 <= refusal.smtp_code < 500 or refusal.smtp_code == -1, refusal
        except smtplib.SMTPServerDisconnected:
            pass
        return False


def _mail(say: Say) -> EmailMessage:
    mail = EmailMessage(SMTP)
    others = [each for each in TALKS[say.talk] if each != say.who]
    mail["From"] = f"{say.who} <{say.who}@example.org>"
    mail["To"] = ", ".join(f"{each} <{each}@example.org>" for each in others)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{say.number}@example.org>"
    if say.talk == ROOM:
        mail["Subject"] = "The room of ten"
    if say.reply_to is not None:
        mail["In-Reply-To"] = f"<{say.reply_to}@example.org>"
    mail.set_content(say.text + "\n")
    if say.file is not None:
        mail.add_attachment(say.file.content, maintype="text", subtype="plain", filename=say.file.name)
    return mail


def _report(mail: EmailMessage, say: Say) -> EmailMessage:
    """As Exchange makes them: who got it, a line each, and the mail as it was."""
    report = EmailMessage(SMTP)
    report["From"] = "<MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.org>"
    report["To"] = f"<{_JOURNAL}>"
    report["Message-ID"] = f"<report-{say.number}@example.org>"
    report["X-MS-Journal-Report"] = ""
    lines = [f"Sender: {say.who}@example.org", "Subject: ", f"Message-Id: {mail['Message-ID']}"]
    lines += [f"To: {each}@example.org" for each in TALKS[say.talk] if each != say.who]
    report.set_content("\n".join(lines) + "\n")
    report.add_attachment(mail)
    return report
