%% What was said while this module wasn't there, or its queue full: read from the server's own archive (mod_mam in SQL).
%%
%% A minute before is read again, for clocks that were set. What comes twice has the same id, and harms nothing. Who
%% came and went isn't in the archive.
-module(mod_archiver_gaps).

-export([start_link/2]).

-include("logger.hrl").
-include("xmpp.hrl").

-define(MARGIN, 60).
-define(PAGE, 200).
-define(PAUSE, 50). % ms between pages, so that nobody notices
-define(FULL, 1000). % until the daemon has taken some

%% A process that ends normally once all since `Since` (seconds) is in the queue.
start_link(Host, Since) -> proc_lib:spawn_link(fun() -> fill(Host, Since) end).

fill(Host, Since) ->
    case gen_mod:is_loaded(Host, mod_mam) andalso gen_mod:db_mod(Host, mod_mam) of
        mod_mam_sql ->
            From = Since - ?MARGIN,
            ?INFO_MSG("Reading the archive of ~ts from ~ts on, for what was not captured",
                      [Host, calendar:system_time_to_rfc3339(From, [{offset, "Z"}])]),
            Count = pages(Host, From * 1000000, erlang:system_time(microsecond), 0, 0),
            ?INFO_MSG("Read ~b rows of the archive of ~ts (~b records are waiting)",
                      [Count, Host, mod_archiver:waiting()]);
        _ -> exit("mod_mam doesn't keep it in SQL, so what this module misses is not filled in")
    end.

pages(Host, From, To, After, Count) ->
    {selected, _, Rows} = ejabberd_sql:sql_query(Host, query(Host, From, To, After)),
    Lines = [Line || Row <- Rows, Line <- line(Host, Row)],
    appended(Host, Lines),
    case length(Rows) of
        ?PAGE -> timer:sleep(?PAUSE), pages(Host, From, To, number(hd(lists:last(Rows))), Count + ?PAGE);
        Last -> Count + Last
    end.

query(Host, From, To, After) ->
    Of = case ejabberd_sql:use_new_schema() of
             true -> [<<" AND server_host = '">>, ejabberd_sql:escape(Host), $'];
             false -> []
         end,
    iolist_to_binary(io_lib:format(
        "SELECT id, username, timestamp, peer, xml, kind, nick FROM archive "
        "WHERE id > ~b AND timestamp >= ~b AND timestamp <= ~b~ts ORDER BY id LIMIT ~b", [After, From, To, Of, ?PAGE])).

%% Until the queue has them, by halves where it has no room for all.
appended(Host, Lines) ->
    case {mod_archiver:fill(Host, Lines), Lines} of
        {true, _} -> ok;
        {false, [_, _ | _]} ->
            {First, Second} = lists:split(length(Lines) div 2, Lines),
            appended(Host, First),
            appended(Host, Second);
        {false, _} -> timer:sleep(?FULL), appended(Host, Lines)
    end.

%% None for what can't be read: one row must not hold back all others.
line(Host, [_, Name, Time, Peer, Xml, Kind, Nick]) ->
    try record(Host, Name, number(Time), Peer, text(Xml, Name, Host, Peer), Kind, Nick) of
        passed -> [];
        Record -> [mod_archiver:line(Host, Record#{kind => archived, time => number(Time),
                                                   key => integer_to_binary(number(Time))})]
    catch Class:Why ->
        ?WARNING_MSG("A row of the archive of ~ts, of ~ts at ~p, can't be read: ~0p", [Host, Name, Time, {Class, Why}]),
        []
    end.

record(_Host, Room, _Time, Peer, Xml, <<"groupchat">>, Nick) ->
    #jid{lserver = Domain} = jid:decode(Room),
    #{host => Domain, room => Room, nick => Nick, jid => bare(Peer), stanza => Xml};
record(Host, User, _Time, Peer, Xml, _Kind, _Nick) ->
    Owner = <<User/binary, $@, Host/binary>>,
    Record = #{host => Host, owner => Owner, stanza => Xml},
    Other = jid:decode(Peer),
    case {mod_archiver_users:room(Other), Other#jid.lresource, bare(Peer)} of
        {true, <<>>, _} -> passed; % the room's own: an invitation
        {true, _, Room} -> Record#{room => Room};
        {false, _, Owner} -> own(Record, Other, Xml);
        {false, _, _} -> Record
    end.

%% What one sends to oneself is there twice: as sent, and as got, from a client.
own(Record, From, Xml) ->
    Sender = jid:decode(fxml:get_tag_attr_s(<<"from">>, fxml_stream:parse_element(Xml))),
    case jid:tolower(Sender) == jid:tolower(From) of
        true -> passed;
        false -> Record
    end.

%% mod_mam's `compress_xml` packs them in a form of its own.
text(<<1, _/binary>> = Packed, Name, Host, Peer) ->
    Owner = case binary:match(Name, <<"@">>) of nomatch -> <<Name/binary, $@, Host/binary>>; _ -> Name end,
    fxml:element_to_binary(xml_compress:decode(Packed, Owner, Peer));
text(Xml, _, _, _) -> Xml.

bare(Address) -> jid:encode(jid:remove_resource(jid:decode(Address))).

number(Value) when is_integer(Value) -> Value;
number(Value) -> binary_to_integer(Value).
