"""How much there is to read of documents, in bytes as they lie in their tree. Reads nothing."""

from __future__ import annotations

from collections.abc import Sequence

from archiver.importers import Document, Importer


def sizes_of(importer: Importer, documents: Sequence[Document]) -> dict[str, int]:
    """By place; a document that stands for an export has all that lies below its folder."""
    if not importer.marks:
        return {document.place: document.size for document in documents}
    return {document.place: sum(each.size for each in document.below()) for document in documents}
