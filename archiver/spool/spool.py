"""`Spool`: the one door to DATA's durable queue. Every public method is one step that may be the last one.

Holds no logic of its own: `steps` has the methods, each of which names the module that does it. Methods raise
`TryLater` when the file is locked or the disk full; then nothing was changed, and the same call may be made again.
"""

from __future__ import annotations

from archiver.spool.steps.backfills import Backfills
from archiver.spool.steps.capture import Capture
from archiver.spool.steps.contents import Contents
from archiver.spool.steps.decisions import Decided
from archiver.spool.steps.erasure import Erasure
from archiver.spool.steps.telling import Telling
from archiver.spool.steps.work import Work


class Spool(Capture, Backfills, Work, Contents, Erasure, Decided, Telling):
    """Open with `Spool.open`; safe to use from several threads; a forked child must open its own."""
