-- A queue of lines in files that only grow: `0000000001.ndjson` and so on, and `position`, up to where they were taken.
--
-- Each line is handed to the kernel in one write before `append` returns: a kill of Prosody loses nothing. It is not
-- synced to the disk, for which Lua has no means: what a failure of the machine takes is filled in from the archive.
-- Where the disk takes no more (it is full), the file is cut back to what was whole before.

local lfs = require "lfs";
local atomic_append = require "util.pposix".atomic_append;

local CHUNK = 64 * 1024;
local SEGMENT = 4 * 1024 * 1024;
local NAME = "^(%d%d%d%d%d%d%d%d%d%d)%.ndjson$";

local queue = {};
queue.__index = queue;

local function size_of(path)
	return lfs.attributes(path, "size") or 0;
end

function queue:path(segment)
	return ("%s/%010d.ndjson"):format(self.directory, segment);
end

-- The segments there are, in order.
local function segments_in(directory)
	local found = {};
	if lfs.attributes(directory, "mode") ~= "directory" then return found; end
	for name in lfs.dir(directory) do
		local segment = name:match(NAME);
		if segment then found[#found + 1] = tonumber(segment); end
	end
	table.sort(found);
	return found;
end

local function count_lines(path, offset)
	local count, file = 0, io.open(path, "rb");
	if not file then return 0; end
	file:seek("set", offset);
	for chunk in function () return file:read(CHUNK); end do
		count = count + select(2, chunk:gsub("\n", ""));
	end
	file:close();
	return count;
end

-- Whole lines from the beginning of a text: `count` of them at most. Returns them, and how many they are.
local function whole_lines(text, count)
	local lines, last = 0, 0;
	for stop in text:gmatch("()\n") do
		lines, last = lines + 1, stop;
		if lines == count then break; end
	end
	return text:sub(1, last), lines;
end

-- Opens what an earlier process left. What it wrote last may be cut off: nothing is added behind it. A folder that can't
-- be used now may be mended later: until then everything is refused.
--
-- `segments` are those that are there, in order: the first is being read from `offset` on, the last written up to
-- `written`, by `file`. `bytes` and `waiting` (lines) are what is left to take.
function queue.open(directory, most, module)
	lfs.mkdir(directory);
	local self = setmetatable({ directory = directory, most = most, module = module, bytes = 0, waiting = 0 }, queue);
	self.segments = segments_in(directory);
	local segment, offset = self:read_position();
	while self.segments[1] and self.segments[1] < segment do
		os.remove(self:path(table.remove(self.segments, 1)));
	end
	self.offset = self.segments[1] == segment and offset or 0;
	-- Numbers go on from the highest that was ever known: what is below the position is taken for taken.
	self.number = math.max(segment, self.segments[#self.segments] or 0);
	for index, each in ipairs(self.segments) do
		local from = index == 1 and self.offset or 0;
		self.bytes = self.bytes + size_of(self:path(each)) - from;
		self.waiting = self.waiting + count_lines(self:path(each), from);
	end
	self:begin_segment();
	return self;
end

function queue:read_position()
	local file = io.open(self.directory .. "/position", "r");
	local segment, offset = nil, nil;
	if file then
		segment, offset = (file:read("*a") or ""):match("^(%d+) (%d+)\n$");
		file:close();
	end
	return tonumber(segment) or 0, tonumber(offset) or 0;
end

-- A place that can't be written down only means that some is sent again.
function queue:write_position()
	local path = self.directory .. "/position";
	local file = io.open(path .. ".new", "w");
	if file and file:write(("%d %d\n"):format(self.segments[1] or self.number + 1, self.offset)) and file:close() then
		os.rename(path .. ".new", path);
	end
end

function queue:begin_segment()
	self:close();
	lfs.mkdir(self.directory);
	local file, why = io.open(self:path(self.number + 1), "ab");
	if not file then return nil, why; end
	file:setvbuf("no");
	self.file, self.number, self.written = file, self.number + 1, 0;
	self.segments[#self.segments + 1] = self.number;
	return true;
end

-- Returns whether the line is safe. A queue that is full takes nothing until a tenth of it is free again.
function queue:append(line)
	local text = line .. "\n";
	if self.bytes + #text > self.most * (self.is_full and 0.9 or 1) then
		self.is_full = true;
		return self:refuse(("it holds %d KiB, as much as archiver_queue_size allows"):format(math.floor(self.bytes / 1024)));
	end
	if self.failed == os.time() then return self:refuse("its disk failed just now"); end
	local ok, why = self:write(text);
	if not ok and self:drop_taken() then ok, why = self:write(text); end
	if not ok then
		self.failed = os.time();
		return self:refuse(why);
	end
	self.is_full, self.is_refusing = false, false;
	self.waiting = self.waiting + 1;
	if self.on_append then self.on_append(); end
	return true;
end

-- All of a text, or nothing of it.
function queue:write(text)
	if not self.file or self.written >= SEGMENT then
		local begun, why = self:begin_segment();
		if not begun then return nil, why; end
	end
	local is_whole, ok, why = pcall(atomic_append, self.file, text);
	if not is_whole then
		self:leave_torn();
		return nil, ok;
	elseif not ok then
		return nil, why;
	end
	self.written, self.bytes = self.written + #text, self.bytes + #text;
	return true;
end

-- Half a line stands there, and can't be cut off: nothing is added behind it.
function queue:leave_torn()
	self:close();
	local path = self:path(self.number);
	if self.written == 0 and os.remove(path) then
		table.remove(self.segments);
	else
		self.bytes = self.bytes + size_of(path) - self.written;
	end
end

-- Takes away what was taken, also the segment that is being written: its room may be what is lacking.
function queue:drop_taken()
	local _, count = self:next_lines(1, CHUNK);
	local last = self.segments[1];
	if count > 0 or not last or size_of(self:path(last)) == 0 then return false; end
	self:pass();
	return true;
end

function queue:refuse(why)
	if not self.is_refusing then
		self.module:log("error", "The archiver's queue in %s takes no more: %s. What is said meanwhile is filled in from "
			.. "the server's archive later, who comes and goes is lost", self.directory, why);
		self.is_refusing = true;
		if self.on_refuse then self.on_refuse(); end
	end
	return false;
end

-- The next lines as one text, how many they are, and where they end; "" if there are none.
function queue:next_lines(count, bytes)
	local text, lines, segment = "", 0, self.segments[1];
	local file = segment and io.open(self:path(segment), "rb");
	-- Where it is there and can't be opened or read (too many files are open), it is for another time.
	if segment and not file and size_of(self:path(segment)) > self.offset then return "", 0, self.offset; end
	if file then
		file:seek("set", self.offset);
		local read, fault = file:read(bytes);
		if fault then
			file:close();
			return "", 0, self.offset;
		end
		read = read or "";
		text, lines = whole_lines(read, count);
		while lines == 0 and #read > 0 and #read % bytes == 0 do -- one that is longer than a batch
			read = read .. (file:read(bytes) or " ");
			text, lines = whole_lines(read, count);
		end
		file:close();
	end
	if lines == 0 and self.segments[2] then
		self:pass();
		return self:next_lines(count, bytes);
	end
	return text, lines, self.offset + #text;
end

-- On from the first segment. What is left of it is what a failure cut off.
function queue:pass()
	local path = self:path(table.remove(self.segments, 1));
	local rest = size_of(path) - self.offset;
	if rest > 0 then
		self.module:log("warn", "%d bytes at the end of %s are no whole record: they are passed over", rest, path);
		self.bytes = self.bytes - rest;
	end
	if not self.segments[1] then self:close(); end -- that was the one being written
	os.remove(path);
	self.offset = 0;
	self:write_position();
end

-- Up to there all is safe elsewhere.
function queue:taken(count, offset)
	self.bytes = self.bytes - (offset - self.offset);
	self.waiting = self.waiting - count;
	self.offset = offset;
	self:write_position();
end

-- A record that nobody will ever take: kept beside the queue, so that the others go on once that is safe. Returns
-- whether it is, and why not.
function queue:keep_aside(text)
	local file, why = io.open(self.directory .. "/refused.ndjson", "ab");
	if not file then return false, why; end
	file:setvbuf("no");
	local is_whole, ok, fault = pcall(atomic_append, file, text);
	file:close();
	if is_whole and ok then return true; end
	return false, is_whole and fault or ok;
end

function queue:close()
	if self.file then self.file:close(); end
	self.file = nil;
end

return queue;
