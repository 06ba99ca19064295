%% What the users of a host send, and what they get from where this module doesn't run: one record a message.
-module(mod_archiver_users).

-export([sent/3, came/2, says_something/1, key/1, time/1, room/1, text/1]).

-include("xmpp.hrl").

%% What alone is nothing that anybody said.
-define(SILENT, [<<"http://jabber.org/protocol/chatstates">>, <<"urn:xmpp:receipts">>, <<"urn:xmpp:chat-markers:0">>,
                 <<"urn:xmpp:hints">>, <<"urn:xmpp:sid:0">>, <<"urn:xmpp:mam:tmp">>]).

%% A room of ours tells of it itself, and needs to know only the id that it has in the sender's archive.
sent(Host, From, #message{to = To} = Message) ->
    Whole = xmpp:set_from(Message, From),
    case {says_something(Whole), room(To)} of
        {false, _} -> Message;
        {true, true} -> xmpp:put_meta(Message, archiver_key, key(Message));
        {true, false} -> tell(Host, From, Whole, key(Message)), Message
    end.

%% Marked, since what a connection that broke didn't take comes this way again.
came(Host, #message{from = From, to = To} = Message) ->
    case not (is_known(Message) orelse is_captured(From) orelse room(From)) andalso says_something(Message)
        andalso is_let_in(Host, Message) of
        true -> tell(Host, To, Message, coming_key(Message)), xmpp:put_meta(Message, archiver_told, true);
        false -> Message
    end.

%% Rooms of other servers are captured there.
is_known(#message{type = groupchat}) -> true;
is_known(#message{to = #jid{luser = <<>>}}) -> true;
is_known(#message{meta = Meta}) -> is_map_key(archiver_told, Meta) orelse is_map_key(from_offline, Meta).

%% What users of ours send is told there, also where ejabberd sends it for them by its interface for programs; carbons
%% and results of the archive come from users, too.
is_captured(#jid{luser = User, lserver = Host}) -> User =/= <<>> andalso gen_mod:is_loaded(Host, mod_archiver).

%% What its receiver's block list refuses reaches nobody, nor the archive.
is_let_in(Host, #message{to = To} = Message) ->
    allow == ejabberd_hooks:run_fold(privacy_check_packet, Host, allow, [To, Message, in]).

tell(Host, Owner, Message, Key) ->
    mod_archiver:tell(Host, #{kind => message, host => Host, time => time(Message), key => Key,
                              owner => jid:encode(jid:remove_resource(Owner)), stanza => text(Message)}).

%% The id by which the archive has it.
key(#message{meta = #{mam_archived := true, stanza_id := Id}}) -> integer_to_binary(Id);
key(_) -> undefined.

%% Its receiver's archive doesn't have it yet, but the id is made.
coming_key(#message{meta = #{stanza_id := Id}}) -> integer_to_binary(Id);
coming_key(_) -> undefined.

%% In microseconds: the archive's ids are its times.
time(#message{meta = #{stanza_id := Id}}) -> Id;
time(_) -> erlang:system_time(microsecond).

%% Is this the address of a room of this server, or of somebody in one?
room(#jid{lserver = Domain}) ->
    try ejabberd_router:host_of_route(Domain) of
        Host ->
            gen_mod:is_loaded(Host, mod_muc) andalso
                lists:member(Domain, gen_mod:get_module_opt_hosts(Host, mod_muc))
    catch error:_ -> false % of another server
    end;
room(undefined) -> false.

%% As its archive has it, so that the same is known to be the same: without the archive's own mark.
text(Message) -> fxml:element_to_binary(xmpp:encode(xmpp:remove_subtag(Message, #mam_archived{by = #jid{}}))).

says_something(#message{type = error}) -> false;
says_something(#message{type = headline, body = []}) -> false;
says_something(Message) ->
    #xmlel{children = Children} = xmpp:encode(Message),
    lists:any(fun(#xmlel{} = Each) -> not lists:member(fxml:get_tag_attr_s(<<"xmlns">>, Each), ?SILENT);
                 (_) -> false
              end, Children).
