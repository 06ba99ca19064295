"""What the system tests share: the command as a process, what lies in a mail tree, an item's parts read plainly."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "fixtures"
ARCHIVER = [sys.executable, "-m", "archiver"]
FOLDER = "Conversation History"


def archiver(data: Path, *arguments: str, status: int = 0, config: Path | None = None, timeout: float = 120) -> str:
    """Run the command to its end; its standard output. Fails on any other exit status."""
    named = [] if config is None else ["--config", str(config)]
    done = subprocess.run(
        [*ARCHIVER, "--data", str(data), *named, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=timeout
    )
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def listing(data: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below the mail tree, with its time of change in nanoseconds and its bytes."""
    mail = data / "mail"
    files = (path for path in mail.rglob("*") if path.is_file() and path.name != "maildirfolder")
    return {
        str(p.relative_to(mail)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files if p.name != "maildirfolder"
    }


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, EmailMessage, policy=policy.default)


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def events_of(message: EmailMessage) -> list[dict[str, Any]]:
    """The attached events, unpacked by nothing of ours."""
    (part,) = [each for each in message.iter_attachments() if each.get_filename() == "conversation.ndjson.gz"]
    lines = gzip.decompress(part.get_content()).decode().splitlines()
    return [json.loads(line) for line in lines]


def said(message: EmailMessage) -> list[tuple[str, str]]:
    """(who, text) of every message in the attached events, in order."""
    return [
        (event["data"]["actor"]["address"], event["data"]["message"]["text"])
        for event in events_of(message)
        if event["type"] == "message.sent"
    ]


def owned_by_mail_user(directory: Path) -> Path:
    """A configuration by which a Dovecot run by root may read what is filed."""
    config = directory / "archiver.toml"
    config.write_text('[store]\nowner = "mail"\ngroup = "mail"\n' if os.geteuid() == 0 else "")
    return config
