%% What is said and what happens in a room: called in the room's process, whose dictionary holds what is known of it.
%%
%% No hook tells what became of somebody's wish to come, go or be called otherwise, nor who was kicked. But a room tells
%% each of its people of themselves (XEP-0045: status 110), once, and with their real address: that is what counts.
%% Hooks before that show how the room stood; its first record after this module came says who was there.
-module(mod_archiver_rooms).

-export([host/0, look/1, said/3, invited/3, destroyed/0, announced/1, proclaimed/1]).

-include("xmpp.hrl").
-include("mod_muc_room.hrl").

-define(SELF, 110).
-define(RENAMED, 303).
-define(REMOVED, [301, 307, 321, 322]).

%% `users` are the room's own (a client's lowered JID -> #user{}), kept up with what it tells; `epoch` is of the records
%% that were told last, `session` one life of the room.
-record(room, {host, jid, users, is_public, session, epoch, is_new, reason}).

%% The virtual host of the room in whose process this is; undefined elsewhere.
host() ->
    case get(?MODULE) of
        #room{host = Host} -> Host;
        undefined -> undefined
    end.

look(#state{server_host = Host, jid = Jid, users = Users, config = Config, just_created = Created}) ->
    Room = case get(?MODULE) of
               undefined -> #room{host = Host, jid = Jid, session = session(), is_new = Created == true};
               Known -> Known
           end,
    put(?MODULE, Room#room{users = Users, is_public = not Config#config.anonymous, is_new = false}),
    Room#room.is_new andalso tell(<<"room-created">>, now_(), #{}),
    ok.

session() -> string:lowercase(binary:encode_hex(crypto:strong_rand_bytes(16))).

said(#message{from = From} = Message, State, Nick) ->
    look(State),
    Shown = xmpp:set_from(Message, jid:replace_resource(State#state.jid, Nick)),
    mod_archiver_users:says_something(Shown) andalso
        tell(<<"room-message">>, mod_archiver_users:time(Message),
             #{nick => Nick, jid => bare(From), key => mod_archiver_users:key(Message),
               stanza => mod_archiver_users:text(Shown)}).

invited(By, To, Reason) ->
    get(?MODULE) =/= undefined andalso
        tell(<<"room-invite">>, now_(), #{nick => nick_of(By), jid => bare(By), to_jid => bare(To), reason => Reason}).

destroyed() ->
    case get(?MODULE) of
        undefined -> ok;
        #room{reason = Reason} -> tell(<<"room-destroyed">>, now_(), #{reason => Reason})
    end,
    erase(?MODULE).

%% --- what a room sends to its people

announced(#presence{from = #jid{lresource = Nick}, to = To} = Presence) when Nick =/= <<>> ->
    case xmpp:get_subtag(Presence, #muc_user{}) of
        #muc_user{} = About -> moved(Presence#presence.type, Nick, To, About, xmpp:get_text(Presence#presence.status));
        _ -> ok
    end;
announced(#message{type = Type, from = #jid{lresource = Nick}, to = To} = Message)
  when Nick =/= <<>>, Type =/= groupchat, Type =/= error ->
    whispered(Nick, To, Message);
announced(_) -> ok.

%% A room that isn't there any longer tells each of their end without saying that it is theirs.
moved(unavailable, Nick, To, #muc_user{destroy = #muc_destroy{reason = Reason}}, _Status) ->
    put(?MODULE, (get(?MODULE))#room{reason = Reason}),
    gone(Nick, To, <<"room-leave">>, #{reason => Reason});
moved(Type, Nick, To, #muc_user{status_codes = Codes, items = Items}, Status) ->
    Item = case Items of [First | _] -> First; [] -> #muc_item{} end,
    case lists:member(?SELF, Codes) andalso {Type, lists:member(?RENAMED, Codes), Codes -- (Codes -- ?REMOVED)} of
        false -> ok;
        {available, _, _} -> here(Nick, To);
        {unavailable, true, _} -> renamed(Nick, Item#muc_item.nick, To);
        {unavailable, false, []} -> gone(Nick, To, <<"room-leave">>, #{reason => either(Status, Item#muc_item.reason)});
        {unavailable, false, _} -> gone(Nick, To, <<"room-kick">>, maps:put(reason, Item#muc_item.reason, by(Item)));
        _ -> ok
    end.

%% Also told of who is there already, and whose other client is.
here(Nick, To) ->
    Before = users(),
    case maps:find(jid:tolower(To), Before) of
        {ok, #user{nick = Nick}} -> ok;
        _ ->
            place(To, Nick),
            sessions(Nick, Before) == [] andalso tell(<<"room-join">>, now_(), #{nick => Nick, jid => bare(To)})
    end.

renamed(Nick, New, To) ->
    place(To, New),
    tell(<<"room-rename">>, now_(), #{nick => Nick, new_nick => New, jid => bare(To)}).

%% Whoever isn't known to be there isn't told of: the next record says who is.
gone(Nick, To, Kind, Record) ->
    Before = users(),
    After = maps:remove(jid:tolower(To), Before),
    put(?MODULE, (get(?MODULE))#room{users = After}),
    map_size(After) < map_size(Before) andalso sessions(Nick, After) == [] andalso
        tell(Kind, now_(), Record#{nick => Nick, jid => bare(To)}).

by(#muc_item{actor = #muc_actor{nick = Nick}}) when Nick =/= <<>> ->
    case sessions(Nick, users()) of
        [First | _] -> #{by_nick => Nick, by_jid => bare(jid:make(First))};
        [] -> #{by_nick => Nick}
    end;
by(_) -> #{}.

%% XEP-0045, 7.5. Each client under the nick gets one: the first counts.
whispered(Nick, To, Message) ->
    ToNick = nick_of(To),
    IsFirst = ToNick == undefined orelse hd(sessions(ToNick, users())) == jid:tolower(To),
    case IsFirst andalso mod_archiver_users:says_something(Message) of
        false -> ok;
        true ->
            From = case sessions(Nick, users()) of [First | _] -> bare(jid:make(First)); [] -> undefined end,
            Shown = xmpp:set_to(Message, shown(ToNick, To)),
            Key = maps:get(archiver_key, Message#message.meta, undefined),
            tell(<<"room-private">>, time(Key), #{nick => Nick, jid => From, to_nick => ToNick, to_jid => bare(To),
                                               key => Key, stanza => mod_archiver_users:text(Shown)})
    end.

shown(undefined, To) -> jid:remove_resource(To);
shown(Nick, _To) -> jid:replace_resource((get(?MODULE))#room.jid, Nick).

%% What the room itself says, to all who are there.
proclaimed(#message{type = groupchat, body = [_ | _], subject = []} = Message) ->
    Shown = xmpp:set_from(Message, (get(?MODULE))#room.jid),
    tell(<<"room-message">>, now_(), #{stanza => mod_archiver_users:text(Shown)});
proclaimed(_) -> ok.

%% --- what is known of the room

users() -> (get(?MODULE))#room.users.

place(Jid, Nick) ->
    #room{users = Users} = Room = get(?MODULE),
    put(?MODULE, Room#room{users = Users#{jid:tolower(Jid) => #user{jid = Jid, nick = Nick}}}).

%% The clients under a nick, in some order that stays.
sessions(Nick, Users) -> lists:sort([Jid || {Jid, #user{nick = Each}} <- maps:to_list(Users), Each == Nick]).

nick_of(Jid) ->
    case maps:find(jid:tolower(Jid), users()) of
        {ok, #user{nick = Nick}} -> Nick;
        error -> undefined
    end.

bare(Jid) -> jid:encode(jid:remove_resource(jid:tolower(Jid))).

either(<<>>, Second) -> Second;
either(First, _) -> First.

%% The sender's archive has it under its time.
time(undefined) -> now_();
time(Key) -> binary_to_integer(Key).

now_() -> erlang:system_time(microsecond).

tell(Kind, Time, Record) ->
    #room{host = Host, jid = Jid, session = Session, is_public = IsPublic, epoch = Known, users = Users} = Room =
        get(?MODULE),
    Epoch = mod_archiver:epoch(Host),
    Placed = Record#{kind => Kind, time => Time, host => Jid#jid.lserver, room => bare(Jid), session => Session,
                     public => IsPublic},
    Whole = case Known of
                Epoch -> Placed;
                _ -> Placed#{occupants => occupants(Users)}
            end,
    mod_archiver:tell(Host, Whole) andalso put(?MODULE, Room#room{epoch = Epoch}),
    ok.

occupants(Users) ->
    People = [{Nick, bare(Jid)} || #user{jid = Jid, nick = Nick} <- maps:values(Users)],
    [#{nick => Nick, jid => Jid} || {Nick, Jid} <- lists:usort(People)].
