-- What the users of a host send, and what they get from where this module doesn't run: one record a message.
--
-- mod_mam archives a message at priority 0 of these hooks and puts its id on it, mod_mam takes that off again at -1:
-- between the two the id is seen, by which a later reading of the archive knows the message again.

local jid = require "util.jid";

local STANZA_ID = "urn:xmpp:sid:0";
-- What alone is nothing that anybody said.
local SILENT = {
	["http://jabber.org/protocol/chatstates"] = true,
	["urn:xmpp:receipts"] = true,
	["urn:xmpp:chat-markers:0"] = true,
	["urn:xmpp:hints"] = true,
	["urn:xmpp:sid:0"] = true,
};

local users = {};

function users.says_something(stanza)
	local kind = stanza.attr.type;
	if kind == "error" or kind == "headline" and not stanza:get_child("body") then return false; end
	for _, tag in ipairs(stanza.tags) do
		if not SILENT[tag.attr.xmlns] then return true; end
	end
	return false;
end

-- Under which id, and when, the archive has it. mod_mam looks at the clock between `before` and now: where its second
-- may be another than ours, the archive is asked.
function users.archived(archive, node, stanza, by, before)
	local now, key = os.time(), nil;
	for _, tag in ipairs(stanza.tags) do
		if tag.name == "stanza-id" and tag.attr.xmlns == STANZA_ID and jid.bare(tag.attr.by) == by then key = tag.attr.id; end
	end
	if key and before ~= now and archive.get then
		local _, at = archive:get(node, key);
		if at then return key, math.floor(at); end
	end
	return key, now;
end

function users.capture(module, shared)
	local host = module.host;
	local archive = module:open_store(module:get_option_string("archive_store", "archive"), "archive");

	local function is_archiving()
		return prosody.hosts[host].modules.mam ~= nil;
	end

	local function tell(event, owner)
		local stanza = event.stanza;
		local key, time = nil, os.time();
		if is_archiving() then
			key, time = users.archived(archive, (jid.split(owner)), stanza, owner, event.archiver_before);
		end
		shared.tell(host, "message", time, { owner = owner, key = key, stanza = tostring(stanza) });
	end

	local function sent(event)
		local stanza = event.stanza;
		if not users.says_something(stanza) then return; end
		local owner = jid.bare(stanza.attr.from);
		if shared.room_of(stanza.attr.to) then
			-- A room of ours tells of it itself; only its id and time in the sender's archive are known here.
			local key, time;
			if is_archiving() then
				key, time = users.archived(archive, (jid.split(owner)), stanza, owner, event.archiver_before);
			end
			shared.passing = { from = stanza.attr.from, to = stanza.attr.to, id = stanza.attr.id, key = key, time = time };
			return;
		end
		tell(event, owner);
	end

	local function came(event)
		local stanza = event.stanza;
		local node, from_host = jid.split(stanza.attr.from);
		if node and shared.captured[from_host] then return; end -- told where it was sent
		if stanza.attr.type == "groupchat" or shared.room_of(stanza.attr.from) then return; end
		if users.says_something(stanza) then tell(event, jid.bare(stanza.attr.to)); end
	end

	local function note_time(event)
		event.archiver_before = os.time();
	end

	for _, kind in ipairs { "bare", "full", "host" } do
		module:hook("pre-message/" .. kind, note_time, 0.5);
		module:hook("pre-message/" .. kind, shared.safely(module, sent), -0.5);
	end
	for _, kind in ipairs { "bare", "full" } do
		module:hook("message/" .. kind, note_time, 0.5);
		module:hook("message/" .. kind, shared.safely(module, came), -0.5);
	end
end

return users;
