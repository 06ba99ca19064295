"""Files that lie beside a chat -> attachments of its events, with their contents for the spool."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from re import Pattern

from msgspec import Struct, structs

from archiver.events import Attachment, Captured, digest_of
from archiver.importers.document import Document


class Media(Struct, frozen=True):
    """An attachment and, where its file could be had, the digest with the bytes or the path of its content."""

    attachment: Attachment
    held: tuple[str, bytes | Path] | None = None


def media(
    document: Document,
    relative: str | None,
    *,
    folder: str = "",
    only_files: bool = False,
    name: str | None = None,
    media_type: str | None = None,
    kept: Pattern[str] | None = None,
) -> Media:
    """The file that `document` names by its path from `folder`, as `Document.shared` gives it.

    One that may not be had or isn't there is an attachment with a name and no content. `kept` are the paths, whole, at
    which nothing but files lie.
    """
    path = (relative or "").replace("\\", "/").removeprefix("./")
    if kept is not None and kept.fullmatch(path):
        name = name or PurePosixPath(path).name
        folder, _, relative = f"{folder}/{path}".removeprefix("/").rpartition("/")
        only_files = True
    found = document.shared(relative, folder, only_files=only_files) if relative else None
    return held(found, name=name or (PurePosixPath(relative).name if relative else None), media_type=media_type)


def held(found: Document | None, *, name: str | None = None, media_type: str | None = None) -> Media:
    """A file as an attachment; None is one that isn't there."""
    content = found.content() if found is not None else None
    try:
        digest, size = digest_of(content) if content is not None else ("", 0)
    except OSError:
        content = None
    if content is None:
        return Media(Attachment(name=name, media_type=media_type))
    return Media(Attachment(name=name, media_type=media_type, size=size, sha256=digest), (digest, content))


def holding(captured: Captured, *files: Media) -> Captured:
    """The event with the contents of its attachments."""
    held = dict(each.held for each in files if each.held is not None)
    return structs.replace(captured, attached=tuple(held.items())) if held else captured
