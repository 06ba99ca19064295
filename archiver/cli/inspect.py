"""`archiver inspect`: what is in people's folders."""

from __future__ import annotations

import sys

import click

from archiver import inspection
from archiver.assembly import store_of
from archiver.cli.app import App, reads
from archiver.cli.output import as_json, say, size, table, when
from archiver.rendering import lines_of
from archiver.store import Store


@click.command()
@click.argument("address", required=False)
@click.argument("item", required=False)
@click.option("--raw", is_flag=True, help="The item's exact bytes.")
@click.option("--events", is_flag=True, help="The exact events the item carries, one JSON object a line.")
@reads
def inspect(app: App, address: str | None, item: str | None, raw: bool, events: bool) -> None:
    """Lists mailboxes; with ADDRESS its items; with ITEM that one as text.

    ITEM is its number in the list, or a unique beginning of its name, key or Message-ID.
    """
    if (raw or events) and item is None:
        raise click.UsageError("--raw and --events need an ADDRESS and an ITEM")
    store = store_of(app.config(), app.data)
    if address is None:
        _folders(app, store)
    elif item is None:
        _items(app, store, address)
    else:
        _item(app, store, address, item, raw=raw, events=events)


def _folders(app: App, store: Store) -> None:
    found = list(inspection.folders(store))
    if app.json:
        return as_json(found)
    if not found:
        return say(f"Nothing is filed in {app.data} yet.")
    table(
        ("mailbox", "folder", "items", "unread", "size", "first (UTC)", "last (UTC)"),
        [(f.mailbox, f.folder, f.items, f.unseen, size(f.bytes), when(f.first), when(f.last)) for f in found],
        right=(2, 3, 4),
    )
    return say(f"\n{len({f.mailbox for f in found}):,} mailboxes, {sum(f.items for f in found):,} items.")


def _items(app: App, store: Store, address: str) -> None:
    found = inspection.items(store, address)
    if app.json:
        return as_json(found)
    return table(
        ("#", "date (UTC)", "subject", "from", "people", "kind", "", "size"),
        [(i.number, when(i.date), i.subject, i.sender, i.people, i.kind, _marks(i), size(i.size)) for i in found],
        right=(0, 4, 7),
    )


def _marks(item: inspection.ItemSummary) -> str:
    words = [word for word, is_so in (("missed", item.missed), ("unread", item.unseen)) if is_so]
    return ", ".join([*words, *(["flagged"] if "F" in item.flags else [])])


def _item(app: App, store: Store, address: str, item: str, *, raw: bool, events: bool) -> None:
    shown = inspection.show(store, inspection.find(store, address, item))
    if raw:
        sys.stdout.buffer.write(shown.content)
    elif events:
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines_of(shown.content)))
    elif app.json:
        as_json({"item": shown.summary, "headers": shown.headers, "text": shown.text})
    else:
        for name, value in shown.headers.items():
            say(f"{name}: {value}")
        say()
        say(shown.text.rstrip("\n"))
