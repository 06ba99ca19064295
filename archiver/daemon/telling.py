"""Tells people once that they are archived, if the configuration says what. Holds no text.

The attempt is on record before it is made: after a crash the notice is looked for, under the time it was begun.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from archiver.config.archiving import Notice
from archiver.decisions import gate
from archiver.filing.pipeline import Terms
from archiver.rendering import notice
from archiver.spool import Spool
from archiver.spool.records import Untold
from archiver.store import MaildirStore
from archiver.store.protocol import Put

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Told in one round, so that filing goes on."""


def tell(spool: Spool, store: MaildirStore, terms: Terms, said: Notice, now: int) -> int:
    """How many were told. Whose store can't take items yet is told once it can."""
    if not said.text:
        return 0
    some = [each for each in spool.untold() if _can_have_it(each.mailbox, terms)][:AT_ONCE]
    spool.begin_notices([each.mailbox for each in some if each.begun is None], now)
    told = [each.mailbox for each in _put(some, store, terms, said, now)]
    spool.finish_notices(told, now)
    return len(told)


def _can_have_it(mailbox: str, terms: Terms) -> bool:
    """Whether Conversation History is for this store; that it is switched off keeps nobody from being told."""
    version = terms.directory.mailbox(mailbox).version
    return gate.capable(version, gate.Feature.IM, terms.gate.pairing).allowed


def _put(some: list[Untold], store: MaildirStore, terms: Terms, said: Notice, now: int) -> Iterator[Untold]:
    """Those whose notice is durable."""
    for again in (False, True):
        these = [each for each in some if (each.begun is not None) is again]
        puts = [_notice(each, terms, said, now) for each in these]
        for each, outcome in zip(these, store.put(puts, careful=again), strict=True):
            if outcome is None:
                yield each
            else:
                log.warning("not told", mailbox=each.mailbox, why=str(outcome), hint=outcome.hint)


def _notice(each: Untold, terms: Terms, said: Notice, now: int) -> Put:
    mailbox = terms.directory.mailbox(each.mailbox)
    folder = mailbox.folder or terms.folder_of(mailbox.locale)
    at = now if each.begun is None else each.begun
    return Put(each.mailbox, folder, notice(said.subject, said.text, at), flags="")
