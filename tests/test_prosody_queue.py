"""The queue of Prosody's module by itself, on Prosody's own Lua: what a running server can't be made to meet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from archiver.servers import MODULES

SCRIPT = """
package.path = "/usr/lib/prosody/?.lua;" .. package.path
package.cpath = "/usr/lib/prosody/?.so;" .. package.cpath
local library, directory, damaged = arg[1], arg[2], arg[3]
local queue = dofile(library)
local module = { log = function (_, level, text, ...) print(level, text:format(...)) end }
local first = queue.open(directory, 1e9, module)
first:append('{"a":1}'); first:append('{"a":2}'); first:close()
local second = queue.open(directory, 1e9, module)
second:append('{"a":3}')
local open = io.open
io.open = function (path, mode)
    if damaged == "open" then return nil, path .. ": Too many open files" end
    local unreadable = {}
    function unreadable:seek() return 0 end
    function unreadable:read() return nil, path .. ": Input/output error" end
    function unreadable:close() end
    return unreadable
end
print("meanwhile", (select(2, second:next_lines(10, 1e6))))
io.open = open
local text, count = second:next_lines(10, 1e6)
print("after", count)
io.write(text)
"""


@pytest.mark.parametrize("damaged", ["open", "read"])
def test_what_cannot_be_opened_or_read_for_now_stays_in_the_queue(damaged: str, tmp_path: Path) -> None:
    script, directory = tmp_path / "script.lua", tmp_path / "queue"
    script.write_text(SCRIPT)
    directory.mkdir()
    library = MODULES["prosody"].folder / "queue.lib.lua"
    command = ["lua5.4", str(script), str(library), str(directory), damaged]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert told == ["meanwhile\t0", "after\t2", '{"a":1}', '{"a":2}']
