-- What was said while this module wasn't there, or its queue full: read from the server's own archive.
--
-- A minute before is read again: what a failure of the machine took from the end of the queue. What comes twice has the
-- same id, and harms nothing. Who came and went is in the archive of rooms only with `muc_log_presences`.

local jid = require "util.jid";

local MARGIN = 60;
local PAGE = 200;
local PAUSE = 0.05; -- between pages, so that nobody notices
local FULL = 1; -- until the daemon has taken some
local INTERVAL = 15;

local gaps = {};

-- Calls `each(key, stanza, time)` for a page of an archive after `after`, until it says that the queue takes no more.
-- Returns up to where it came, and whether there is more.
local function read_page(archive, node, range, after, each)
	local rows, why = archive:find(node, { start = range.from, ["end"] = range.to, limit = PAGE, after = after });
	if not rows then error(why or "it can't be read"); end
	local count = 0;
	for key, stanza, time in rows do
		if each(key, stanza, math.floor(time)) == false then return after, true; end
		after, count = key, count + 1;
	end
	return after, count == PAGE;
end

local function nodes_of(archive)
	local nodes = {};
	if archive.users then
		for node in archive:users() do nodes[#nodes + 1] = node; end
	end
	table.sort(nodes);
	return nodes;
end

local function user_rows(host, shared, is_second)
	return function (node)
		local owner = node .. "@" .. host;
		return function (key, stanza, time)
			local from, to = jid.bare(stanza.attr.from), jid.bare(stanza.attr.to or owner);
			local _, from_host = jid.split(from);
			-- First what people sent, then what they got: of that, the archiver knows the most already.
			local is_received = from ~= owner and shared.captured[from_host] ~= nil or shared.room_of(from) ~= nil;
			if is_received ~= is_second then return; end
			local _, room = shared.room_of(from == owner and to or from);
			return shared.tell(host, "archived", time, { owner = owner, room = room, key = key, stanza = tostring(stanza) });
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
			return shared.tell(host, "archived", time, {
				room = address, nick = nick, jid = occupant and occupant.bare_jid, key = key, stanza = tostring(stanza),
			});
		end
	end
end

-- Reads one node of one pass after another, a page at a time; calls `done(fault)` at the end.
local function walk(module, queue, archive, passes, range, done)
	local nodes = nodes_of(archive);
	local pass, index, after = 1, 1, nil;
	local function step()
		if queue:is_full() then return FULL; end
		local node = nodes[index];
		if not node then
			pass, index = pass + 1, 1;
			if not passes[pass] or #nodes == 0 then return done(); end
			return PAUSE;
		end
		local ok, last, is_more = pcall(read_page, archive, node, range, after, passes[pass](node));
		if not ok then return done(last); end
		after = is_more and last or nil;
		if not is_more then index = index + 1; end
		return PAUSE;
	end
	module:add_timer(0, step);
end

local function fill_one(module, shared, marked, archive, passes)
	local host = module.host;
	local range = { from = marked.hosts[host] - MARGIN, to = os.time() };
	local before = shared.queue.waiting;
	module:log("info", "Reading the archive of %s from %s on, for what was not captured", host, os.date("!%FT%TZ", range.from));
	walk(module, shared.queue, archive, passes, range, function (fault)
		shared.filling[host] = nil;
		if fault then
			module:log("warn", "The archive of %s could not be read to the end, trying again: %s", host, fault);
			return;
		end
		marked:filled(host);
		module:log("info", "Read the archive of %s (%d records are waiting, %d before)", host, shared.queue.waiting, before);
	end);
end

function gaps.fill(module, shared, marked)
	local host = module.host;
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
	local function look()
		if marked.hosts[host] == nil then return; end -- unloaded
		if marked.hosts[host] and not shared.filling[host] and not shared.queue:is_full() then
			shared.filling[host] = true;
			fill_one(module, shared, marked, archive, passes);
		end
		return INTERVAL;
	end
	-- Once all hosts are there: whose users this module captures must be known.
	module:add_timer(1, look);
end

return gaps;
