-- What is said and what happens in the rooms of a component.
--
-- A room announces to everybody why somebody goes (kicked, renamed …) just before it tells its modules that they went.
-- The first record of a room after this module came says who is there: of what was before it knows nothing.

local jid = require "util.jid";
local uuid = require "util.uuid";
local json = require "util.json";
local array = require "util.array"; -- one without members is [] in JSON, too

local STANZA_ID = "urn:xmpp:sid:0";
local NICK = "http://jabber.org/protocol/nick";
local JITSI = "http://jitsi.org/jitmeet";
local MUC_USER = "http://jabber.org/protocol/muc#user";
local REMOVED = { ["301"] = true, ["307"] = true, ["321"] = true, ["322"] = true };

local rooms = {};

local function key_of(stanza, room)
	for _, tag in ipairs(stanza.tags) do
		if tag.name == "stanza-id" and tag.attr.xmlns == STANZA_ID and tag.attr.by == room.jid then return tag.attr.id; end
	end
end

local function text(value)
	return type(value) == "string" and value ~= "" and value or nil;
end

-- What is known of somebody beside their nick. A client says what its user is called (XEP-0172), which is all there is
-- of a guest of a conference; Jitsi Meet's token, which the server checked, says whose account it is.
local function known_of(room, occupant)
	room.archiver_people = room.archiver_people or {};
	local known = room.archiver_people[occupant.nick] or {};
	room.archiver_people[occupant.nick] = known;
	local presence = occupant:get_presence();
	local session = prosody.full_sessions[occupant.jid];
	local user = session and session.jitsi_meet_context_user;
	if type(user) == "table" then
		known.account = text(user.email) or text(user.id) or known.account;
		known.name = text(user.name) or known.name;
	end
	known.name = text(presence and presence:get_child_text("nick", NICK)) or known.name;
	return known;
end

-- Who somebody is, under names that begin with `before`.
local function person(record, before, room, occupant)
	local known = known_of(room, occupant);
	record[before .. "nick"], record[before .. "jid"] = jid.resource(occupant.nick), occupant.bare_jid;
	record[before .. "name"], record[before .. "account"] = known.name, known.account;
	return record;
end

local function occupants_of(room, is_nobody)
	local found = array();
	for _, occupant in room:each_occupant() do
		if not is_nobody(occupant) then found[#found + 1] = person({}, "", room, occupant); end
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
	local told_as_poll;
	local going = {}; -- occupant -> why they go
	local services = module:get_option_set("archiver_services", {});
	local logs_presences = module:get_option_boolean("muc_log_presences", false);

	local function is_archiving()
		return prosody.hosts[host].modules.muc_mam ~= nil;
	end

	-- Focus, recorders and the like: hosts or addresses that are named so, and no people.
	local function is_nobody(occupant)
		return services:contains(occupant.bare_jid) or services:contains(jid.host(occupant.bare_jid));
	end

	local function tell(kind, room, time, record)
		record.room, record.public = room.jid, room:get_whois() == "anyone" or nil;
		room.archiver_session = room.archiver_session or uuid.generate();
		record.session = room.archiver_session;
		local first = shared.begun[room.jid] ~= room and kind ~= "room-created";
		if first then record.occupants = occupants_of(room, is_nobody); end
		if shared.tell(host, kind, time, record) and first then shared.begun[room.jid] = room; end
	end

	-- The row that mod_muc_mam wrote just now of somebody who came or went.
	local function presence_row(room, nick, with)
		if not (logs_presences and is_archiving() and archive.find) then return nil, os.time(); end
		local rows = archive:find((jid.split(room.jid)), { limit = 1, reverse = true, with = with });
		local key, stanza, at = (rows or function () end)();
		if key and stanza.attr.from == nick and os.time() - at <= 1 then return key, math.floor(at); end
		return nil, os.time();
	end

	local function made(event)
		event.room.archiver_session = nil;
		tell("room-created", event.room, os.time(), {});
	end

	local function joined(event)
		if is_nobody(event.occupant) then return; end
		local key, time = presence_row(event.room, event.nick, "presence");
		tell("room-join", event.room, time, person({ key = key }, "", event.room, event.occupant));
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
		if is_nobody(event.occupant) then return; end
		local key, time = presence_row(room, nick, "presence<unavailable");
		local record = person({ reason = why.reason, key = key }, "", room, event.occupant);
		room.archiver_people[nick] = nil;
		if why.codes["303"] and why.nick then
			record.new_nick, record.reason, record.key = why.nick, nil, nil;
			return tell("room-rename", room, time, record);
		end
		for code in pairs(REMOVED) do
			if why.codes[code] then
				record.key = nil; -- the archive has only that somebody went
				local by = type(why.actor) == "string" and room:get_occupant_by_real_jid(why.actor);
				if by then
					person(record, "by_", room, by);
				elseif type(why.actor) == "string" then
					record.by_jid = jid.bare(why.actor);
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

	-- Jitsi Meet's polls: told by its module, where that runs, else by messages to all in the room.

	local function opened(room, occupant, id, question, options, time)
		room.archiver_polls = room.archiver_polls or {};
		room.archiver_polls[id] = options;
		tell("room-poll", room, time, person({ poll = id, question = question, options = options }, "", room, occupant));
	end

	local function voted(room, occupant, id, chosen, time)
		local choice, options = array(), room.archiver_polls and room.archiver_polls[id] or {};
		for number, is_chosen in ipairs(chosen) do
			if is_chosen then choice[#choice + 1] = options[number] or number - 1; end
		end
		tell("room-vote", room, time, person({ poll = id, choice = choice }, "", room, occupant));
	end

	local function names_of(answers)
		local names = array();
		for number, answer in ipairs(type(answers) == "table" and answers or {}) do
			local name = type(answer) == "table" and answer.name or answer;
			names[number] = type(name) == "string" and name or "";
		end
		return names;
	end

	function told_as_poll(room, occupant, stanza, time)
		if prosody.hosts[host].modules.polls then return; end
		local given = stanza:get_child_text("json-message", JITSI);
		local ok, data = pcall(json.decode, given or "");
		if not ok or type(data) ~= "table" or type(data.pollId) ~= "string" or type(data.answers) ~= "table" then return; end
		if data.type == "new-poll" then
			opened(room, occupant, data.pollId, text(data.question), names_of(data.answers), time);
		elseif data.type == "answer-poll" then
			voted(room, occupant, data.pollId, data.answers, time);
		else
			return;
		end
		return not stanza:get_child("body"); -- nobody hides words behind a poll
	end

	local function poll_opened(event)
		local poll = event.poll;
		local occupant = event.room:get_occupant_by_nick(event.room.jid .. "/" .. tostring(poll.senderId));
		if occupant then
			opened(event.room, occupant, poll.pollId, text(poll.question), names_of(poll.answers), os.time());
		end
	end

	local function poll_answered(event)
		local occupant = event.room:get_occupant_by_nick(event.room.jid .. "/" .. tostring(event.voterId));
		local chosen = {};
		for number, answer in ipairs(event.answers) do
			chosen[number] = answer.value == true;
		end
		if occupant then voted(event.room, occupant, event.pollId, chosen, os.time()); end
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
		local record = { nick = jid.resource(stanza.attr.from), key = key };
		if occupant then
			if told_as_poll(room, occupant, stanza, time) then return; end
			person(record, "", room, occupant);
		end
		record.stanza = tostring(stanza);
		tell("room-message", room, time, record);
	end

	local function whispered(event)
		local room, stanza = event.room, event.stanza;
		local from, to = room:get_occupant_by_nick(stanza.attr.from), room:get_occupant_by_nick(stanza.attr.to);
		if not (from and to) or stanza.attr.type == "error" then return; end
		local passing, key, time = shared.passing, nil, nil;
		if passing and passing.to == stanza.attr.to and passing.id == stanza.attr.id and jid.bare(passing.from) == from.bare_jid then
			key, time = passing.key, passing.time;
		end
		local record = person({ key = key, stanza = tostring(stanza) }, "", room, from);
		tell("room-private", room, time or os.time(), person(record, "to_", room, to));
	end

	local function invited(event)
		local by = event.incoming and event.room:get_occupant_by_real_jid(event.incoming.attr.from);
		local invite = event.stanza:get_child("x", MUC_USER);
		invite = invite and invite:get_child("invite");
		local record = { to_jid = jid.bare(event.stanza.attr.to), reason = invite and invite:get_child_text("reason") };
		tell("room-invite", event.room, os.time(), by and person(record, "", event.room, by) or record);
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
	hook("poll-created", poll_opened, -10);
	hook("answer-poll", poll_answered, -10);
end

return rooms;
