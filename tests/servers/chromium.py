"""Debian's Chromium, without a screen, driven by Playwright; and what its pages did that they should not.

Where there is none the test fails, and says what to install. No browser is downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, sync_playwright

PATIENCE = 15_000
"""Milliseconds."""
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 860}


@contextmanager
def chromium() -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    assert binary, "Chromium is not installed: apt-get install chromium"
    # No name is looked up, so that nothing of a test can reach beyond this machine. Chromium refuses root its sandbox.
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A window of its own, and all that it asked for, showed as a dialog, or complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        context.set_default_timeout(PATIENCE)
        context.on("request", self._asked)
        context.on("dialog", self._showed)
        context.on("console", self._complained)
        self.page: Page = context.new_page()

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def _showed(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _complained(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def left(self, base: str) -> list[str]:
        """Requests to anywhere else."""
        return [url for url in self.requests if not url.startswith((base, "data:", "about:"))]


@contextmanager
def watched(browser: Browser, *, size: dict[str, int] | None = None, dark: bool = False) -> Iterator[Watched]:
    context = browser.new_context(
        viewport=size or DESK, color_scheme="dark" if dark else "light", ignore_https_errors=True, accept_downloads=True
    )
    try:
        yield Watched(context)
    finally:
        context.close()
