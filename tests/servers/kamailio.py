"""A real Kamailio 5.6 on loopback that proxies what sipp's clients say and sends a copy of all by HEPv3.

For as long as a `with` block lasts. Where it isn't there or doesn't start, the test fails with what it logged.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 20.0

_MODULES = ("tm", "sl", "rr", "pv", "textops", "maxfwd", "siputils", "siptrace")

CONFIGURATION = """
modparam("siptrace", "duplicate_uri", "sip:127.0.0.1:{hep}")
modparam("siptrace", "hep_mode_on", 1)
modparam("siptrace", "hep_version", 3)
modparam("siptrace", "hep_capture_id", 42)
modparam("siptrace", "trace_to_database", 0)
modparam("siptrace", "trace_on", 1)
modparam("siptrace", "trace_mode", 1)
debug=2
log_stderror=yes
children=2
disable_tcp=yes
listen=udp:127.0.0.1:{sip}
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("INVITE")) record_route();
    if (has_totag()) {{ loose_route(); t_relay(); exit; }}
    if ($rU == "room") $du = "sip:127.0.0.1:{focus}"; else $du = "sip:127.0.0.1:{taker}";
    t_relay();
}}
"""


def free_udp_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def kamailio(directory: Path, *, hep: int, taker: int, focus: int = 9) -> Iterator[int]:
    """Its SIP port; what is for `room` goes to `focus`, whatever else it is sent to `taker`, and a copy to `hep`."""
    program = shutil.which("kamailio", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "needs Kamailio: scripts/packages kamailio sip-tester"
    sip = free_udp_port()
    loaded = "".join(f'loadmodule "{each}.so"\n' for each in _MODULES)
    written = directory / "kamailio.cfg"
    written.write_text("#!KAMAILIO\n" + loaded + CONFIGURATION.format(hep=hep, sip=sip, taker=taker, focus=focus))
    arguments = [program, "-f", str(written), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(directory)]
    with (directory / "kamailio.log").open("wb") as log:
        process = subprocess.Popen([*arguments, "-w", str(directory)], stdout=log, stderr=log)
    try:
        _wait(process, sip, directory / "kamailio.log")
        yield sip
    finally:
        process.terminate()
        process.wait(20)


def sipp(directory: Path, scenario: str, *arguments: str) -> subprocess.Popen[bytes]:
    """One of sipp's clients with a scenario of its own."""
    program = shutil.which("sipp")
    assert program is not None, "needs sipp: scripts/packages kamailio sip-tester"
    file = directory / f"scenario-{time.monotonic_ns()}.xml"
    file.write_text(f'<?xml version="1.0"?>\n<scenario name="test">{scenario}</scenario>\n')
    return subprocess.Popen(
        [program, "-sf", str(file), "-i", "127.0.0.1", "-nostdin", "-trace_err", *arguments],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it answers: any answer will do."""
    ping = (
        f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bKping\r\n"
        "Max-Forwards: 0\r\nFrom: <sip:ping@x.example>;tag=p\r\nTo: <sip:ping@x.example>\r\nCall-ID: ping\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    end = time.monotonic() + PATIENCE
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        while time.monotonic() < end and process.poll() is None:
            client.sendto(ping, ("127.0.0.1", port))
            try:
                client.recv(4096)
            except OSError:
                continue
            return
    raise AssertionError(f"Kamailio didn't start:\n{log.read_text('utf-8', 'replace')[-4000:]}")
