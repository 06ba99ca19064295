-- A queue of lines in files that only grow: `0000000001.ndjson` and so on, and `position`, up to where they were taken.
--
-- Each line is handed to the kernel in one write before `append` returns: a kill of Prosody loses nothing. It is not
-- synced to the disk, for which Lua has no means: what a failure of the machine takes is filled in from the archive.

local lfs = require "lfs";

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

-- Opens what an earlier process left. What it wrote last may be cut off: nothing is added behind it.
function queue.open(directory, most, module)
	lfs.mkdir(directory);
	if lfs.attributes(directory, "mode") ~= "directory" then
		return nil, ("the archiver's queue can't be kept in %s: make it, and let Prosody's user write there"):format(directory);
	end
	local self = setmetatable({ directory = directory, most = most, module = module, bytes = 0, waiting = 0 }, queue);
	self.segments = segments_in(directory);
	self.segment, self.offset = self:read_position();
	while self.segments[1] and self.segments[1] < self.segment do
		os.remove(self:path(table.remove(self.segments, 1)));
	end
	if self.segments[1] ~= self.segment then
		self.segment, self.offset = self.segments[1], 0;
	end
	for index, segment in ipairs(self.segments) do
		local from = index == 1 and self.offset or 0;
		self.bytes = self.bytes + size_of(self:path(segment)) - from;
		self.waiting = self.waiting + count_lines(self:path(segment), from);
	end
	local ok, why = self:begin_segment();
	if not ok then return nil, why; end
	return self;
end

function queue:read_position()
	local file = io.open(self.directory .. "/position", "r");
	local segment, offset = 1, 0;
	if file then
		segment, offset = (file:read("*a") or ""):match("^(%d+) (%d+)\n$");
		file:close();
	end
	return tonumber(segment) or 1, tonumber(offset) or 0;
end

function queue:write_position()
	local path = self.directory .. "/position";
	local file = io.open(path .. ".new", "w");
	if file and file:write(("%d %d\n"):format(self.segment, self.offset)) and file:close() then
		os.rename(path .. ".new", path);
	end
end

function queue:begin_segment()
	if self.file then self.file:close(); end
	self.writing = math.max(self.segments[#self.segments] or 0, self.segment or 0) + 1;
	local why;
	self.file, why = io.open(self:path(self.writing), "ab");
	if not self.file then return nil, why; end
	self.file:setvbuf("no");
	self.segments[#self.segments + 1] = self.writing;
	self.written = 0;
	if not self.segment then self.segment, self.offset = self.writing, 0; end
	return true;
end

-- Returns whether the line is safe. A queue that is full takes nothing until a tenth of it is free again.
function queue:append(line)
	if self:is_full() then return false; end
	if self.bytes + #line > self.most then
		return self:refuse(("it holds %d MiB, as much as archiver_queue_size allows"):format(math.floor(self.bytes / 1048576)));
	end
	if not self.file or self.written >= SEGMENT then
		local begun, why = self:begin_segment();
		if not begun then return self:refuse(why); end
	end
	local ok, why = self.file:write(line, "\n");
	if not ok then
		self.file:close();
		self.file = nil; -- half a line may stand there: nothing is added to it
		return self:refuse(why);
	end
	self.full = nil;
	self.written = self.written + #line + 1;
	self.bytes = self.bytes + #line + 1;
	self.waiting = self.waiting + 1;
	if self.on_append then self.on_append(); end
	return true;
end

function queue:is_full()
	return self.full and self.bytes > self.most * 0.9;
end

function queue:refuse(why)
	if not self.full then
		self.module:log("error", "The archiver's queue in %s takes no more: %s. What is said meanwhile is filled in from "
			.. "the server's archive later, who comes and goes is lost", self.directory, why);
		if self.on_full then self.on_full(os.time()); end
	end
	self.full = true;
	return false;
end

-- The next lines as one text, how many they are, and where they end; "" if there are none.
function queue:next_lines(count, bytes)
	local text, lines, offset = "", 0, self.offset;
	local file = io.open(self:path(self.segment), "rb");
	if file then
		file:seek("set", offset);
		local read = file:read(bytes) or "";
		text, lines = whole_lines(read, count);
		while lines == 0 and #read > 0 and #read % bytes == 0 do -- one that is longer than a batch
			read = read .. (file:read(bytes) or " ");
			text, lines = whole_lines(read, count);
		end
		file:close();
	end
	if lines == 0 and self.segment ~= self.writing then
		self:next_segment();
		return self:next_lines(count, bytes);
	end
	return text, lines, offset + #text;
end

function queue:next_segment()
	local rest = size_of(self:path(self.segment)) - self.offset;
	if rest > 0 then
		self.module:log("warn", "%d bytes at the end of %s are no whole record: they are passed over", rest, self:path(self.segment));
		self.bytes = self.bytes - rest;
	end
	os.remove(self:path(self.segment));
	table.remove(self.segments, 1);
	self.segment, self.offset = self.segments[1], 0;
	self:write_position();
end

-- Up to there all is safe elsewhere.
function queue:taken(count, offset)
	self.bytes = self.bytes - (offset - self.offset);
	self.waiting = self.waiting - count;
	self.offset = offset;
	self:write_position();
end

-- One record that nobody will ever take: kept beside the queue, so that the others go on.
function queue:set_aside(line, count, offset)
	local file = io.open(self.directory .. "/refused.ndjson", "ab");
	if file then
		file:write(line);
		file:close();
	end
	self:taken(count, offset);
end

function queue:close()
	if self.file then self.file:close(); end
	self.file = nil;
end

return queue;
