"""The bytes of a MIME message: parts, transfer encodings, boundaries. Knows nothing of conversations."""

from __future__ import annotations

from binascii import b2a_base64, b2a_qp
from collections.abc import Sequence

from msgspec import Struct

_LINE = 998
"""Octets that a line may have, without its end (RFC 5322 2.1.1)."""


class Part(Struct, frozen=True):
    """Header fields without the empty line, and the encoded body in pieces. `eight` where it has octets over 127."""

    fields: str
    body: Sequence[bytes]
    eight: bool = False

    def message(self, fields: str) -> bytes:
        """The part as a whole message, under further `fields`: its pieces are joined only here."""
        return b"".join(((fields + self.fields + "\n").encode("ascii"), *self.body))


class Lines(Struct, frozen=True):
    """Whole lines of a text, whether only quoted-printable carries them, and 7 bits do: asked once, used often."""

    data: bytes
    odd: bool
    ascii: bool


def lines(text: str) -> Lines:
    data = text.encode("utf-8", "replace")
    odd = max(map(len, data.split(b"\n"))) > _LINE or b"\r" in data or b"\x00" in data
    return Lines(data, odd, data.isascii())


def text_part(kind: str, *pieces: Lines) -> Part:
    """A text in the plainest transfer encoding that carries it (RFC 2045 2.7, 2.8, 6.7)."""
    fields = f"Content-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: "
    data = [piece.data for piece in pieces]
    if any(piece.odd for piece in pieces):
        return Part(fields + "quoted-printable\n", [b2a_qp(b"".join(data), quotetabs=False, istext=True)])
    if all(piece.ascii for piece in pieces):
        return Part(fields + "7bit\n", data)
    return Part(fields + "8bit\n", data, eight=True)


def base64_lines(data: bytes) -> bytes:
    """Base64 in lines of 76 characters (RFC 2045 6.8)."""
    encoded = b2a_base64(data, newline=False)
    if len(encoded) <= 76:
        return encoded + b"\n"
    return b"\n".join([encoded[at : at + 76] for at in range(0, len(encoded), 76)]) + b"\n"


def multipart(kind: str, boundary: str, parts: Sequence[Part]) -> Part:
    """A composite part; it is 8bit as soon as one within is (RFC 2045 6.4)."""
    eight = any(part.eight for part in parts)
    fields = f'Content-Type: multipart/{kind};\n boundary="{boundary}"\n'
    if eight:
        fields += "Content-Transfer-Encoding: 8bit\n"
    pieces: list[bytes] = []
    for part in parts:
        pieces.append(f"--{boundary}\n{part.fields}\n".encode("ascii"))
        pieces += part.body
        pieces.append(b"\n")
    pieces.append(f"--{boundary}--\n".encode("ascii"))
    return Part(fields, pieces, eight)
