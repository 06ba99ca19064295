%% Takes records from the queue to the daemon: one batch at a time, in order, each until it is acknowledged.
-module(mod_archiver_poster).

-export([start_link/2]).

-include("logger.hrl").

-define(PAUSE, 20). % so that what is said in one moment goes together
-define(HEARTBEAT, 15000). % so that the daemon knows that silence means silence
-define(PATIENCE, 120000). % for a reply
-define(LONGEST, 60000). % between two tries
-define(AGAIN, 600). % seconds between two lines of the log about the same trouble

%% `count` is how many records go at once, `trouble` what was logged last and when.
-record(posting, {queue, host, count, tries = 0, trouble}).

start_link(Queue, Host) ->
    proc_lib:spawn_link(fun() ->
        {ok, _} = application:ensure_all_started(ssl),
        go_on(#posting{queue = Queue, host = Host, count = option(batch, Host)})
    end).

option(Name, Host) -> gen_mod:get_module_opt(Host, mod_archiver, Name).

%% Posts whatever there is, then waits for more.
go_on(#posting{queue = Queue, count = Count} = Posting) ->
    case mod_archiver:next(Queue, Count) of
        none ->
            receive wake -> timer:sleep(?PAUSE), go_on(Posting)
            after ?HEARTBEAT -> post(<<>>, 0, none, Posting)
            end;
        {Lines, Number, Place} -> post(Lines, Number, Place, Posting)
    end.

post(Lines, Number, Place, #posting{host = Host} = Posting) ->
    case token(Host) of
        {ok, Token} -> replied(request(Lines, Number, Token, Host), Lines, Number, Place, Posting);
        {error, Why} -> fail("no token", Why, undefined, Posting)
    end.

token(Host) ->
    case {option(token_file, Host), option(token, Host)} of
        {<<>>, <<>>} -> {error, "set token_file"};
        {<<>>, Token} -> {ok, Token};
        {Path, _} ->
            case file:read_file(Path) of
                {ok, Text} -> {ok, string:trim(Text)};
                {error, Why} ->
                    {error, io_lib:format("~ts can't be read (~ts): set token_file to a file that ejabberd may read",
                                          [Path, file:format_error(Why)])}
            end
    end.

request(Lines, Number, Token, Host) ->
    Headers = [{"Authorization", ["Bearer ", Token]}, {"Content-Type", "application/x-ndjson"},
               {"User-Agent", mod_archiver:agent()},
               {"Archiver-Waiting", integer_to_list(max(0, mod_archiver:waiting() - Number))}],
    mod_archiver_http:post(binary_to_list(option(url, Host)), Headers, Lines, ?PATIENCE).

replied({ok, 200, _, _}, _Lines, Number, Place, #posting{queue = Queue} = Posting) ->
    Number > 0 andalso mod_archiver:taken(Queue, Number, Place),
    succeed(Posting);
replied({ok, 413, _, _}, _Lines, Number, _Place, Posting) when Number > 1 ->
    go_on(Posting#posting{count = max(1, Number div 2)});
replied({ok, 413, _, _}, Line, 1, Place, #posting{queue = Queue} = Posting) ->
    case mod_archiver:set_aside(Queue, Line, 1, Place) of
        {ok, Count} ->
            ?ERROR_MSG("A record is larger than the archiver takes: it is kept in refused.ndjson, with ~b in all",
                       [Count]),
            go_on(Posting);
        {error, Why} -> fail("413", ["it is too large, and can't be kept in refused.ndjson: ", Why], undefined, Posting)
    end;
replied({ok, Code, Headers, Text}, _Lines, _Number, _Place, Posting) ->
    Told = string:slice(unicode:characters_to_binary(Text, latin1), 0, 200),
    fail(io_lib:format("~b ~ts", [Code, Told]), advice(Code), maps:get(<<"retry-after">>, Headers, undefined), Posting);
replied({error, Why}, _Lines, _Number, _Place, Posting) ->
    Text = io_lib:format("~0tp", [Why]),
    fail(Text, advice(string:find(Text, "tls_alert")), undefined, Posting).

advice(401) -> "the daemon knows no such token";
advice(403) -> "the token's `sources` in the daemon's configuration lack a host of this server";
advice(Code) when is_integer(Code); Code == nomatch -> "is the daemon running, and is url right?";
advice(_) -> "its certificate must be by an authority that ejabberd trusts (ca_file), and for the name in url".

succeed(#posting{trouble = Trouble, host = Host} = Posting) ->
    Trouble =/= undefined andalso
        ?INFO_MSG("The archiver takes records again, ~b are waiting", [mod_archiver:waiting()]),
    go_on(Posting#posting{trouble = undefined, tries = 0, count = option(batch, Host)}).

fail(Why, Advice, Wish, #posting{tries = Tries} = Posting) ->
    Told = told(iolist_to_binary(io_lib:format("~ts", [Why])), Advice, Posting),
    timer:sleep(pause(wished(Wish), Tries)),
    go_on(Told#posting{tries = Tries + 1}).

told(Why, Advice, #posting{trouble = Trouble, host = Host} = Posting) ->
    Now = erlang:monotonic_time(second),
    case Trouble of
        {Why, Time} when Now - Time < ?AGAIN -> Posting;
        _ ->
            ?WARNING_MSG("The archiver at ~ts doesn't take records (~ts): ~ts. ~b are kept meanwhile",
                         [option(url, Host), Why, Advice, mod_archiver:waiting()]),
            Posting#posting{trouble = {Why, Now}}
    end.

%% Its own wish counts, within reason: nobody may silence this for a day.
pause(undefined, Tries) -> min(?LONGEST, 500 bsl min(Tries, 7));
pause(Seconds, _) -> max(500, min(Seconds, 3600) * 1000).

wished(undefined) -> undefined;
wished(Text) ->
    case string:to_integer(string:trim(Text)) of
        {Seconds, <<>>} when is_integer(Seconds), Seconds >= 0 -> Seconds;
        _ -> undefined % a date: our own pause does
    end.
