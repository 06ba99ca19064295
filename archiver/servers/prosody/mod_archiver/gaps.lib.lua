-- What was said while this module wasn't there, or its queue took nothing: read from the server's own archive.
--
-- It doesn't go through the queue: what stands in an archive is safe already. The poster takes it a page at a time, and
-- the next is read once the daemon has that one. So neither a full disk nor a slow daemon has anything read twice.
--
-- A minute before is read again: what a failure of the machine took from the end of the queue. What comes twice has the
-- same id, and harms nothing. Who came and went is in the archive of rooms only with `muc_log_presences`.

local jid = require "util.jid";
local unpack = table.unpack or unpack; -- luacheck: ignore 113/unpack

local MARGIN = 60;
local PAGE = 200;
local PAUSE = 0.05; -- between pages, so that nobody notices
local BREATH = 0.002; -- where there was nothing: of ten thousand users, most said nothing since
local INTERVAL = 15; -- between two readings

local function nodes_of(archive)
	local nodes = {};
	if archive.users then
		for node in archive:users() do nodes[#nodes + 1] = node; end
	end
	table.sort(nodes);
	return nodes;
end

-- What one sends to oneself is there twice: as sent, which is what was captured, and right behind that as got.
local function echoes()
	local last;
	return function (owner, key, stanza, time)
		local id, body = stanza.attr.id, stanza:get_child_text("body");
		if last and last.owner == owner and last.key ~= key and last.id == id and last.body == body and time - last.time <= 1 then
			last = nil;
			return true;
		end
		last = { owner = owner, key = key, id = id, body = body, time = time };
		return false;
	end
end

local function user_rows(host, shared, is_second)
	local is_echo = echoes();
	return function (node)
		local owner = node .. "@" .. host;
		return function (key, stanza, time)
			local from, to = jid.bare(stanza.attr.from), jid.bare(stanza.attr.to or owner);
			local _, from_host = jid.split(from);
			-- First what people sent, then what they got: of that, the archiver knows the most already.
			local is_received = from ~= owner and shared.captured[from_host] ~= nil or shared.room_of(from) ~= nil;
			if is_received ~= is_second then return; end
			if from == owner and to == owner and is_echo(owner, key, stanza, time) then return; end
			local _, room = shared.room_of(from == owner and to or from);
			return shared.line(host, "archived", time, { owner = owner, room = room, key = key, stanza = tostring(stanza) });
		end
	end
end

local function room_rows(host, shared)
	local muc = prosody.hosts[host].modules.muc;
	return function (node)
		local address = node .. "@" .. host;
		local room = muc.get_room_from_jid(address);
		return function (key, stanza, time)
			local nick = jid.resource(stanza.attr.from);
			local occupant = room and nick and room:get_occupant_by_nick(stanza.attr.from);
			return shared.line(host, "archived", time, {
				room = address, nick = nick, jid = occupant and occupant.bare_jid, key = key, stanza = tostring(stanza),
			});
		end
	end
end

-- What one host's archive gives. `at` is how far a reading has come, nil while there is none; `lines` are those of its
-- last page that the daemon doesn't have.
local filler = {};
filler.__index = filler;

function filler:read_page(node, range, after)
	local rows, why = self.archive:find(node, { start = range.from, ["end"] = range.to, limit = PAGE, after = after });
	if not rows then error(why or "it can't be read"); end
	local line_of, count, lines = self.passes[self.at.pass](node), 0, {};
	for key, stanza, time in rows do
		after, count = key, count + 1;
		local ok, line = pcall(line_of, key, stanza, math.floor(time));
		if not ok then -- one row must not hold back all others
			self.module:log("warn", "A row of the archive of %s, %s of %s, can't be told: %s", self.host, key, node, line);
		elseif line then
			lines[#lines + 1] = line;
		end
	end
	return lines, count == PAGE and after or nil;
end

-- Reads one node of one pass after another, until there is something to hand out; then it waits until that is taken.
function filler:step()
	local at = self.at;
	local node = at.nodes[at.index];
	if not node then
		at.pass, at.index = at.pass + 1, 1;
		if self.passes[at.pass] and at.nodes[1] then return PAUSE; end
		return self:ended();
	end
	local ok, lines, after = pcall(self.read_page, self, node, at.range, at.after);
	if not ok then return self:ended(lines); end
	at.after = after;
	if not after then at.index = at.index + 1; end
	if #lines == 0 then return BREATH; end
	self.lines = lines;
	self.supply.on_page();
end

function filler:go_on()
	local at = self.at;
	self.module:add_timer(PAUSE, function ()
		if self.at == at and self:is_there() then return self:step(); end
	end);
end

function filler:begin()
	local from = self.marked.hosts[self.host] - MARGIN;
	local ok, nodes = pcall(nodes_of, self.archive);
	if not ok then return self:ended(nodes); end
	self.module:log("info", "Reading the archive of %s from %s on, for what was not captured", self.host, os.date("!%FT%TZ", from));
	self.marked:reading(self.host);
	self.at = { range = { from = from, to = os.time() }, nodes = nodes, pass = 1, index = 1 };
	self:go_on();
end

function filler:ended(fault)
	self.at = nil;
	if not fault then
		self.marked:filled(self.host);
		self.module:log("info", "Read the archive of %s", self.host);
		self.supply.on_filled();
	elseif fault ~= self.fault then
		self.module:log("warn", "The archive of %s could not be read to the end, trying again: %s", self.host, fault);
	end
	self.fault = fault;
end

function filler:is_there()
	return self.supply.fillers[self.host] == self and self.marked.hosts[self.host] ~= nil;
end

-- How many records are to come, as far as is known: one at least, unless there is no way to know.
function filler:waiting()
	local is_open = self.marked.hosts[self.host] and not self.fault;
	return #self.lines + (is_open and 1 or 0);
end

-- What the archives of all hosts give: a supply of the poster.
local gaps = {};

function gaps.__index(self, name)
	if name ~= "waiting" then return gaps[name]; end
	local waiting = 0;
	for _, each in pairs(self.fillers) do waiting = waiting + each:waiting(); end
	return waiting;
end

function gaps.new(shared, marked)
	return setmetatable({ shared = shared, marked = marked, fillers = {} }, gaps);
end

-- The next lines as one text, how many they are, and whose.
function gaps:next_lines(count, bytes)
	for _, each in pairs(self.fillers) do
		local last, size = 0, 0;
		while last < count and each.lines[last + 1] and (last == 0 or size + #each.lines[last + 1] < bytes) do
			last = last + 1;
			size = size + #each.lines[last] + 1;
		end
		if last > 0 then return table.concat(each.lines, "\n", 1, last) .. "\n", last, each; end
	end
	return "", 0;
end

function gaps:taken(count, filled)
	filled.lines = { unpack(filled.lines, count + 1) };
	if #filled.lines == 0 and filled:is_there() then filled:go_on(); end
end

function gaps:add(module)
	local host, shared, marked = module.host, self.shared, self.marked;
	local is_component = module:get_host_type() == "component";
	local store = is_component and "muc_log" or module:get_option_string("archive_store", "archive");
	local archive = module:open_store(store, "archive");
	local days = module:get_option_number("archiver_fill_days", 0);
	local last = marked:last(host) or days > 0 and math.floor(os.time() - days * 86400) or nil;
	marked:begin(host, last);
	if not (archive.find and archive.users) then
		module:log("warn", "The archive of %s can't be read by users: what this module misses is not filled in", host);
		return;
	end
	local passes = is_component and { room_rows(host, shared) }
		or { user_rows(host, shared, false), user_rows(host, shared, true) };
	local new = setmetatable({
		supply = self, module = module, host = host, marked = marked, archive = archive, passes = passes, lines = {},
	}, filler);
	self.fillers[host] = new;
	-- Once all hosts are there: whose users this module captures must be known.
	module:add_timer(1, function ()
		if not new:is_there() then return; end
		if marked.hosts[host] and not new.at then new:begin(); end
		return INTERVAL;
	end);
end

function gaps:leave(host)
	self.fillers[host] = nil;
end

return gaps;
