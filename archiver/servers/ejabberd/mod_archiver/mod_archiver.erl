%% Hands everything that is said on one virtual host of this ejabberd, and in its rooms, to the conversation archiver.
%%
%%   hooks (users, rooms) -> this process: queue on disk -> poster -> POST /records of the archiver's daemon
%%   the server's own archive -> gaps -> the same queue, after a time in which this module wasn't there
%%
%% A record is synced to the disk before ejabberd routes what it tells of; it leaves it once the daemon has it durable.
%% Nothing here ever stops a message: what goes wrong is logged, and filled in from the archive later.
%% The records are described in the archiver's docs/xmpp.md.
-module(mod_archiver).
-behaviour(gen_mod).
-behaviour(gen_server).

-export([start/2, stop/1, reload/3, depends/2, mod_options/1, mod_opt_type/1, mod_doc/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([tell/2, line/2, fill/2, safely/3, epoch/1, waiting/0, agent/0, next/2, taken/3, set_aside/4]).

-include("logger.hrl").

-define(VERSION, "1.0.0").
-define(PATIENCE, 5000). % for the disk; then the message goes on without us
-define(GROUP, 200). % calls that share one sync
-define(KEEP, 10000). % between two marks
-define(LOOK, 15000). % for a gap to be filled

-record(state, {host, directory, most, queue, marks, poster, is_idle = false, filler, fault, is_refusing = false,
                counters}).

%% --- as a module of ejabberd

start(Host, Options) -> gen_mod:start_child(?MODULE, Host, Options).

stop(Host) -> gen_mod:stop_child(?MODULE, Host).

%% Options are read where they are used, but for the queue's place and size: these need a restart.
reload(_Host, _New, _Old) -> ok.

depends(_Host, _Options) -> [{mod_mam, soft}, {mod_muc, soft}].

mod_opt_type(url) -> econf:binary();
mod_opt_type(token) -> econf:binary();
mod_opt_type(token_file) -> econf:binary();
mod_opt_type(queue) -> econf:binary();
mod_opt_type(queue_size) -> econf:number(0.001);
mod_opt_type(batch) -> econf:pos_int();
mod_opt_type(fill_days) -> econf:non_neg_int().

mod_options(_Host) ->
    [{url, <<"http://127.0.0.1:8028/records">>}, {token, <<>>}, {token_file, <<>>}, {queue, <<>>},
     {queue_size, 1024}, {batch, 200}, {fill_days, 0}].

mod_doc() -> #{desc => <<"Hands everything that is said to the conversation archiver.">>}.

%% --- for the hooks, in whichever process they run

%% Writes down what happened. `Record` has at least `kind`, `host` and `time` in microseconds; a member that is
%% undefined or empty is left out. Returns whether it is safe.
tell(Host, Record) -> called(Host, {append, [line(Host, Record)]}).

%% The same for what is read again: it waits until there is room, and leaves some for what is being said.
fill(_Host, []) -> true;
fill(Host, Lines) -> called(Host, {fill, Lines}).

called(Host, Call) -> gen_server:call(gen_mod:get_module_proc(Host, ?MODULE), Call, ?PATIENCE).

line(Host, #{time := Time} = Record) ->
    {Begun, _} = persistent_term:get({?MODULE, Host}),
    Number = erlang:unique_integer([positive, monotonic]),
    Known = maps:filter(fun(_, Value) -> Value =/= undefined andalso Value =/= <<>> end, Record),
    Whole = Known#{id => string:lowercase(binary:encode_hex(crypto:strong_rand_bytes(16))),
                   time => list_to_binary(calendar:system_time_to_rfc3339(Time, [{unit, microsecond}, {offset, "Z"}])),
                   sequence => iolist_to_binary(io_lib:format("~11..0b~12..0b", [Begun, Number]))},
    iolist_to_binary([jiffy:encode(Whole, [force_utf8]), $\n]).

%% Calls what a hook does so that a fault of ours ends in the log and not in the message's way: then `Otherwise`.
safely(Host, Otherwise, Fun) ->
    try Fun()
    catch
        % Being stopped or begun anew: that time is filled in.
        exit:{Reason, _} when Reason == noproc; Reason == normal; Reason == shutdown -> Otherwise;
        Class:Reason:Stack ->
            ?ERROR_MSG("Something on ~ts was not captured, please report this: ~ts",
                       [Host, misc:format_exception(2, Class, Reason, Stack)]),
            gen_server:cast(gen_mod:get_module_proc(Host, ?MODULE), {lost, erlang:system_time(second)}),
            Otherwise
    end.

%% Changes when nobody can know any longer who is in which room: each then tells it anew.
epoch(Host) ->
    {_, Counters} = persistent_term:get({?MODULE, Host}),
    {Counters, counters:get(Counters, 2)}.

%% How many records the queues of this server hold: a token may be that of several hosts.
waiting() ->
    lists:sum([counters:get(Counters, 1) || Host <- ejabberd_option:hosts(), gen_mod:is_loaded(Host, ?MODULE),
                                            {_, Counters} <- [persistent_term:get({?MODULE, Host}, undefined)]]).

agent() -> "mod_archiver/" ?VERSION " (ejabberd " ++ binary_to_list(ejabberd_option:version()) ++ ")".

%% --- for the poster

next(Server, Count) -> gen_server:call(Server, {next, Count}, infinity).
taken(Server, Count, Place) -> gen_server:call(Server, {taken, Count, Place}, infinity).
set_aside(Server, Line, Count, Place) -> gen_server:call(Server, {set_aside, Line, Count, Place}, infinity).

%% --- the process that has the queue

init([Host, Options]) ->
    process_flag(trap_exit, true),
    Directory = directory(Host, gen_mod:get_opt(queue, Options)),
    _ = filelib:ensure_dir(filename:join(Directory, "marks")),
    Counters = counters:new(2, []),
    persistent_term:put({?MODULE, Host}, {erlang:system_time(second), Counters}),
    Marks = mod_archiver_marks:open(Directory, gen_mod:get_opt(fill_days, Options)),
    Most = round(gen_mod:get_opt(queue_size, Options) * 1024 * 1024),
    State = opened(#state{host = Host, directory = Directory, most = Most, marks = Marks, counters = Counters}),
    _ = erlang:send_after(?KEEP, self(), keep),
    _ = erlang:send_after(1000, self(), look), % once all modules are there
    mod_archiver_hooks:add(Host),
    ?INFO_MSG("Everything said on ~ts and in its rooms is handed to the archiver", [Host]),
    {ok, begin_posting(State)}.

directory(Host, <<>>) -> filename:join([mnesia:system_info(directory), "archiver", binary_to_list(Host)]);
directory(Host, Queue) -> filename:join(unicode:characters_to_list(Queue), binary_to_list(Host)).

%% A folder that can't be used now may be mended later: until then everything is refused, and filled in afterwards.
opened(#state{queue = undefined, directory = Directory, most = Most} = State) ->
    case mod_archiver_queue:open(Directory, Most) of
        {ok, Queue} -> counted(State#state{queue = Queue});
        {error, Why} -> refused(State, Why)
    end;
opened(State) -> State.

begin_posting(#state{host = Host} = State) ->
    State#state{poster = mod_archiver_poster:start_link(self(), Host), is_idle = false}.

handle_call({append, Lines}, From, State) ->
    Calls = [{From, Lines} | others(?GROUP)],
    {IsSafe, Next} = appended([Line || {_, Those} <- Calls, Line <- Those], opened(State)),
    lists:foreach(fun({Each, _}) -> gen_server:reply(Each, IsSafe) end, Calls),
    {noreply, Next};
handle_call({fill, Lines}, _From, #state{queue = Queue} = State) when Queue =/= undefined ->
    case mod_archiver_queue:fill(Lines, Queue) of
        {ok, Next} -> {reply, true, woken(counted(State#state{queue = Next}))};
        {refused, _, Next} -> {reply, false, woken(State#state{queue = Next})}
    end;
handle_call({fill, _}, _From, State) ->
    {reply, false, State};
handle_call({next, Count}, _From, #state{queue = undefined} = State) when is_integer(Count) ->
    {reply, none, State#state{is_idle = true}};
handle_call({next, Count}, _From, #state{queue = Queue} = State) ->
    {Reply, Next} = mod_archiver_queue:next(Count, Queue),
    {reply, Reply, State#state{queue = Next, is_idle = Reply =:= none}};
handle_call({taken, Count, Place}, _From, #state{queue = Queue} = State) ->
    {reply, ok, counted(State#state{queue = mod_archiver_queue:taken(Count, Place, Queue)})};
handle_call({set_aside, Line, Count, Place}, _From, #state{queue = Queue} = State) ->
    case mod_archiver_queue:set_aside(Line, Count, Place, Queue) of
        {ok, Number, Next} -> {reply, {ok, Number}, counted(State#state{queue = Next})};
        {error, Why} -> {reply, {error, Why}, State}
    end.

%% What else waits to be written: one sync serves all, so that a busy server isn't as slow as its disk.
others(0) -> [];
others(Left) ->
    receive {'$gen_call', From, {append, Lines}} -> [{From, Lines} | others(Left - 1)]
    after 0 -> []
    end.

appended(_, #state{queue = undefined} = State) -> {false, State};
appended(Lines, #state{queue = Queue} = State) ->
    case mod_archiver_queue:append(Lines, Queue) of
        {ok, Next} -> {true, woken(counted(State#state{queue = Next, is_refusing = false}))};
        {refused, Why, Next} -> {false, woken(refused(State#state{queue = Next}, Why))}
    end.

%% Each time it is noted: an archive that is being read already isn't read up to now.
refused(#state{is_refusing = true, marks = Marks} = State, _) ->
    State#state{marks = mod_archiver_marks:lost(erlang:system_time(second), Marks)};
refused(#state{host = Host, directory = Directory, marks = Marks, counters = Counters} = State, Why) ->
    ?ERROR_MSG("The archiver's queue for ~ts in ~ts takes no more: ~ts. What is said meanwhile is filled in from the "
               "server's archive later, who comes and goes is lost", [Host, Directory, Why]),
    counters:add(Counters, 2, 1),
    State#state{is_refusing = true, marks = mod_archiver_marks:lost(erlang:system_time(second), Marks)}.

counted(#state{queue = Queue, counters = Counters} = State) ->
    counters:put(Counters, 1, mod_archiver_queue:waiting(Queue)),
    State.

%% Also where nothing could be added: a segment that was taken whole goes as soon as another is begun.
woken(#state{is_idle = true, poster = Poster} = State) when is_pid(Poster) ->
    Poster ! wake,
    State#state{is_idle = false};
woken(State) -> State.

handle_cast({lost, Time}, #state{marks = Marks, counters = Counters} = State) ->
    counters:add(Counters, 2, 1),
    {noreply, State#state{marks = mod_archiver_marks:lost(Time, Marks)}}.

handle_info(keep, State) ->
    _ = erlang:send_after(?KEEP, self(), keep),
    #state{marks = Marks} = Opened = opened(State),
    {noreply, Opened#state{marks = mod_archiver_marks:keep(Marks)}};
handle_info(look, State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, filling(State)};
handle_info(begin_posting, State) ->
    {noreply, begin_posting(State)};
handle_info({'EXIT', Poster, Reason}, #state{poster = Poster} = State) ->
    ?ERROR_MSG("Posting to the archiver failed, and is begun anew; please report this: ~p", [Reason]),
    _ = erlang:send_after(1000, self(), begin_posting),
    {noreply, State#state{poster = undefined}};
handle_info({'EXIT', Filler, normal}, #state{filler = Filler, marks = Marks} = State) ->
    {noreply, State#state{filler = undefined, fault = undefined, marks = mod_archiver_marks:filled(Marks)}};
handle_info({'EXIT', Filler, Reason}, #state{filler = Filler, host = Host, fault = Known} = State) ->
    Reason =/= Known andalso
        ?WARNING_MSG("The archive of ~ts could not be read to the end, trying again: ~p", [Host, Reason]),
    {noreply, State#state{filler = undefined, fault = Reason}};
handle_info(_, State) -> % a reply that came too late
    {noreply, State}.

filling(#state{filler = undefined, queue = Queue, marks = Marks, host = Host} = State) when Queue =/= undefined ->
    case {mod_archiver_marks:gap(Marks), mod_archiver_queue:has_room(Queue)} of
        {Since, true} when is_integer(Since) -> State#state{filler = mod_archiver_gaps:start_link(Host, Since)};
        _ -> State
    end;
filling(State) -> State.

terminate(_Reason, #state{host = Host, queue = Queue, marks = Marks}) ->
    mod_archiver_hooks:delete(Host),
    _ = mod_archiver_marks:keep(Marks),
    mod_archiver_queue:close(Queue).
