%% A queue of lines in files that only grow: `0000000001.ndjson` and so on, and `position`, up to where they were taken.
%%
%% Lines are synced to the disk before `append` returns. Where that fails (a full disk), the file is cut back to what
%% was whole before, and nothing that it held is touched. Knows no processes: `mod_archiver` holds it.
-module(mod_archiver_queue).

-export([open/2, append/2, fill/2, has_room/1, next/2, taken/3, set_aside/4, waiting/1, close/1]).

-include("logger.hrl").

-define(CHUNK, 65536).
-define(BATCH, 1048576). % bytes handed out at once
-define(SEGMENT, 4194304).
-define(REST, 1000). % ms before a disk that failed is tried again

%% `segments` are those that are there, in order; the first is being read from `offset` on, the last written up to
%% `written`, by `file`. `bytes` and `waiting` are what is left to take.
-record(queue, {directory, most, number = 0, segments = [], offset = 0, file, written = 0, bytes = 0, waiting = 0,
                refused = 0, is_full = false, not_before = erlang:monotonic_time(millisecond)}).

%% Opens what an earlier process left. What it wrote last may be cut off: nothing is added behind it.
open(Directory, Most) ->
    case file:list_dir(Directory) of
        {ok, Names} -> begin_segment(found(#queue{directory = Directory, most = Most}, lists:sort(Names)));
        {error, Why} -> {error, reason(Why)}
    end.

found(#queue{directory = Directory} = Queue, Names) ->
    There = [list_to_integer(filename:basename(Name, ".ndjson")) || Name <- Names, is_segment(Name)],
    {Segment, Offset} = position(Directory),
    {Old, Left} = lists:splitwith(fun(Each) -> Each < Segment end, There),
    [file:delete(path(Each, Queue)) || Each <- Old],
    From = case Left of [Segment | _] -> Offset; _ -> 0 end,
    Sizes = [counted(path(Each, Queue), Start) || {Each, Start} <- lists:zip(Left, starts(From, length(Left)))],
    {Lines, Bytes} = lists:unzip(Sizes),
    {Aside, _} = counted(aside(Queue), 0),
    % Numbers go on from the highest that was ever known: what is below the position is taken for taken.
    Queue#queue{number = lists:max([Segment | There]), segments = Left, offset = From, bytes = lists:sum(Bytes),
                waiting = lists:sum(Lines), refused = Aside}.

is_segment(Name) -> re:run(Name, "^[0-9]{10}\\.ndjson$", [{capture, none}]) == match.

starts(_, 0) -> [];
starts(From, Count) -> [From | lists:duplicate(Count - 1, 0)].

position(Directory) ->
    case file:read_file(filename:join(Directory, "position")) of
        {ok, Text} ->
            case io_lib:fread("~d ~d", binary_to_list(Text)) of
                {ok, [Segment, Offset], _} -> {Segment, Offset};
                _ -> {0, 0}
            end;
        {error, _} -> {0, 0}
    end.

%% How many lines and bytes are in a file from `Start` on.
counted(Path, Start) ->
    case file:open(Path, [read, raw, binary]) of
        {ok, File} ->
            {ok, _} = file:position(File, Start),
            Counted = counted(File, 0, 0),
            _ = file:close(File),
            Counted;
        {error, _} -> {0, 0}
    end.

counted(File, Lines, Bytes) ->
    case file:read(File, ?CHUNK) of
        {ok, Data} -> counted(File, Lines + length(binary:matches(Data, <<"\n">>)), Bytes + byte_size(Data));
        _ -> {Lines, Bytes}
    end.

path(Segment, #queue{directory = Directory}) ->
    filename:join(Directory, io_lib:format("~10..0b.ndjson", [Segment])).

aside(#queue{directory = Directory}) -> filename:join(Directory, "refused.ndjson").

begin_segment(#queue{number = Before, segments = Segments} = Queue) ->
    close(Queue),
    Number = Before + 1,
    case file:open(path(Number, Queue), [append, raw, binary]) of
        {ok, File} -> {ok, Queue#queue{number = Number, segments = Segments ++ [Number], file = File, written = 0}};
        {error, Why} -> {error, reason(Why)}
    end.

%% Whole lines, each with its end: all of them, or none. One that is full takes nothing until a tenth of it is free
%% again, so that it isn't full and empty by turns.
append(Lines, #queue{bytes = Bytes, most = Most, not_before = Time} = Queue) ->
    Size = iolist_size(Lines),
    case {is_full(Queue), Bytes + Size > Most, Time > erlang:monotonic_time(millisecond)} of
        {false, false, false} -> written(Lines, Size, Queue);
        {false, false, true} -> {refused, "its disk failed just now", Queue};
        _ -> {refused, io_lib:format("it holds ~b KiB, as much as queue_size allows", [Bytes div 1024]),
              Queue#queue{is_full = true}}
    end.

is_full(#queue{is_full = IsFull} = Queue) -> IsFull andalso not has_room(Queue).

%% The same for what can wait: the last tenth isn't for that, and where it doesn't fit something smaller may.
fill(Lines, #queue{bytes = Bytes, not_before = Time} = Queue) ->
    Size = iolist_size(Lines),
    case has_room(Queue#queue{bytes = Bytes + Size}) andalso written(Lines, Size, Queue) of
        {ok, _} = Done -> Done;
        {refused, Why, Next} -> {refused, Why, Next#queue{not_before = Time}};
        false -> {refused, "there is no room", Queue}
    end.

has_room(#queue{bytes = Bytes, most = Most}) -> Bytes =< Most * 0.9.

written(Lines, Size, #queue{file = File, written = Written} = Queue) when File == undefined; Written >= ?SEGMENT ->
    case begin_segment(Queue) of
        {ok, Begun} -> synced(Lines, Size, Begun);
        {error, Why} -> {refused, Why, failed(Queue#queue{file = undefined})}
    end;
written(Lines, Size, Queue) -> synced(Lines, Size, Queue).

synced(Lines, Size, #queue{file = File, written = Written, bytes = Bytes, waiting = Waiting} = Queue) ->
    Done = case file:write(File, Lines) of
               ok -> file:datasync(File);
               Fault -> Fault
           end,
    case Done of
        ok -> {ok, Queue#queue{written = Written + Size, bytes = Bytes + Size, waiting = Waiting + length(Lines),
                               is_full = false}};
        {error, Why} -> {refused, reason(Why), failed(cut_back(Queue))}
    end.

failed(Queue) -> Queue#queue{not_before = erlang:monotonic_time(millisecond) + ?REST}.

%% Half a line may stand there. Where it can't be taken off again, nothing is added behind it. Where all was taken,
%% another segment is begun later, so that this one goes: its room may be what is lacking.
cut_back(#queue{segments = [_], offset = Written, written = Written} = Queue) when Written > 0 -> left(Queue);
cut_back(#queue{file = File, written = Written} = Queue) ->
    case file:position(File, Written) of
        {ok, Written} ->
            case file:truncate(File) of
                ok -> Queue;
                {error, _} -> left(Queue)
            end;
        _ -> left(Queue)
    end.

left(Queue) ->
    close(Queue),
    Queue#queue{file = undefined}.

%% The next lines as one text, how many they are, and where they end; `none` if there are none.
next(Count, #queue{segments = [Segment | Later], offset = Offset} = Queue) ->
    Read = case file:open(path(Segment, Queue), [read, raw, binary]) of
               {ok, File} ->
                   {ok, _} = file:position(File, Offset),
                   Lines = lines(File, Count, <<>>),
                   _ = file:close(File),
                   Lines;
               {error, _} -> {<<>>, 0}
           end,
    case {Read, Later} of
        {{<<>>, 0}, []} -> {none, Queue};
        {{<<>>, 0}, _} -> next(Count, passed(Queue));
        {{Text, Number}, _} -> {{Text, Number, {Segment, Offset + byte_size(Text)}}, Queue}
    end;
next(_, #queue{segments = []} = Queue) -> {none, Queue}.

%% As many whole lines as fit, but one at least, however long.
lines(File, Count, Before) ->
    case file:read(File, ?BATCH) of
        {ok, Data} ->
            Text = <<Before/binary, Data/binary>>,
            case ends(Text, Count) of
                [] -> lines(File, Count, Text);
                Ends -> {binary:part(Text, 0, lists:last(Ends) + 1), length(Ends)}
            end;
        _ -> {<<>>, 0}
    end.

ends(Text, Count) -> lists:sublist([At || {At, 1} <- binary:matches(Text, <<"\n">>)], Count).

%% On to the next segment. What is left of this one is what a failure cut off.
passed(#queue{segments = [Segment | Later], offset = Offset, bytes = Bytes} = Queue) ->
    Rest = filelib:file_size(path(Segment, Queue)) - Offset,
    Rest > 0 andalso
        ?WARNING_MSG("~b bytes at the end of ~ts are no whole record: they are passed over",
                     [Rest, path(Segment, Queue)]),
    _ = file:delete(path(Segment, Queue)),
    placed(Queue#queue{segments = Later, offset = 0, bytes = Bytes - max(0, Rest)}).

%% Up to there all is safe elsewhere. A place that can't be written down only means that some is sent again.
taken(Count, {Segment, End}, #queue{segments = [Segment | _], offset = Offset} = Queue) ->
    #queue{bytes = Bytes, waiting = Waiting} = Queue,
    placed(Queue#queue{offset = End, bytes = Bytes - (End - Offset), waiting = Waiting - Count}).

placed(#queue{directory = Directory, segments = [Segment | _], offset = Offset} = Queue) ->
    Path = filename:join(Directory, "position"),
    New = Path ++ ".new",
    case file:write_file(New, io_lib:format("~b ~b~n", [Segment, Offset])) of
        ok -> _ = file:rename(New, Path);
        {error, _} -> ok
    end,
    Queue.

%% Records that nobody will ever take: kept beside the queue, so that the others go on, once that is safe. Returns how
%% many lie there.
set_aside(Lines, Count, Place, #queue{refused = Refused} = Queue) ->
    case kept(aside(Queue), Lines) of
        ok -> {ok, Refused + Count, taken(Count, Place, Queue#queue{refused = Refused + Count})};
        {error, Why} -> {error, reason(Why)}
    end.

kept(Path, Lines) ->
    case file:open(Path, [append, raw, binary]) of
        {ok, File} ->
            Done = case file:write(File, Lines) of
                       ok -> file:datasync(File);
                       Fault -> Fault
                   end,
            _ = file:close(File),
            Done;
        Fault -> Fault
    end.

waiting(#queue{waiting = Waiting}) -> Waiting.

close(#queue{file = File}) when File =/= undefined -> file:close(File);
close(_) -> ok.

reason(Why) -> file:format_error(Why).
