"""What is put into other people's servers: modules in their languages, and where they lie. Runs nothing."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
PROSODY = HERE / "prosody"
"""Prosody's plug-ins; `mod_archiver` is a folder in it."""
