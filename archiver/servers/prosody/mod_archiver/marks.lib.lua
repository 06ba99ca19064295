-- Up to when each host was captured without a gap: in the file `marks`, a line each. So a time without this module,
-- or one in which the queue took nothing, is known afterwards.

local INTERVAL = 10;

local marks = {};
marks.__index = marks;

function marks.open(directory, module)
	local self = setmetatable({ path = directory .. "/marks", hosts = {}, known = {}, again = {} }, marks);
	local file = io.open(self.path, "r");
	if file then
		for line in file:lines() do
			local time, host = line:match("^(%d+) (%S+)$");
			if time then self.known[host] = tonumber(time); end
		end
		file:close();
	end
	module:add_timer(INTERVAL, function ()
		self:keep();
		return INTERVAL;
	end);
	return self;
end

-- When a host was captured last, nil if never.
function marks:last(host)
	return self.known[host];
end

-- From now on a host is captured; what was before is known up to `time`, until it is filled.
function marks:begin(host, time)
	self.hosts[host] = time or false;
	if not time then self.known[host] = os.time(); end
	self:keep();
end

-- All that is missing up to now is being read from the archive. What goes missing from now on is to be read again.
function marks:reading(host)
	self.again[host] = nil;
end

-- What was before is filled in.
function marks:filled(host)
	if self.hosts[host] ~= nil then
		self.hosts[host], self.again[host] = self.again[host] or false, nil;
		self:keep();
	end
end

-- From `time` on something may be missing: the mark stays there until it was filled.
function marks:lost(host, time)
	if self.hosts[host] then
		self.again[host] = self.again[host] or time;
	else
		self.hosts[host] = time;
	end
end

function marks:leave(host)
	self:keep();
	self.hosts[host] = nil;
end

function marks:keep()
	local lines = {};
	for host, gap in pairs(self.hosts) do
		self.known[host] = gap or os.time();
	end
	for host, time in pairs(self.known) do
		lines[#lines + 1] = ("%d %s\n"):format(time, host);
	end
	local file = io.open(self.path .. ".new", "w");
	if file and file:write(table.concat(lines)) and file:close() then
		os.rename(self.path .. ".new", self.path);
	end
end

return marks;
