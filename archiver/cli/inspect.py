"""`archiver inspect`: what is in people's folders."""

from __future__ import annotations

from pathlib import Path

import click

from archiver import inspection
from archiver.addresses import normal
from archiver.assembly import store_of
from archiver.cli import listing, searching, transcript
from archiver.cli.app import App, reads
from archiver.cli.listing import Asked
from archiver.cli.output import write
from archiver.cli.overview import print_overview
from archiver.cli.searching import Sought
from archiver.rendering import lines_of


@click.command()
@click.argument("address", required=False)
@click.argument("item", required=False)
@listing.options
@click.option("--raw", is_flag=True, help="The item's exact bytes.")
@click.option("--events", is_flag=True, help="The exact events the item carries, one JSON object a line.")
@click.option("--history", is_flag=True, help="Each version of the item's conversation in the journal, newest first.")
@click.option("--verify", is_flag=True, help="Check whether all that was filed, or ADDRESS's, is there as it was.")
@click.option("--repair", is_flag=True, help="With --verify: mend what can be mended without loss.")
@click.option(
    "--maildir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --verify: a copied Maildir.",
)
@searching.options
@click.option("--web", is_flag=True, help="Serve it all as a page to read, on this machine alone by default.")
@click.option("--tui", is_flag=True, help="Look through it all, or from ADDRESS on, by keyboard on this terminal.")
@click.option("--listen", metavar="HOST:PORT", help="With --web: where; off loopback it needs [web] password and TLS.")
@click.option("--no-token", is_flag=True, help="With --web: let everybody on this machine read, without a token.")
@click.option("--make-password", is_flag=True, help="With --web: print what [web] password takes, and serve nothing.")
@reads
def inspect(
    app: App,
    address: str | None,
    item: str | None,
    raw: bool,
    events: bool,
    history: bool,
    verify: bool,
    repair: bool,
    maildir: Path | None,
    web: bool,
    tui: bool,
    listen: str | None,
    no_token: bool,
    make_password: bool,
    asked: Asked,
    sought: Sought,
) -> None:
    """Lists mailboxes: their folders, archives, what is kept back; with ADDRESS its items; with ITEM that one as text.

    ADDRESS is a mailbox, or a beginning that no other has. ITEM is its number in the list, its Message-ID, name or
    key, or the conversation's id, or a beginning of these that no other has.
    """
    if (raw or events or history) and item is None:
        raise click.UsageError("--raw, --events and --history need an ADDRESS and an ITEM")
    if raw + events + history > 1:
        raise click.UsageError("--raw, --events and --history at once can't be told apart: name one")
    if verify and item:
        raise click.UsageError("--verify checks whole mailboxes: it takes an ADDRESS and nothing more")
    if sought.is_asked and (verify or item):
        raise click.UsageError("--search and --reindex look through whole mailboxes: they take an ADDRESS alone")
    if verify or item:
        asked.refuse("filters, --sort and --csv are for lists: they go with an ADDRESS alone")
    if (repair or maildir) and not verify:
        raise click.UsageError("--repair and --maildir belong to --verify")
    if maildir and address:
        raise click.UsageError("--maildir is somebody's copy: it has no ADDRESS")
    if (listen or no_token or make_password) and not web:
        raise click.UsageError("--listen, --no-token and --make-password belong to --web")
    if web and (address or verify or sought.is_asked or asked.has_filter or asked.csv):
        raise click.UsageError("--web shows everything: it takes no ADDRESS, filter or other view")
    if tui and (item or verify or web or app.json or sought.is_asked or asked.has_filter or asked.csv):
        raise click.UsageError("--tui has keys for all else: it takes an ADDRESS at most")
    if web:
        return _web(app, listen, no_token=no_token, make_password=make_password)
    mailbox = (normal("", address) or address) if address else None  # also as `sip:` or `xmpp:` has it, in any case
    if tui:
        return _browse(app, mailbox)
    if verify:
        return _verify(app, mailbox, maildir, repair=repair)
    store = store_of(app.config(), app.data)
    if sought.is_asked:
        return searching.run(app, inspection.mailbox_of(store, mailbox) if mailbox else None, sought, asked)
    if mailbox is None:
        return print_overview(app, store, asked)
    mailbox = inspection.mailbox_of(store, mailbox)
    if item is None:
        return listing.print_items(app, store, mailbox, asked)
    found = inspection.find(store, mailbox, item)
    if raw or events:
        content = inspection.content(store, found)
        return write(content if raw else b"".join(line + b"\n" for line in lines_of(content)))
    if history:
        return transcript.print_history(app, found)
    return transcript.print_item(app, inspection.show(store, found))


def _verify(app: App, mailbox: str | None, maildir: Path | None, *, repair: bool) -> None:
    from archiver.cli import verify  # loads all that files: who only lists a folder doesn't wait for it

    if maildir:
        return verify.verify_copy(app, maildir, repair=repair)
    return verify.verify(app, mailbox, repair=repair)


def _browse(app: App, mailbox: str | None) -> None:
    from archiver.cli import tui  # asks for what only its own extra installs

    return tui.browse(app, mailbox)


def _web(app: App, listen: str | None, *, no_token: bool, make_password: bool) -> None:
    from archiver.cli import web  # asks for what only its own extra installs

    return web.make_password(app) if make_password else web.serve(app, listen, no_token=no_token)
