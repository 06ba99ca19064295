"""Which errors of the operating system are the machine's faults, and what a person can do about each.

Holds no I/O. What isn't listed here is a bug and stays an `OSError`.
"""

from __future__ import annotations

import errno
import os

from archiver.exceptions import EnvironmentFault

_PLANTED = "a directory is expected there; the archiver follows no symbolic links below the mail root"
_PERMITTED = "give the archiver's user the right to write there, or configure the owner the mail server uses"
_HINTS = {
    errno.ENOSPC: "free some space; what is not filed stays in the spool",
    errno.EDQUOT: "raise the quota; what is not filed stays in the spool",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
    errno.EACCES: _PERMITTED,
    errno.EPERM: _PERMITTED,
    errno.EROFS: "mount the file system for writing",
    errno.ENOTDIR: _PLANTED,
    errno.ELOOP: _PLANTED,
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.EIO: "look at the disk: the kernel's log says more",
    errno.EMLINK: "the file system takes no more entries or links in one directory",
    errno.ENOENT: "the folder was removed at the same moment; it will be made anew at the next attempt",
    errno.ESTALE: "the network file system lost the directory: mount it again",
    errno.ENAMETOOLONG: "the file system takes shorter names only",
}


def fault(error: OSError, path: str) -> EnvironmentFault:
    """The fault to tell the operator; raises the error itself where it is none."""
    if error.errno not in _HINTS:
        raise error
    made = EnvironmentFault(f"{path}: {os.strerror(error.errno)}", hint=_HINTS[error.errno], path=path)
    made.__cause__ = error
    return made
