"""Secrets and tokens in the tables of sources. What they come to, and reading them, is the daemon's business."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Struct

from archiver.config import quantities, values
from archiver.config.settings import REQUIRED, Setting, Tables
from archiver.config.sources.listening import plain_name
from archiver.config.values import Fault

_digest = values.matching(r"[0-9a-fA-F]{64}", "must be a SHA-256 digest: 64 hexadecimal digits")
_variable = values.matching(r"[A-Za-z_][A-Za-z0-9_]{0,99}", "must be the name of an environment variable")


class SecretTable(Struct, frozen=True):
    """A secret, of which the digest stands here or which a file or the environment holds."""

    name: Annotated[str, Setting(REQUIRED, plain_name, "Whose it is.")]
    sha256: Annotated[
        str | None,
        Setting("", values.optional(_digest), "SHA-256 of the secret (hex); or else `file` or `env`."),
    ]
    file: Annotated[str | None, Setting("", values.optional(values.path), "File that holds it.")]
    env: Annotated[str | None, Setting("", values.optional(_variable), "Environment variable that holds it.")]


class TokenTable(SecretTable, frozen=True):
    """Who may write over HTTP: a bearer token."""

    sources: Annotated[
        tuple[str, ...],
        Setting(REQUIRED, values.patterns, "What it may write: sources; * stands for anything, ? for one character."),
    ]
    rate: Annotated[int, Setting(0, quantities.whole(0, 1_000_000), "Events a second that it may send; 0: any number.")]


def _one_each(tokens: Sequence[SecretTable]) -> Iterator[Fault]:
    for number, token in enumerate(tokens, 1):
        given = [key for key in ("sha256", "file", "env") if getattr(token, key)]
        if len(given) != 1:
            yield f"[{number}]", token.name, "needs one of sha256, file and env"
        if token.name in (other.name for other in tokens[: number - 1]):
            yield f"[{number}].name", token.name, "is another's name already"
        if token.sha256 and token.sha256.lower() in (str(other.sha256).lower() for other in tokens[: number - 1]):
            yield f"[{number}].sha256", token.sha256, "is another's secret already"


SECRETS = Setting([], Tables(SecretTable, _one_each), "")
TOKENS = Setting([], Tables(TokenTable, _one_each), "")
