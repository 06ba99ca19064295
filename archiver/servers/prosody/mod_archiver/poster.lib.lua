-- Takes records to the daemon: one batch at a time, in order, each until it is acknowledged. They come by turns from
-- the queue and from what is read of archives: neither keeps the other waiting.

local http = require "net.http";

local BYTES = 1024 * 1024;
local HEARTBEAT = 15; -- so that the daemon knows that silence means silence
local PATIENCE = 120; -- for a reply
local LONGEST = 60; -- between two tries
local AGAIN = 600; -- between two lines of the log about the same trouble

local poster = {};
poster.__index = poster;

local function read_token(options, module)
	if not options.token_file then return options.token; end
	local file, why = io.open(options.token_file, "r");
	if not file then
		module:log("error", "The token can't be read: %s. Set archiver_token_file to a file that Prosody may read", why);
		return nil;
	end
	local token = file:read("*a"):match("^%s*(.-)%s*$");
	file:close();
	return token;
end

-- `supplies` have `next_lines`, `taken` and `waiting`, as the queue does, which is one of them.
function poster.new(queue, supplies, options, module)
	local self = setmetatable({
		queue = queue, supplies = supplies, options = options, module = module, tries = 0, serial = 0,
	}, poster);
	self.count = options.records;
	self.beat = module:add_timer(1, function ()
		self:post(true);
		return HEARTBEAT;
	end);
	return self;
end

function poster:stop()
	self.stopped = true;
	if self.beat then self.beat:stop(); end
end

-- There is something to post; not at once, so that what is said in one moment goes together.
function poster:wake()
	if self.busy or self.timer or self.stopped then return; end
	self:later(0.02);
end

function poster:later(seconds)
	if self.timer then return; end
	self.timer = self.module:add_timer(seconds, function ()
		self.timer = nil;
		self:post(false);
	end);
end

function poster:waiting()
	local waiting = 0;
	for _, supply in ipairs(self.supplies) do waiting = waiting + supply.waiting; end
	return waiting;
end

function poster:next_batch()
	for _, supply in ipairs(self.supplies) do
		local body, count, place = supply:next_lines(self.count, BYTES);
		if count > 0 then return { supply = supply, body = body, count = count, place = place }; end
	end
	return { body = "", count = 0 };
end

function poster:post(is_beat)
	if self.busy or self.stopped or (is_beat and self.timer) then return; end
	local batch = self:next_batch();
	if batch.count == 0 and not is_beat then return; end
	local token = read_token(self.options, self.module);
	if not token then return self:fail("no token", "set archiver_token_file"); end
	self.busy, self.serial = true, self.serial + 1;
	local serial = self.serial;
	self.watch = self.module:add_timer(PATIENCE, function ()
		if serial == self.serial and self.busy then self:replied("no reply", 0, nil, batch); end
	end);
	http.request(self.options.url, {
		method = "POST", body = batch.body, suppress_errors = true,
		headers = {
			["Authorization"] = "Bearer " .. token;
			["Content-Type"] = "application/x-ndjson";
			["Archiver-Waiting"] = ("%d"):format(self:waiting() - batch.count);
			["User-Agent"] = self.options.agent;
			["Connection"] = "close";
		};
	}, function (content, code, response)
		if serial == self.serial and self.busy then self:replied(content, code, response, batch); end
	end);
end

function poster:replied(content, code, response, batch)
	self.busy = false;
	if self.watch then self.watch:stop(); end
	if self.stopped then return; end
	if code == 200 then
		self:taken(batch);
		return self:succeed();
	end
	if code == 413 and batch.count > 1 then
		self.count = math.max(1, math.floor(batch.count / 2));
		return self:later(0);
	elseif code == 413 and batch.count == 1 then
		local ok, why = self.queue:keep_aside(batch.body);
		if not ok then return self:fail("413", "it is too large, and can't be kept in refused.ndjson: " .. tostring(why)); end
		self.module:log("error", "A record is larger than the archiver takes: it is kept in refused.ndjson");
		self:taken(batch);
		return self:later(0);
	end
	local told = tonumber(response and response.headers and response.headers["retry-after"]);
	self:fail(("%s %s"):format(code, tostring(content):sub(1, 200)), self:advice(code, tostring(content)), told);
end

function poster:taken(batch)
	if batch.count == 0 then return; end
	batch.supply:taken(batch.count, batch.place);
	table.insert(self.supplies, table.remove(self.supplies, 1));
end

function poster:advice(code, content)
	if code == 0 and content:find("^certificate") then
		return "its certificate must be by an authority that Prosody trusts, and for the name in archiver_url";
	end
	if code == 401 then return "the daemon knows no such token"; end
	if code == 403 then return "the token's `sources` in the daemon's configuration lack a host of this server"; end
	return "is the daemon running, and is archiver_url right?";
end

function poster:succeed()
	if self.trouble then self.module:log("info", "The archiver takes records again, %d are waiting", self:waiting()); end
	self.trouble, self.tries, self.count = nil, 0, self.options.records;
	self:later(0); -- where there is more
end

function poster:fail(why, advice, told)
	local now = os.time();
	if self.trouble ~= why or now - self.told_at >= AGAIN then
		self.module:log("warn", "The archiver at %s doesn't take records (%s): %s. %d are kept meanwhile, in %s",
			self.options.url, why, advice, self.queue.waiting, self.queue.directory);
		self.trouble, self.told_at = why, now;
	end
	local wait = math.min(LONGEST, 2 ^ math.min(self.tries, 6) / 2);
	self.tries = self.tries + 1;
	-- Its own wish counts, within reason: nobody may silence this for a day.
	self:later(told and math.max(0.5, math.min(told, 3600)) or wait);
end

return poster;
