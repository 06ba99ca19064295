"""A mail root template, such as `{data}/mail/{domain}/{local}`, and the way from an address to a path and back. Pure.

The mail root is what stands before the first component with a placeholder; nothing is ever written above it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from archiver.exceptions import ConfigError, ItemError
from archiver.store.names import LONGEST, escape, normal_address, unescape

_PLACEHOLDER = re.compile(r"\{(local|domain)\}")
_DIGEST = 33
_ESCAPED = r"[a-z0-9._+%=A-F-]+"
_SEPARATES = re.compile(r"[^a-z0-9._+%=A-F-]")


def check_template(template: str, domains: Sequence[str] = ()) -> str | None:
    """What is wrong with a mail root template, None if nothing.

    `domains` are all whose mailboxes will be put there, none if they are not known beforehand. Two addresses must
    never have one path.
    """
    head, *components = template.split("/")
    if head not in {"", "{data}"} or not components:
        return "it must begin with '/' or '{data}/'"
    if any(component in {"", ".", ".."} for component in components):
        return "it has an empty, '.' or '..' component"
    named = _PLACEHOLDER.findall("/".join(components))
    if "{" in _PLACEHOLDER.sub("", "/".join(components)) or "}" in _PLACEHOLDER.sub("", template[len(head) :]):
        return "only {data} (at its start), {domain} and {local} can stand in it"
    if len(set(named)) != len(named):
        return "a placeholder stands in it twice"
    if "local" not in named:
        return "without {local} all people of a domain would share one mailbox"
    if "domain" not in named and len(set(domains)) != 1:
        return "without {domain} people of the same name in two domains would share one mailbox"
    return next(filter(None, map(_check_component, components)), None)


def _check_component(component: str) -> str | None:
    if "\0" in component:
        return "it holds a NUL"
    literals = _PLACEHOLDER.split(component)[::2]
    if any(not _SEPARATES.search(between) for between in literals[1:-1]):
        return f"in {component!r} two addresses could have one path: put '/' or '@' between the placeholders"
    if _limit(component) < 64:
        return f"{component!r} leaves too little room for names"
    return None


def _limit(component: str) -> int:
    """Bytes for each value in a component, so that the whole stays a file name with every value cut."""
    values = len(_PLACEHOLDER.findall(component))
    literal = len(_PLACEHOLDER.sub("", component).encode())
    return min(200, (LONGEST - literal) // max(values, 1) - _DIGEST)


class Template:
    """A template that passed `check_template`, bound to a data directory."""

    def __init__(self, template: str, *, data: Path, domains: Sequence[str] = ()) -> None:
        problem = check_template(template, domains)
        if problem:
            raise ConfigError([f"mail root template {template!r}: {problem}"])
        components = template.split("/")
        first = next(i for i, component in enumerate(components) if _PLACEHOLDER.search(component))
        above = [str(data) if part == "{data}" else part for part in components[:first]]
        self.root = Path("/".join(above) or "/")
        self._components = components[first:]
        self._domain = None if "{domain}" in template else normal_address(f"x@{domains[0]}")[1]
        self._patterns = [re.compile(_pattern(component)) for component in self._components]
        self.parts = lru_cache(maxsize=4096)(self._parts)

    @property
    def depth(self) -> int:
        return len(self._components)

    @property
    def below(self) -> str:
        """What stands below the mail root, with its placeholders."""
        return "/".join(self._components)

    def _parts(self, address: str) -> tuple[str, ...]:
        """The path components below the mail root of a mailbox."""
        local, domain = normal_address(address)
        if self._domain not in {None, domain}:
            raise ItemError(f"{address}: this mail root is for {self._domain} alone", mailbox=address)
        return self._filled(local, domain, cut=True)

    def _filled(self, local: str, domain: str, *, cut: bool) -> tuple[str, ...]:
        values = {"local": local, "domain": domain}

        def filled(component: str) -> str:
            pieces = _PLACEHOLDER.split(component)
            if cut:
                pieces[1::2] = [escape(values[name], _limit(component)) for name in pieces[1::2]]
            else:
                pieces[1::2] = [values[name] for name in pieces[1::2]]
            return "".join(pieces)

        return tuple(map(filled, self._components))

    def leads_on(self, component: str, depth: int) -> bool:
        """Whether a directory this deep below the root can lead to a mailbox."""
        return self._patterns[depth].fullmatch(component) is not None

    def address(self, parts: Sequence[str]) -> str | None:
        """The address whose mailbox lies there; of one cut on disk, the name on disk. None if it is nobody's."""
        values = {"domain": self._domain or ""}
        for pattern, component in zip(self._patterns, parts, strict=True):
            match = pattern.fullmatch(component)
            values |= match.groupdict() if match else {}
        if any("=" in value for value in values.values()):
            return f"{values['local']}@{values['domain']}"
        try:
            address = f"{unescape(values['local'])}@{unescape(values['domain'])}"
            return address if self.parts(address) == tuple(parts) else None
        except (ItemError, KeyError, UnicodeError):
            return None

    def raw_parts(self, address: str) -> tuple[str, ...] | None:
        """The components of a name that `address()` gave for a mailbox cut on disk. For reading only."""
        local, _, domain = address.rpartition("@")
        if "=" not in address or not re.fullmatch(_ESCAPED, local) or not re.fullmatch(_ESCAPED, domain):
            return None
        if local.startswith(".") or domain.startswith("."):
            return None
        return self._filled(local, domain, cut=False)


def _pattern(component: str) -> str:
    pieces = _PLACEHOLDER.split(component)
    return "".join(f"(?P<{piece}>{_ESCAPED})" if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
