"""Whether Conversation History is what was filed: folders against the journal, items against their own events.

    journal ─► ledger ◄─ walk (every file) ─► proof (item against its events)
                  └────► account: what is missing, in excess, twice, elsewhere; and what their owners did

What an owner does with a mail client is told, and is no damage. Finds all there is; what can be mended without loss
is, where that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from archiver.inspection.accounting import Accounting
from archiver.inspection.case import Case, Told
from archiver.inspection.proving import Proving
from archiver.inspection.verifying import Problem
from archiver.inspection.walking import Walk, silent


def examine(case: Case, progress: Callable[[str, int], None] = silent) -> Iterator[Problem | Told]:
    """One mailbox. The journal's part comes last: by then everything has been seen."""
    yield from Walk(case, Proving(case), progress).run()
    yield from Accounting(case).run()
    case.ledger.done(case.mailbox)
