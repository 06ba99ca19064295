"""A real Dovecot 2.3 on loopback over a mail root, for as long as a `with` block lasts.

Anybody logs in as `local@domain` with `PASSWORD`; the mailbox is `<root>/<domain>/<local>`. As root the mail user is
Debian's `mail`, because Dovecot refuses uid 0; otherwise everything runs as the test's own user. Where Dovecot isn't
there or doesn't start, the test fails with what it logged.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imapclient import IMAPClient

from archiver.store import Ownership

PASSWORD = "secret"
PATIENCE = 20.0

CONFIGURATION = """
base_dir = {run}/base
state_dir = {run}/state
log_path = {run}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
{users}
first_valid_uid = 1
auth_username_format = %Lu
mail_location = maildir:~/{encoding}
mailbox_list_index = no
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/%Ld/%Ln allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "Conversation History" {{
    auto = subscribe
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


def mail_user() -> Ownership:
    """Whose the files in the mail root must be."""
    if os.geteuid() != 0:
        return Ownership()
    return Ownership(pwd.getpwnam("mail").pw_uid, grp.getgrnam("mail").gr_gid)


@contextmanager
def mail_directory() -> Iterator[Path]:
    """A data directory that the mail user can pass, which pytest's own (0700, root's) doesn't let it."""
    with tempfile.TemporaryDirectory(prefix="archiver-mail-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


class Dovecot:
    """A running server. `login` gives a connection that the caller logs out, best with `with`."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @contextmanager
    def login(self, user: str) -> Iterator[IMAPClient]:
        client = IMAPClient("127.0.0.1", self.port, ssl=False, use_uid=True, timeout=PATIENCE)
        client.normalise_times = False
        client.login(user, PASSWORD)
        try:
            yield client
        finally:
            with suppress(OSError):
                client.logout()


@contextmanager
def dovecot(root: Path, *, utf8: bool = False) -> Iterator[Dovecot]:
    """Serve the mailboxes below `root`."""
    binary = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert binary, "dovecot is not installed: apt-get install dovecot-imapd"
    with mail_directory() as run:
        port = _free_port()
        configuration = run / "dovecot.conf"
        configuration.write_text(_configuration(run, root, port, utf8))
        process = subprocess.Popen([binary, "-F", "-c", str(configuration)], stdin=subprocess.DEVNULL)
        server = Dovecot(port, run / "dovecot.log")
        try:
            _wait_for_port(process, server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _configuration(run: Path, root: Path, port: int, utf8: bool) -> str:
    owner = mail_user()
    users = ""
    if os.geteuid() != 0:
        name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
        users = f"default_login_user = {name}\ndefault_internal_user = {name}\ndefault_internal_group = {group}"
    return CONFIGURATION.format(
        run=run,
        root=root,
        port=port,
        users=users,
        password=PASSWORD,
        uid=owner.uid if owner.uid >= 0 else os.geteuid(),
        gid=owner.gid if owner.gid >= 0 else os.getegid(),
        encoding=":UTF-8" if utf8 else "",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(process: subprocess.Popen[bytes], server: Dovecot) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"dovecot ended with {process.returncode}:\n{server.log}"
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"dovecot does not listen after {PATIENCE} s:\n{server.log}")
