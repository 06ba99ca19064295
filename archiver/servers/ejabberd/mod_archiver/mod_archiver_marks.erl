%% Up to when this host was captured without a gap: in the file `marks`, in seconds. So a time without this module, or
%% one in which the queue took nothing, is known afterwards.
-module(mod_archiver_marks).

-export([open/2, gap/1, filled/1, lost/2, keep/1]).

%% `gap` is when what is missing begins, undefined if nothing is; `again` when what went missing since then.
-record(marks, {path, gap, again}).

%% `Days` is how far back to look where nothing is known of what was captured before.
open(Directory, Days) ->
    Path = filename:join(Directory, "marks"),
    Now = erlang:system_time(second),
    Since = case file:read_file(Path) of
                {ok, Text} -> known(string:trim(Text));
                {error, _} -> undefined
            end,
    keep(#marks{path = Path, gap = since(Since, Days, Now)}).

known(Text) ->
    try binary_to_integer(Text)
    catch error:badarg -> undefined
    end.

since(undefined, 0, _) -> undefined;
since(undefined, Days, Now) -> Now - Days * 86400;
since(Known, _, _) -> Known.

gap(#marks{gap = Gap}) -> Gap.

%% What was before is filled in.
filled(#marks{again = Again} = Marks) -> keep(Marks#marks{gap = Again, again = undefined}).

%% From `Time` on something may be missing: the mark stays there until it was filled.
lost(Time, #marks{gap = undefined} = Marks) -> keep(Marks#marks{gap = Time});
lost(Time, #marks{again = undefined} = Marks) -> Marks#marks{again = Time};
lost(_, Marks) -> Marks.

%% A mark that can't be written stays older than need be: more is read again, and nothing is missed.
keep(#marks{path = Path, gap = Gap} = Marks) ->
    Time = case Gap of undefined -> erlang:system_time(second); _ -> Gap end,
    New = Path ++ ".new",
    case file:write_file(New, [integer_to_binary(Time), $\n], [sync]) of
        ok -> _ = file:rename(New, Path);
        {error, _} -> ok
    end,
    Marks.
