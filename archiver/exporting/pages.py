"""Items as pages to read without any server: one a conversation beside its EML file, its pictures, and `index.html`.

    NAME.eml          the item itself
    NAME.html         what its owner sees of it, made harmless as on the page of `archiver inspect --web`
    NAME.files/1.png  its pictures

Nothing in it runs, and nothing is asked for from elsewhere; links within are relative. Times and names are the item's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

from archiver.exporting.folders import Files, FolderForm
from archiver.exporting.manifest import Row, day_and_clock
from archiver.exporting.records import Piece
from archiver.inspection.messages import header
from archiver.rendering.markup import plain
from archiver.web.frame import END, STYLE_DIGEST, beginning, language_of, main
from archiver.web.parts import File, Parts

INDEX = "index.html"
POLICY = (
    "default-src 'none'; img-src 'self' file:; "
    f"style-src 'sha256-{STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; script-src 'none'"
)
"""`file:` beside `self`: a page on disk is of no origin, and its pictures lie on disk too."""

LARGEST = 128 * 1024 * 1024
"""Bytes of an item that is taken apart."""
_MOST = 1024 * 1024
_CID = re.compile("cid:", re.IGNORECASE)
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


def html(root: Path) -> FolderForm:
    return FolderForm(root, page_files, exact=True, index=(INDEX, index))


def page_files(piece: Piece, content: bytes) -> Files:
    """The item and its page, with the pictures that it shows."""
    parts = Parts(content if len(content) <= LARGEST else _head(content))
    yield ".eml", content
    for file in parts.files:
        if file.picture:
            yield f".files/{_file(file)}", file.content
    yield ".html", _page(piece, parts).encode("utf-8", "replace")


def _head(content: bytes) -> bytes:
    """Of what is larger than any item: its header, and where the rest is."""
    return (
        content[:_MOST].partition(b"\n\n")[0].partition(b"\r\n\r\n")[0]
        + b"\n\nToo large to be shown: see the EML file.\n"
    )


def _file(file: File) -> str:
    """Named by us: what the sender called it may be anything."""
    return f"{file.number}.{_SUFFIXES[file.picture]}"


def _page(piece: Piece, parts: Parts) -> str:
    name = piece.path.rpartition("/")[2]
    pictures = {file.cid: file for file in parts.files if file.cid and file.picture}

    def source(url: str) -> str | None:
        file = pictures.get(unquote(url[4:])) if _CID.match(url) else None
        return quote(f"{name}.files/{_file(file)}") if file else None

    up = "../" * len(piece.parts)
    title = header(parts.message, "Subject") or "(no subject)"
    return "".join(
        (
            beginning(title, language_of(parts), POLICY),
            f'<nav lang="en" aria-label="Export"><small><a href="{up}{INDEX}" target="_self">All conversations</a> · '
            f'<a href="{quote(name)}.eml">The item (EML)</a></small></nav>\n',
            main(parts, title, source),
            _files(name, parts),
            END,
        )
    )


def _files(name: str, parts: Parts) -> str:
    """Pictures as links, other files by name: they are in the EML file, where nothing runs them by mistake."""
    if not parts.files:
        return ""
    return (
        '\n<section lang="en" aria-label="Files">\n<h2>Files</h2>\n<ul>\n'
        + "\n".join(_listed(name, parts))
        + "\n</ul>\n</section>"
    )


def _listed(name: str, parts: Parts) -> Iterator[str]:
    for file in parts.files:
        called = f"<bdi>{escape(plain(file.name))}</bdi>"
        if file.picture:
            called = f'<a href="{quote(f"{name}.files/{_file(file)}")}">{called}</a>'
        yield f"<li>{called} <small>{len(file.content):,} bytes</small></li>"


def index(rows: Iterator[Row]) -> Iterator[bytes]:
    """All pages by mailbox, in each by folder and time; written as it is read."""
    yield (beginning("Conversations", "en", POLICY) + "<main>\n<h1>Conversations</h1>").encode()
    place = None
    for row in rows:
        if not row.path.endswith(".html") or row.path == INDEX:
            continue
        if (row.mailbox, row.folder) != place:
            yield _opened(row, is_first=place is None).encode("utf-8", "replace")
            place = row.mailbox, row.folder
        yield _linked(row).encode("utf-8", "replace")
    yield f"{'</ul>' if place else '<p>None.</p>'}\n</main>{END}".encode()


def _opened(row: Row, *, is_first: bool) -> str:
    called = " · ".join(plain(each) for each in (row.mailbox, row.folder) if each) or "Local archive"
    return f"{'' if is_first else '</ul>'}\n<h2><bdi>{escape(called)}</bdi></h2>\n<ul>\n"


def _linked(row: Row) -> str:
    said = escape(plain(" · ".join(filter(None, (day_and_clock(row.first), row.kind)))))
    subject = escape(plain(row.subject) or "(no subject)")
    return f'<li><a href="{quote(row.path)}" target="_self"><bdi>{subject}</bdi></a> <small>{said}</small></li>\n'
