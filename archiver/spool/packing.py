"""Event numbers and view masks as small BLOBs (pure)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_WIDTHS = (("B", 1), ("H", 2), ("I", 4), ("Q", 8))
_HEAD = struct.Struct("<cQ")


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """The lowest number, then each one's distance from it in the narrowest width that holds them all."""
    if not numbers:
        return b""
    low = min(numbers)
    span = max(numbers) - low
    code = next(code for code, width in _WIDTHS if span < 1 << 8 * width)
    return _HEAD.pack(code.encode(), low) + struct.pack(f"<{len(numbers)}{code}", *[n - low for n in numbers])


def unpack_numbers(packed: bytes | None) -> tuple[int, ...]:
    if not packed:
        return ()
    code, low = _HEAD.unpack_from(packed)
    width = dict(_WIDTHS)[code.decode()]
    count = (len(packed) - _HEAD.size) // width
    return tuple(low + n for n in struct.unpack_from(f"<{count}{code.decode()}", packed, _HEAD.size))


def pack_mask(mask: int, events: int) -> bytes | None:
    """None for a view of all events, by far the most common."""
    if mask == (1 << events) - 1:
        return None
    return mask.to_bytes((events + 7) // 8, "little")


def unpack_mask(packed: bytes | None, events: int) -> int:
    return (1 << events) - 1 if packed is None else int.from_bytes(packed, "little")
