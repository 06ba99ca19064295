-- Hands everything that is said on this Prosody to the conversation archiver.
--
--   hooks (users, rooms) -> queue on disk -> poster -> POST /records of the archiver's daemon
--   the server's own archive -> gaps -> the same poster, after a time in which this module or its queue wasn't there
--
-- A record is in the queue's file before Prosody routes what it tells of; it leaves it once the daemon has it durable.
-- Nothing here ever stops a message: what goes wrong is logged, and filled in from the archive later.
-- The records are described in the archiver's docs/xmpp.md.

module:set_global();

local jid = require "util.jid";
local uuid = require "util.uuid";
local json = require "util.json";
local datetime = require "util.datetime";
local xpcall = require "util.xpcall".xpcall; -- Lua 5.1's own passes nothing on

local VERSION = "1.0.0";

local queue = module:require "queue";
local poster = module:require "poster";
local marks = module:require "marks";
local users = module:require "users";
local rooms = module:require "rooms";
local gaps = module:require "gaps";

local directory = module:get_option_path("archiver_queue", "archiver", "data");
local most = module:get_option_number("archiver_queue_size", 1024) * 1024 * 1024;

local spooled = queue.open(directory, most, module);
local marked = marks.open(directory, module);
local begun, number = os.time(), 0;

-- What the parts share. `captured` are the user hosts on which this module runs, `rooms` the components, `begun` the
-- rooms told of since it came.
local shared = { captured = {}, rooms = {}, begun = {} };

-- A record as text. `time` is in whole seconds, as Prosody's own archives have it.
function shared.line(host, kind, time, record)
	number = number + 1;
	record.kind, record.host, record.id = kind, host, uuid.generate();
	record.time = datetime.datetime(time);
	record.sequence = ("%011d%010d"):format(begun, number);
	return json.encode(record);
end

-- Writes a record down. Returns whether it is safe. Each that isn't is noted: an archive that is being read already
-- isn't read up to now.
function shared.tell(host, kind, time, record)
	local is_safe = spooled:append(shared.line(host, kind, time, record));
	if not is_safe then marked:lost(host, os.time()); end
	return is_safe;
end

-- Calls a hook's handler so that a fault of ours ends in the log and not in the message's way.
function shared.safely(host_module, handler)
	return function (event)
		local ok, fault = xpcall(handler, debug.traceback, event);
		if not ok then
			host_module:log("error", "Something was not captured, please report this: %s", fault);
			marked:lost(host_module.host, os.time());
		end
	end
end

-- Is this the address of a room of this server, or of somebody in one?
function shared.room_of(address)
	local _, host = jid.split(address);
	local known = host and prosody.hosts[host];
	local muc = known and known.modules and known.modules.muc;
	if muc and muc.get_room_from_jid then
		return muc, jid.bare(address);
	end
end

spooled.on_refuse = function ()
	shared.begun = {}; -- who comes and goes meanwhile isn't known: each room says anew who is there
end

local filling = gaps.new(shared, marked);

local posting = poster.new(spooled, { spooled, filling }, {
	url = module:get_option_string("archiver_url", "http://127.0.0.1:8028/records");
	token = module:get_option_string("archiver_token");
	token_file = module:get_option_path("archiver_token_file", nil, "config");
	records = module:get_option_number("archiver_batch", 200);
	agent = ("mod_archiver/%s (Prosody %s)"):format(VERSION, prosody.version or "unknown");
}, module);
spooled.on_append = function () posting:wake(); end
filling.on_page = spooled.on_append;
filling.on_filled = function () posting:post(true); end -- so that the daemon knows at once

function module.add_host(host_module)
	local host = host_module.host;
	if host_module:get_host_type() == "component" then
		if not prosody.hosts[host].modules.muc then
			host_module:log("error", "mod_archiver is for hosts with users and for components with rooms");
			return false;
		end
		shared.rooms[host] = true;
		rooms.capture(host_module, shared);
	else
		shared.captured[host] = true;
		users.capture(host_module, shared);
	end
	filling:add(host_module);
	posting:wake(); -- what was left of last time; never by what was loaded for a host that is refused
	host_module:log("info", "Everything said on %s is handed to the archiver", host);
	function host_module.unload()
		shared.captured[host], shared.rooms[host] = nil, nil;
		filling:leave(host);
		marked:leave(host);
	end
end

function module.unload()
	posting:stop();
	marked:keep();
	spooled:close();
end

-- Once all hosts are there. Where Prosody began with a host that is refused, it loads this anew for the next one: what
-- is left of the first time has no hosts, and nothing to say.
module:add_timer(3, function ()
	if not (next(shared.rooms) or next(shared.captured)) then return; end
	for host, session in pairs(prosody.hosts) do
		if session.modules and session.modules.muc and not shared.rooms[host] then
			module:log("warn", "What is said in rooms of %s is not captured: add \"archiver\" to modules_enabled under its "
				.. "Component, unless that is meant", host);
		end
	end
end);
