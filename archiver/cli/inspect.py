"""`archiver inspect`: what is in people's folders."""

from __future__ import annotations

import click

from archiver import inspection
from archiver.addresses import normal
from archiver.assembly import archive_of, store_of
from archiver.cli.app import App, reads
from archiver.cli.output import as_json, counted, say, size, table, when, write
from archiver.exceptions import UsageError
from archiver.logs import plain
from archiver.rendering import lines_of
from archiver.spool import Spool
from archiver.store import Store
from archiver.types import Head


@click.command()
@click.argument("address", required=False)
@click.argument("item", required=False)
@click.option("--raw", is_flag=True, help="The item's exact bytes.")
@click.option("--events", is_flag=True, help="The exact events the item carries, one JSON object a line.")
@click.option("--verify", is_flag=True, help="Check the compliance archive, or ADDRESS's, against its manifest.")
@reads
def inspect(app: App, address: str | None, item: str | None, raw: bool, events: bool, verify: bool) -> None:
    """Lists mailboxes; with ADDRESS its folders and items; with ITEM that one as text.

    ITEM is its number in the list, or a unique beginning of its name, key or Message-ID.
    """
    if (raw or events) and item is None:
        raise click.UsageError("--raw and --events need an ADDRESS and an ITEM")
    if raw and events:
        raise click.UsageError("--raw and --events at once can't be told apart: name one")
    if verify and (item or raw or events):
        raise click.UsageError("--verify checks whole archives: it takes an ADDRESS and nothing more")
    mailbox = (normal("", address) or address) if address else None  # also as `sip:` or `xmpp:` has it, in any case
    if verify:
        return _verify(app, mailbox)
    store = store_of(app.config(), app.data)
    if mailbox is None:
        return _folders(app, store)
    if item is None:
        return _items(app, store, mailbox)
    found = inspection.find(store, mailbox, item)
    if raw or events:
        content = inspection.content(store, found)
        return write(content if raw else b"".join(line + b"\n" for line in lines_of(content)))
    return _item(app, inspection.show(store, found))


def _folders(app: App, store: Store) -> None:
    found = list(inspection.folders(store))
    if app.json:
        return as_json(found)
    if not found:
        return say(f"Nothing is filed in {app.data} yet.")
    _folder_table(found)
    mailboxes, items = len({f.mailbox for f in found}), sum(f.items for f in found)
    return say(f"\n{counted(mailboxes, 'mailbox', 'mailboxes')}, {counted(items, 'item')}.")


def _folder_table(found: list[inspection.FolderSummary]) -> None:
    table(
        ("mailbox", "folder", "items", "unread", "size", "first (UTC)", "last (UTC)"),
        [(f.mailbox, f.folder, f.items, f.unseen, size(f.bytes), when(f.first), when(f.last)) for f in found],
        right=(2, 3, 4),
    )


def _items(app: App, store: Store, mailbox: str) -> None:
    found = inspection.items(store, mailbox)
    if app.json:
        return as_json(found)
    _folder_table(list(inspection.folders(store, [mailbox])))
    say()
    several = len({i.folder for i in found}) > 1
    table(
        ("#", "date (UTC)", "subject", "from", "people", "kind", "", "size", "folder" if several else ""),
        [
            (i.number, when(i.date), i.subject, i.sender, i.people, i.kind, _marks(i), size(i.size), i.folder)[
                : 9 if several else 8
            ]
            for i in found
        ],
        right=(0, 4, 7),
    )
    return say(f"\nOne of them as text: archiver inspect {mailbox} NUMBER") if found else None


def _marks(item: inspection.ItemSummary) -> str:
    marks = {"missed": item.missed, "unread": item.unseen, "flagged": "F" in item.flags, "deleted": "T" in item.flags}
    return ", ".join(word for word, is_so in marks.items() if is_so)


def _item(app: App, shown: inspection.Shown) -> None:
    if app.json:
        return as_json({"item": shown.summary, "headers": shown.headers, "text": shown.text})
    for name, value in shown.headers.items():
        say(f"{name}: {value}")
    say()
    return say(shown.text.rstrip("\n"))


def _verify(app: App, mailbox: str | None) -> None:
    """Says each problem; the exit status tells whether there is any."""
    archive = archive_of(app.config(), app.data)
    heads = _heads(app)
    checked = inspection.archives(archive, heads)
    if mailbox is not None and mailbox not in checked:
        raise UsageError(f"there is no archive of {mailbox}", hint="`archiver inspect --verify` checks all there are")
    checked = checked if mailbox is None else [mailbox]
    problems = list(inspection.verify(archive, checked, heads))
    if app.json:
        as_json(problems)
    else:
        _problems(problems, len(checked))
    if problems:
        click.get_current_context().exit(1)


def _problems(problems: list[inspection.Problem], archives: int) -> None:
    for each in problems:
        say(plain(f"{each.code} {each.mailbox} {each.place}: {each.found}"))  # one line, whatever a file is called
        say(f"      {each.advice}")
    what = f"{counted(archives, 'archive')} checked"
    say(f"{what}, {counted(len(problems), 'problem')} found." if problems else f"{what}, all as filed.")


def _heads(app: App) -> dict[str, list[Head]]:
    """Where, by the spool, manifests end: as noted when items were filed, and as the audit log has it."""
    if not Spool.exists(app.data):
        return {}
    with app.reading_spool() as spool:
        noted, told = spool.heads(), spool.audited_heads()
    return {mailbox: [heads[mailbox] for heads in (noted, told) if mailbox in heads] for mailbox in noted | told}
