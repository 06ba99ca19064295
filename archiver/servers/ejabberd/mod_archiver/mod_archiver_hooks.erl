%% Which hooks of ejabberd this module is on, and what becomes of a fault in them. Knows no meaning.
%%
%% mod_mam archives a message, and says under which id, at 88 of `user_send_packet`, 50 of `sm_receive_packet` and 50 of
%% `muc_filter_message`, and takes that off again at 500 of the first: until then it is seen.
-module(mod_archiver_hooks).

-export([add/1, delete/1]).
-export([sent/1, came/1, said/3, entering/3, asked/2, invited/7, destroyed/3, proclaimed/1, announced/1]).

-include("xmpp.hrl").
-include("mod_muc_room.hrl").

hooks() ->
    [{user_send_packet, sent, 95}, {sm_receive_packet, came, 60}, {muc_filter_message, said, 99},
     {muc_filter_presence, entering, 99}, {muc_process_iq, asked, 10}, {muc_invite, invited, 99},
     {room_destroyed, destroyed, 50}, {multicast_route, proclaimed, 99}].

add(Host) ->
    ejabberd_hooks:add(filter_packet, ?MODULE, announced, 99),
    [ejabberd_hooks:add(Hook, Host, ?MODULE, Function, Priority) || {Hook, Function, Priority} <- hooks()],
    ok.

delete(Host) ->
    % The first is all hosts'.
    gen_mod:is_loaded_elsewhere(Host, mod_archiver) orelse
        ejabberd_hooks:delete(filter_packet, ?MODULE, announced, 99),
    [ejabberd_hooks:delete(Hook, Host, ?MODULE, Function, Priority) || {Hook, Function, Priority} <- hooks()],
    ok.

%% --- in the process of a user's connection

sent({#message{} = Message, #{jid := #jid{lserver = Host} = From} = Session}) ->
    {mod_archiver:safely(Host, Message, fun() -> mod_archiver_users:sent(Host, From, Message) end), Session};
sent(Other) -> Other.

%% --- wherever a message is handed to a user

came(#message{to = #jid{lserver = Host}} = Message) ->
    mod_archiver:safely(Host, Message, fun() -> mod_archiver_users:came(Host, Message) end);
came(Other) -> Other.

%% --- in the process of a room

said(#message{} = Message, #state{server_host = Host} = Room, Nick) ->
    unchanged(Host, Message, fun() -> mod_archiver_rooms:said(Message, Room, Nick) end);
said(Other, _Room, _Nick) -> Other.

entering(Presence, #state{server_host = Host} = Room, _Nick) ->
    unchanged(Host, Presence, fun() -> mod_archiver_rooms:look(Room) end).

asked(Iq, #state{server_host = Host} = Room) ->
    unchanged(Host, Iq, fun() -> mod_archiver_rooms:look(Room) end).

invited(Message, Room, _Config, By, To, Reason, _Packet) ->
    Host = ejabberd_router:host_of_route(Room#jid.lserver),
    unchanged(Host, Message, fun() -> mod_archiver_rooms:invited(By, To, Reason) end).

destroyed(Host, _Room, _RoomHost) ->
    unchanged(Host, ok, fun() -> mod_archiver_rooms:destroyed() end).

%% Sees what goes from a room, or anybody else, to many at once; what people say there was seen before.
proclaimed({#jid{lresource = <<>>}, _, _, #message{} = Message, _} = Packet) ->
    case mod_archiver_rooms:host() of
        undefined -> Packet;
        Host -> unchanged(Host, Packet, fun() -> mod_archiver_rooms:proclaimed(Message) end)
    end;
proclaimed(Packet) -> Packet.

%% Sees all that is sent on this server, so it must be quick: only what a room tells is looked at.
announced(#iq{} = Packet) -> Packet;
announced(Packet) ->
    case mod_archiver_rooms:host() of
        undefined -> Packet;
        Host -> unchanged(Host, Packet, fun() -> mod_archiver_rooms:announced(Packet) end)
    end.

unchanged(Host, Value, Fun) ->
    mod_archiver:safely(Host, ok, Fun),
    Value.
