"""The views of one conversation as items: each made from what its owner could know, and nothing else.

Joins projecting and rendering. Views of one mask share everything; a view of the whole shares the conversation itself.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from archiver.conversation import Rules, project
from archiver.rendering import Limits, Rendering
from archiver.types import Conversation, Item, Look


class Showing:
    """Renderings by mask, made at first need. Looks have masks over `conversation`."""

    def __init__(
        self, conversation: Conversation, blob: Callable[[str], bytes | None], rules: Rules, limits: Limits
    ) -> None:
        self.conversation = conversation
        self._blob = blob
        self._rules = rules
        self._limits = limits
        self._made: dict[int, Rendering] = {}
        self.has_files = any(captured.event.data.attachments for captured in conversation.events)

    def name(self, look: Look) -> str:
        return self._of(look.mask).name(_whole(look))

    def kept(self, look: Look) -> frozenset[str]:
        return self._of(look.mask).kept(_whole(look))

    def item(self, look: Look) -> Item:
        return self._of(look.mask).item(_whole(look))

    def let_go(self) -> None:
        """Drop what was made; it comes again where it is asked for again."""
        self._made = {}

    def _of(self, mask: int) -> Rendering:
        made = self._made.get(mask)
        if made is None:
            projected = project(self.conversation, mask, self._rules)
            made = self._made[mask] = Rendering(projected, self._blob, self._limits)
        return made


def _whole(look: Look) -> Look:
    """The same look at the projected conversation: all of it."""
    return structs.replace(look, mask=(1 << look.mask.bit_count()) - 1)
