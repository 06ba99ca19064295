-- What is said and what happens in the rooms of a component.
--
-- A room announces to everybody why somebody goes (kicked, renamed …) just before it tells its modules that they went.
-- The first record of a room after this module came says who is there: of what was before it knows nothing.

local jid = require "util.jid";
local uuid = require "util.uuid";
local array = require "util.array"; -- one without members is [] in JSON, too

local STANZA_ID = "urn:xmpp:sid:0";
local MUC_USER = "http://jabber.org/protocol/muc#user";
local REMOVED = { ["301"] = true, ["307"] = true, ["321"] = true, ["322"] = true };

local rooms = {};

local function key_of(stanza, room)
	for _, tag in ipairs(stanza.tags) do
		if tag.name == "stanza-id" and tag.attr.xmlns == STANZA_ID and tag.attr.by == room.jid then return tag.attr.id; end
	end
end

local function occupants_of(room)
	local found = array();
	for nick, occupant in room:each_occupant() do
		found[#found + 1] = { nick = jid.resource(nick), jid = occupant.bare_jid };
	end
	return found;
end

local function codes_of(x)
	local codes, reason = {}, nil;
	for _, tag in ipairs(x.tags) do
		if tag.name == "status" then codes[tag.attr.code] = true; end
		if tag.name == "destroy" then reason = tag:get_child_text("reason"); end
	end
	return codes, reason;
end

function rooms.capture(module, shared)
	local host = module.host;
	local archive = module:open_store("muc_log", "archive");
	local going = {}; -- occupant -> why they go
	local logs_presences = module:get_option_boolean("muc_log_presences", false);

	local function is_archiving()
		return prosody.hosts[host].modules.muc_mam ~= nil;
	end

	local function tell(kind, room, time, record)
		record.room, record.public = room.jid, room:get_whois() == "anyone" or nil;
		room.archiver_session = room.archiver_session or uuid.generate();
		record.session = room.archiver_session;
		local first = shared.begun[room.jid] ~= room and kind ~= "room-created";
		if first then record.occupants = occupants_of(room); end
		if shared.tell(host, kind, time, record) and first then shared.begun[room.jid] = room; end
	end

	-- The row that mod_muc_mam wrote just now of somebody who came or went.
	local function presence_row(room, with)
		if not (logs_presences and is_archiving() and archive.find) then return nil, os.time(); end
		local rows = archive:find((jid.split(room.jid)), { limit = 1, reverse = true, with = with });
		local key, _, at = (rows or function () end)();
		if key and os.time() - at <= 1 then return key, math.floor(at); end
		return nil, os.time();
	end

	local function made(event)
		event.room.archiver_session = nil;
		tell("room-created", event.room, os.time(), {});
	end

	local function joined(event)
		local key, time = presence_row(event.room, "presence");
		tell("room-join", event.room, time, { nick = jid.resource(event.nick), jid = event.occupant.bare_jid, key = key });
	end

	local function announced(event)
		local codes, reason = codes_of(event.x);
		if event.occupant.role ~= nil and not codes["303"] then return; end
		going[event.occupant.nick] = {
			codes = codes, actor = event.actor, nick = event.nick,
			reason = event.reason or reason or event.stanza:get_child_text("status"),
		};
	end

	local function went(event)
		local room, nick = event.room, event.nick;
		local why = going[nick] or { codes = {} };
		going[nick] = nil;
		local key, time = presence_row(room, "presence<unavailable");
		local record = { nick = jid.resource(nick), jid = event.occupant.bare_jid, reason = why.reason, key = key };
		if why.codes["303"] and why.nick then
			record.new_nick, record.reason, record.key = why.nick, nil, nil;
			return tell("room-rename", room, time, record);
		end
		for code in pairs(REMOVED) do
			if why.codes[code] then
				record.key = nil; -- the archive has only that somebody went
				if type(why.actor) == "string" then
					record.by_nick, record.by_jid = jid.resource(room:get_occupant_jid(why.actor)), jid.bare(why.actor);
				end
				return tell("room-kick", room, time, record);
			end
		end
		tell("room-leave", room, time, record);
	end

	local function ended(event)
		tell("room-destroyed", event.room, os.time(), { reason = event.reason });
		event.room.archiver_session = nil;
		shared.begun[event.room.jid] = nil;
	end

	local function said(event)
		local room, stanza = event.room, event.stanza;
		local occupant = room:get_occupant_by_nick(stanza.attr.from);
		local key, time = key_of(stanza, room), os.time();
		if not is_archiving() then
			key = nil; -- what stands there then is a client's own word
		elseif key and event.archiver_before ~= time and archive.get then
			local _, at = archive:get((jid.split(room.jid)), key);
			time = at and math.floor(at) or time;
		end
		tell("room-message", room, time, {
			nick = jid.resource(stanza.attr.from), jid = occupant and occupant.bare_jid,
			key = key, stanza = tostring(stanza),
		});
	end

	local function whispered(event)
		local room, stanza = event.room, event.stanza;
		local from, to = room:get_occupant_by_nick(stanza.attr.from), room:get_occupant_by_nick(stanza.attr.to);
		if not (from and to) or stanza.attr.type == "error" then return; end
		local passing, key = shared.passing, nil;
		if passing and passing.to == stanza.attr.to and passing.id == stanza.attr.id and jid.bare(passing.from) == from.bare_jid then
			key = passing.key;
		end
		tell("room-private", room, os.time(), {
			nick = jid.resource(from.nick), jid = from.bare_jid, to_nick = jid.resource(to.nick), to_jid = to.bare_jid,
			key = key, stanza = tostring(stanza),
		});
	end

	local function invited(event)
		local by = event.incoming and event.incoming.attr.from;
		local invite = event.stanza:get_child("x", MUC_USER);
		invite = invite and invite:get_child("invite");
		tell("room-invite", event.room, os.time(), {
			to_jid = jid.bare(event.stanza.attr.to), jid = by and jid.bare(by),
			nick = by and jid.resource(event.room:get_occupant_jid(by)), reason = invite and invite:get_child_text("reason"),
		});
	end

	local function note_time(event)
		event.archiver_before = os.time();
	end

	local function hook(name, handler, priority)
		module:hook(name, shared.safely(module, handler), priority);
	end

	hook("muc-room-pre-create", made, -2);
	hook("muc-room-created", function (event)
		if not event.creator then made(event); end
	end, -10);
	hook("muc-occupant-joined", joined, -10);
	hook("muc-broadcast-presence", announced, -10);
	-- Before mod_muc takes away a room that is empty now, at -1.
	hook("muc-occupant-left", went, -0.5);
	hook("muc-room-destroyed", ended, -10);
	module:hook("muc-broadcast-message", note_time, 10);
	hook("muc-broadcast-message", said, -10);
	hook("muc-private-message", whispered, -10);
	hook("muc-invite", invited, -10);
end

return rooms;
