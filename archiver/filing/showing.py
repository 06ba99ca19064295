"""The views of one conversation as items: each made from what its owner could know, and nothing else.

Joins projecting, veiling and rendering: the events of a view and the roster its owner found, without the addresses of
hidden people, are folded into a conversation of their own, and that is rendered. `rebuilding` does the same with the
events of an item. A complete look is nobody's own: for it nothing is veiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from msgspec import structs

from archiver.conversations.projection import Past, bounds, gather, seen
from archiver.conversations.rules import Rules
from archiver.rendering import Hidden, Limits, Rendering, Shared
from archiver.types import Conversation, Item, Look, Participation, Presence


class Showing:
    """Renderings by mask, made at first need. Looks have masks over `conversation`."""

    def __init__(
        self, conversation: Conversation, blob: Callable[[str], bytes | None], rules: Rules, limits: Limits
    ) -> None:
        self.conversation = conversation
        self._blob = blob
        self._rules = rules
        self._limits = limits
        self._shared = Shared(blob, limits)
        self._made: dict[tuple[int, bool], tuple[Rendering, Callable[[Look], Look]]] = {}
        self._latest: Rendering | None = None
        self.has_files = any(captured.event.data.attachments for captured in conversation.events)
        # Rare, and told fastest from all bodies at once.
        marked = b'"hidden"' in b"".join([captured.body for captured in conversation.events])
        self._hidden = Hidden(conversation, marked=marked)

    def name(self, look: Look) -> str:
        rendering, as_seen = self._of(look)
        return rendering.name(as_seen(look))

    def kept(self, look: Look) -> frozenset[str]:
        rendering, as_seen = self._of(look)
        return rendering.kept(as_seen(look))

    def item(self, look: Look) -> Item:
        rendering, as_seen = self._of(look)
        if self._latest is not None and self._latest is not rendering:
            self._latest.let_go()  # a busy room's views are large, many and mostly all different
        self._latest = rendering
        return rendering.item(as_seen(look))

    def let_go(self) -> None:
        """Drop what was made; it comes again where it is asked for again."""
        self._made, self._latest = {}, None
        self._shared = Shared(self._blob, self._limits)

    @cached_property
    def _past(self) -> Past:
        return Past(self.conversation)

    def _of(self, look: Look) -> tuple[Rendering, Callable[[Look], Look]]:
        which = look.mask, look.complete
        made = self._made.get(which)
        if made is None:
            made = self._made[which] = self._make(*which)
        return made

    def _make(self, mask: int, complete: bool) -> tuple[Rendering, Callable[[Look], Look]]:
        events = seen(self.conversation, mask)
        roster = self._past.roster((mask & -mask).bit_length() - 1)
        which = bounds(self.conversation)
        if complete or not self._hidden.addresses:
            whole = gather(events, roster, self._rules, which)
            if complete and (others := self._without_a_part(whole)):
                roster = structs.replace(roster, present=(*roster.present, *others))
                whole = gather(events, roster, self._rules, which)
            return Rendering(whole, self._shared, complete=complete), _as_it_is
        veil = self._hidden.veil(roster, events)
        if which.session is not None:
            which = structs.replace(which, session=veil.text(which.session))
        veiled = gather([veil.event(each) for each in events], veil.roster(roster), self._rules, which)

        def as_seen(look: Look) -> Look:
            return look if look.side is None else structs.replace(look, side=veil.address(look.side))

        return Rendering(veiled, self._shared), as_seen

    def _without_a_part(self, whole: Conversation) -> tuple[Presence, ...]:
        """Who was there, but did only what isn't archived (placed a call): among the people of a complete item too."""
        known = {address for each in whole.participations for address in each.addresses}
        return tuple(
            {
                each.addresses[-1]: self._found(each)
                for each in self.conversation.participations
                if not each.invited and known.isdisjoint(each.addresses)
            }.values()
        )

    def _found(self, who: Participation) -> Presence:
        acted = self.conversation.events[who.first].time if self.conversation.partial else None
        return Presence(who.addresses[-1:], who.name, who.hidden, None, acted)


def _as_it_is(look: Look) -> Look:
    return look
