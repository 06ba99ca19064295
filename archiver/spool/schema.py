"""The tables of DATA/spool.db and their migrations. Holds no queries but those that make tables.

Numbers of events, filings and deliveries come from `counter`, never from the tables' own rowids: they must not be
given again after a row has left, and SQLite's AUTOINCREMENT writes its own table once a row instead of once a batch.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from archiver.exceptions import EnvironmentFault

migrations = Migrations("archiver.spool")

_FIRST = """
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('event', 0), ('filing', 0), ('delivery', 0);

CREATE TABLE feed (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('live', 'import')),
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    partial INTEGER NOT NULL,
    opened INTEGER NOT NULL,
    contact INTEGER,
    closed INTEGER,
    owner TEXT,
    path TEXT,
    accepted INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    conflicts INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    cleaned INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE source (
    n INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    live INTEGER REFERENCES feed (n),
    spooled INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE place (
    n INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source (n),
    conversation TEXT NOT NULL,
    kind TEXT NOT NULL,
    partial INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    claimed_due INTEGER,
    owner TEXT,
    lease_until INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    parked_at INTEGER,
    error TEXT,
    UNIQUE (source, conversation)
) STRICT;
CREATE INDEX place_due ON place (due_at) WHERE due_at IS NOT NULL AND owner IS NULL;
CREATE INDEX place_leased ON place (lease_until) WHERE owner IS NOT NULL;
CREATE INDEX place_parked ON place (parked_at) WHERE parked_at IS NOT NULL;

CREATE TABLE feed_place (
    feed INTEGER NOT NULL REFERENCES feed (n),
    place INTEGER NOT NULL REFERENCES place (n),
    pending INTEGER NOT NULL,
    PRIMARY KEY (feed, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_place_pending ON feed_place (feed, place) WHERE pending = 1;

CREATE TABLE event (
    n INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    time INTEGER NOT NULL,
    received INTEGER NOT NULL,
    feed INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX event_place ON event (place, time);

CREATE TABLE identity (
    key INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,
    digest INTEGER NOT NULL
) STRICT;

CREATE TABLE conflict (
    n INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    feed INTEGER NOT NULL REFERENCES feed (n),
    event INTEGER NOT NULL,
    kept BLOB,
    other BLOB NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (key, digest)
) STRICT;

CREATE TABLE quarantine (
    n INTEGER PRIMARY KEY,
    feed INTEGER NOT NULL REFERENCES feed (n),
    source TEXT NOT NULL,
    position TEXT NOT NULL,
    reason TEXT NOT NULL,
    file TEXT NOT NULL,
    size INTEGER NOT NULL,
    cleaned INTEGER,
    at INTEGER NOT NULL,
    UNIQUE (file, source, position)
) STRICT;

CREATE TABLE blob (sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE blob_holder (
    sha256 TEXT NOT NULL,
    holder TEXT NOT NULL,
    PRIMARY KEY (sha256, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_holder_holder ON blob_holder (holder);

CREATE TABLE roster (
    place INTEGER PRIMARY KEY REFERENCES place (n),
    upto INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE filing (
    n INTEGER PRIMARY KEY,
    place INTEGER NOT NULL REFERENCES place (n),
    version BLOB NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    part INTEGER NOT NULL,
    events BLOB NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    attempted_at INTEGER NOT NULL,
    next_at INTEGER,
    filed_at INTEGER,
    error TEXT,
    UNIQUE (place, version)
) STRICT;
CREATE INDEX filing_ended ON filing (place, ended);
CREATE INDEX filing_parked ON filing (place) WHERE state = 'parked';

CREATE TABLE mailbox (n INTEGER PRIMARY KEY, address TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE delivery (
    n INTEGER PRIMARY KEY,
    filing INTEGER NOT NULL REFERENCES filing (n),
    mailbox INTEGER NOT NULL REFERENCES mailbox (n),
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    mask BLOB,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    replaces BLOB,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX delivery_filing ON delivery (filing);
CREATE INDEX delivery_withheld ON delivery (mailbox) WHERE state = 'withheld';
CREATE INDEX delivery_parked ON delivery (mailbox) WHERE state = 'parked';

CREATE TABLE tally (
    mailbox INTEGER NOT NULL REFERENCES mailbox (n),
    state TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (mailbox, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE stranger (
    source TEXT NOT NULL,
    address TEXT NOT NULL,
    seen INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (source, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE recall (
    place INTEGER NOT NULL,
    target INTEGER NOT NULL,
    filing INTEGER NOT NULL,
    PRIMARY KEY (place, target)
) STRICT, WITHOUT ROWID;
"""


_HOLDS = """
CREATE TABLE hold (
    n INTEGER PRIMARY KEY,
    mailbox TEXT NOT NULL,
    "by" TEXT NOT NULL,
    reason TEXT NOT NULL,
    placed INTEGER NOT NULL,
    "query" TEXT NOT NULL,
    released INTEGER,
    taken INTEGER
) STRICT;
CREATE INDEX hold_mailbox ON hold (mailbox) WHERE released IS NULL;
CREATE INDEX hold_untaken ON hold (n) WHERE released IS NULL AND taken IS NULL;

CREATE TABLE audit (
    n INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    "by" TEXT NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'nothing in the audit log changes'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'nothing leaves the audit log'); END;
CREATE TRIGGER audit_in_order BEFORE INSERT ON audit WHEN NEW.n <> (SELECT ifnull(max(n), 0) + 1 FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit log is written in order'); END;

CREATE TABLE chain (mailbox TEXT PRIMARY KEY, length INTEGER NOT NULL, head TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE exclusion (
    n INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    conversation TEXT NOT NULL,
    person TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    "by" TEXT NOT NULL,
    reason TEXT NOT NULL,
    placed INTEGER NOT NULL,
    events INTEGER NOT NULL DEFAULT 0
) STRICT;
"""


@migrations()
def first(db: Database) -> None:
    _make(db, _FIRST)


@migrations()
def destination(db: Database) -> None:
    """What was filed before there was an archive went to Conversation History."""
    db.execute("ALTER TABLE delivery ADD COLUMN destination TEXT NOT NULL DEFAULT 'history'")


_RECALL_EVERY_TEXT = """
CREATE TABLE recall_new (
    place INTEGER NOT NULL,
    target INTEGER NOT NULL,
    filing INTEGER NOT NULL,
    PRIMARY KEY (place, target, filing)
) STRICT, WITHOUT ROWID;
INSERT INTO recall_new SELECT place, target, filing FROM recall;
DROP TABLE recall;
ALTER TABLE recall_new RENAME TO recall;
"""


@migrations()
def recall_every_text(db: Database) -> None:
    """A message edited long after it was filed stands in two filings."""
    _make(db, _RECALL_EVERY_TEXT)


@migrations()
def holds(db: Database) -> None:
    """Holds, exclusions, the audit log; what the spool knows of the archives' manifests."""
    _make(db, _HOLDS)


_TALLY_BY_DESTINATION = """
CREATE TABLE new_tally (
    mailbox INTEGER NOT NULL REFERENCES mailbox (n),
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (mailbox, destination, state)
) STRICT, WITHOUT ROWID;
INSERT INTO new_tally SELECT mailbox, 'history', state, deliveries, bytes FROM tally;
DROP TABLE tally;
ALTER TABLE new_tally RENAME TO tally;
"""


@migrations()
def tally_by_destination(db: Database) -> None:
    _make(db, _TALLY_BY_DESTINATION)


_LOCAL_ARCHIVE = """
CREATE TABLE local_archive (
    n INTEGER PRIMARY KEY,
    place INTEGER NOT NULL REFERENCES place (n),
    version BLOB NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL,
    exported INTEGER,
    content BLOB NOT NULL,
    UNIQUE (place, name)
) STRICT;
CREATE TABLE local_participant (
    item INTEGER NOT NULL REFERENCES local_archive (n),
    mailbox INTEGER NOT NULL REFERENCES mailbox (n),
    PRIMARY KEY (item, mailbox)
) STRICT, WITHOUT ROWID;
CREATE INDEX local_participant_mailbox ON local_participant (mailbox, item);
"""


@migrations()
def local_archive(db: Database) -> None:
    _make(db, _LOCAL_ARCHIVE)


def _make(db: Database, statements: str) -> None:
    # executescript() would commit the migration's transaction, so the statements go one by one.
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()
def dropping(db: Database) -> None:
    """Every command to drop what was withheld: who gave it, when, why, and what it dropped."""
    db.execute(
        """CREATE TABLE dropping (
            at INTEGER NOT NULL,
            mailbox INTEGER NOT NULL REFERENCES mailbox (n),
            conversation TEXT NOT NULL,
            person TEXT NOT NULL,
            reason TEXT NOT NULL,
            deliveries INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (at, mailbox, conversation, person, reason)
        ) STRICT, WITHOUT ROWID"""
    )


@migrations()
def empty(db: Database) -> None:
    """Conversations without content are counted by source; those of older versions are counted when they change."""
    db.execute("ALTER TABLE source ADD COLUMN empty INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE filing ADD COLUMN empty INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX filing_empty ON filing (place, ended) WHERE empty = 1")


_FAILURES = """
ALTER TABLE delivery ADD COLUMN failed INTEGER;
CREATE INDEX delivery_failed ON delivery (filing)
    WHERE failed IS NOT NULL AND state IN ('attempted', 'withheld');
CREATE TABLE put_off (pool TEXT PRIMARY KEY, events INTEGER NOT NULL, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


@migrations()
def failures(db: Database) -> None:
    """When a delivery to an archive first failed; what critical mode refused."""
    _make(db, _FAILURES)


@migrations()
def audited_heads(db: Database) -> None:
    """Up to which line the audit log tells where a manifest ended."""
    db.execute("ALTER TABLE chain ADD COLUMN audited INTEGER NOT NULL DEFAULT 0")


@migrations()
def mailboxes_that_migrate(db: Database) -> None:
    db.execute("CREATE TABLE migration (mailbox TEXT PRIMARY KEY, ends INTEGER NOT NULL) STRICT, WITHOUT ROWID")


@migrations()
def notices(db: Database) -> None:
    """Who was told that they are archived: `at` is when that was begun, `told` when it was done."""
    db.execute(
        """CREATE TABLE notice (
            mailbox INTEGER PRIMARY KEY REFERENCES mailbox (n), at INTEGER NOT NULL, told INTEGER
        ) STRICT"""
    )


@migrations()
def whispers(db: Database) -> None:
    """Between whom forgotten whispers were: a JSON list of addresses, more than one where an id was used again."""
    db.execute(
        """CREATE TABLE whisper (
            place INTEGER NOT NULL, target INTEGER NOT NULL, parties TEXT NOT NULL, PRIMARY KEY (place, target, parties)
        ) STRICT, WITHOUT ROWID"""
    )


@migrations()
def exports(db: Database) -> None:
    """Items of mailboxes and of their archives that were exported, and when; which items deliveries have archived."""
    db.execute(
        """CREATE TABLE exported (
            mailbox INTEGER NOT NULL REFERENCES mailbox (n),
            destination TEXT NOT NULL,
            name TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            at INTEGER NOT NULL,
            PRIMARY KEY (mailbox, destination, name)
        ) STRICT, WITHOUT ROWID"""
    )
    db.execute(
        """CREATE INDEX delivery_archived ON delivery (mailbox, name)
            WHERE destination = 'archive' AND state = 'filed'"""
    )


@migrations()
def history_of_a_mailbox(db: Database) -> None:
    """Whoever checks one mailbox reads its deliveries alone."""
    db.execute("CREATE INDEX delivery_history ON delivery (mailbox) WHERE destination = 'history' AND name <> ''")


_UNINDEXED = """
CREATE TABLE unindexed (
    n INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL,
    destination TEXT NOT NULL,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX unindexed_destination ON unindexed (destination, n);
CREATE TRIGGER delivery_new AFTER INSERT ON delivery WHEN NEW.state = 'filed' BEGIN
    INSERT INTO unindexed (mailbox, destination, folder, name, at)
        VALUES (NEW.mailbox, NEW.destination, NEW.folder, NEW.name, NEW.at); END;
CREATE TRIGGER delivery_filed AFTER UPDATE OF state, folder, name ON delivery
    WHEN NEW.state = 'filed' AND (OLD.state <> 'filed' OR (NEW.folder, NEW.name) <> (OLD.folder, OLD.name)) BEGIN
    INSERT INTO unindexed (mailbox, destination, folder, name, at)
        VALUES (NEW.mailbox, NEW.destination, NEW.folder, NEW.name, NEW.at); END;
CREATE TRIGGER delivery_gone AFTER UPDATE OF state, folder, name ON delivery
    WHEN OLD.state = 'filed' AND (NEW.state <> 'filed' OR (NEW.folder, NEW.name) <> (OLD.folder, OLD.name)) BEGIN
    INSERT INTO unindexed (mailbox, destination, folder, name, at)
        VALUES (OLD.mailbox, OLD.destination, OLD.folder, OLD.name, NEW.at); END;
"""


@migrations()
def unindexed(db: Database) -> None:
    """What the search index has to look at again. What was filed before it does when it is made."""
    _make(db, _UNINDEXED)


_IDENTITY_BY_SERIAL = """
CREATE TABLE new_identity (
    serial INTEGER NOT NULL,
    key INTEGER NOT NULL,
    event INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    PRIMARY KEY (serial, key)
) STRICT, WITHOUT ROWID;
INSERT INTO counter SELECT 'by_serial', NOT EXISTS (SELECT 1 FROM identity);
INSERT INTO new_identity SELECT 0, key, event, digest FROM identity ORDER BY key;
DROP TABLE identity;
ALTER TABLE new_identity RENAME TO identity;
"""


@migrations()
def identity_by_serial(db: Database) -> None:
    """Ids that are numbered stand in the order of their numbers, not all over the table.

    A spool that has identities knows none of their numbers: it stays with 0 for all, and so says its counter.
    """
    _make(db, _IDENTITY_BY_SERIAL)


@migrations()
def readings(db: Database) -> None:
    """What live sources tell of themselves."""
    db.execute(
        """CREATE TABLE reading (
            feed INTEGER PRIMARY KEY REFERENCES feed (n),
            heard INTEGER,
            lag INTEGER,
            rate REAL NOT NULL,
            gaps INTEGER,
            refused INTEGER NOT NULL,
            at INTEGER NOT NULL
        ) STRICT"""
    )


_PIECES = """
CREATE TABLE local_piece (
    sha256 TEXT NOT NULL,
    number INTEGER NOT NULL,
    content BLOB NOT NULL,
    UNIQUE (sha256, number)
) STRICT;
CREATE INDEX local_archive_in_pieces ON local_archive (sha256) WHERE content = x'';
CREATE TRIGGER local_archive_rewritten AFTER UPDATE OF sha256 ON local_archive WHEN NEW.sha256 <> OLD.sha256 BEGIN
    DELETE FROM local_piece WHERE sha256 = OLD.sha256; END;
"""


@migrations()
def pieces(db: Database) -> None:
    """Large contents of the local archive; what takes the place of one leaves nothing of it."""
    _make(db, _PIECES)


_BACKFILLS = """
CREATE TABLE backfill (
    n INTEGER PRIMARY KEY,
    feed INTEGER NOT NULL REFERENCES feed (n),
    format TEXT NOT NULL,
    paths TEXT NOT NULL,
    options TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER,
    state TEXT NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    conflicts INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    cleaned INTEGER NOT NULL DEFAULT 0,
    report TEXT
) STRICT;
CREATE INDEX backfill_feed ON backfill (feed);
CREATE TABLE brought (
    run INTEGER NOT NULL REFERENCES backfill (n),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (run, first)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX brought_last ON brought (run, last);
CREATE TABLE input (
    key BLOB PRIMARY KEY,
    pieces INTEGER NOT NULL,
    whole INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


@migrations()
def backfills(db: Database) -> None:
    """Backfills by number, the numbers of the events they brought, and how far they came in what they read."""
    _make(db, _BACKFILLS)


@migrations()
def parts_of_reports(db: Database) -> None:
    """What each batch of a backfill that is under way adds to its report."""
    _make(
        db,
        """
        CREATE TABLE backfill_part (
            n INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES backfill (n),
            told TEXT NOT NULL
        ) STRICT;
        CREATE INDEX backfill_part_run ON backfill_part (run);
        """,
    )


@migrations()
def faults_of_sources(db: Database) -> None:
    """Why a live source doesn't run, and how often it was started anew."""
    db.execute("ALTER TABLE reading ADD COLUMN fault TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE reading ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0")


@migrations()
def events_of_runs(db: Database) -> None:
    """Which run brought an event: asked when a live source tells it again."""
    db.execute("CREATE INDEX brought_first ON brought (first)")


@migrations()
def nicks(db: Database) -> None:
    """Where the directory's word for a nick alone was used."""
    db.execute("CREATE TABLE nick (nick TEXT NOT NULL, place TEXT NOT NULL, PRIMARY KEY (nick, place)) WITHOUT ROWID")


@migrations()
def events_of_several_runs(db: Database) -> None:
    """What backfills told that the spool had already."""
    _make(
        db,
        """
        CREATE TABLE told_again (
            run INTEGER NOT NULL REFERENCES backfill (n),
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            PRIMARY KEY (run, first)
        ) STRICT, WITHOUT ROWID;
        """,
    )


def bring_up_to_date(db: Database) -> None:
    """Apply what is missing; refuse a file that a newer version of the archiver has made."""
    _refuse_newer(db)
    if migrations.pending(db):
        migrations.apply(db)


def require_current(db: Database) -> None:
    """For who may only read: refuse a file whose tables are not, or not yet, the ones of this version."""
    _refuse_newer(db)
    if migrations.pending(db):
        raise EnvironmentFault(
            "this spool was made by an earlier archiver, or its making was cut short",
            hint="`archiver run`, or once `archiver run --once`, brings it up to date",
        )


def _refuse_newer(db: Database) -> None:
    known = {migration.name for migration in migrations._migrations}
    unknown = {migration.name for migration in migrations.applied(db)} - known
    if unknown:
        raise EnvironmentFault(
            f"this spool was made by a newer archiver (it knows of {', '.join(sorted(unknown))})",
            hint="run the newer version again, or another data directory",
        )
