"""The durable spool: queue of captured events, leases, journal of deliveries, quarantine and blobs (SQLite).

`Spool` is the door, `steps` its methods. Modules: `intake` and `accepting` append, `identities` and `likeness` compare
what comes again, `feeds` and `watermark` know sources, `places` claims work, `reading` gives events, `journal`, `kept`
and `dropping` record deliveries, `forgetting` lets events go, `status` counts; `holds`, `exclusions`, `audit`, `chains`
keep what was decided, `runs` the backfills.
Holds nothing of conversations, policy or items.
"""

from archiver.spool.batch import Sealed, seal
from archiver.spool.forgetting import Cache
from archiver.spool.likeness import Others
from archiver.spool.locks import Lock
from archiver.spool.pace import Pace
from archiver.spool.records import Appended, Feed, Watermark
from archiver.spool.spool import Spool
from archiver.spool.steps.opened import clock, missing
from archiver.spool.watermark import FOREVER, watermark

__all__ = [
    "FOREVER",
    "Appended",
    "Cache",
    "Feed",
    "Lock",
    "Others",
    "Pace",
    "Sealed",
    "Spool",
    "Watermark",
    "clock",
    "missing",
    "seal",
    "watermark",
]
