%% One POST over HTTP/1.1 (RFC 9112), with TLS where the address says so. Not by OTP's own client: that sends again by
%% itself what was answered by 503 and Retry-After, and tells nobody.
-module(mod_archiver_http).

-export([post/4]).

-define(CONNECT, 10000).
-define(MOST, 1000). % bytes of a refusal's text
-define(NAMES, {2, 5, 29, 17}). % subjectAltName: RFC 5280, 4.2.1.6

%% The answer's status, its headers by their lowered names, and the beginning of its text unless it is 200.
-spec post(string(), [{string(), iodata()}], iodata(), timeout()) ->
    {ok, pos_integer(), #{binary() => binary()}, binary()} | {error, term()}.
post(Url, Headers, Body, Patience) ->
    case uri_string:parse(Url) of
        #{scheme := Scheme, host := Host} = Parts when Scheme == "http"; Scheme == "https" ->
            Transport = case Scheme of "http" -> gen_tcp; "https" -> ssl end,
            Request = [request(Parts, [{"Content-Length", integer_to_list(iolist_size(Body))} | Headers]), Body],
            connected(Transport, connect(Transport, Host, port(Parts)), Request, Patience);
        _ -> {error, "it isn't an address that begins with http:// or https://"}
    end.

request(#{host := Host} = Parts, Headers) ->
    Target = [maps:get(path, Parts, ""), case Parts of #{query := Query} -> ["?", Query]; _ -> "" end],
    Place = case Parts of #{port := Port} -> [Host, $:, integer_to_list(Port)]; _ -> Host end,
    Lines = [[Name, ": ", Value, "\r\n"] || {Name, Value} <- [{"Host", Place}, {"Connection", "close"} | Headers]],
    ["POST ", case iolist_size(Target) of 0 -> "/"; _ -> Target end, " HTTP/1.1\r\n", Lines, "\r\n"].

port(#{port := Port}) when is_integer(Port) -> Port;
port(#{scheme := "http"}) -> 80;
port(_) -> 443.

connect(Transport, Host, Port) ->
    Options = [binary, {active, false}, {packet, http_bin}, {send_timeout, ?CONNECT}],
    case {Transport, inet:parse_strict_address(Host)} of
        {gen_tcp, {ok, Number}} -> gen_tcp:connect(Number, Port, family(Number) ++ Options, ?CONNECT);
        {gen_tcp, _} -> gen_tcp:connect(Host, Port, Options, ?CONNECT);
        {ssl, {ok, Number}} ->
            ssl:connect(Number, Port, trusted({ip, Number}) ++ family(Number) ++ Options, ?CONNECT);
        {ssl, _} ->
            ssl:connect(Host, Port, trusted({dns_id, Host}) ++ Options, ?CONNECT)
    end.

family(Number) when tuple_size(Number) == 8 -> [inet6];
family(_) -> [].

%% By an authority that ejabberd itself trusts, and for the name or number in the address (RFC 9110, 4.3.4). OTP checks
%% no numbers by itself, nor knows a certificate whose names are marked as critical.
trusted(Identity) ->
    [{verify, verify_peer}, {cacertfile, ejabberd_option:ca_file()}, {depth, 10},
     {verify_fun, {fun is_trusted/3, Identity}}].

%% The header of that record isn't where ejabberd runs, only where Erlang is developed.
is_trusted(_, {bad_cert, _} = Why, _) -> {fail, Why};
is_trusted(_, {extension, {'Extension', ?NAMES, _, _}}, Identity) -> {valid, Identity};
is_trusted(_, {extension, _}, Identity) -> {unknown, Identity};
is_trusted(_, valid, Identity) -> {valid, Identity};
is_trusted(Certificate, valid_peer, Identity) ->
    Matching = public_key:pkix_verify_hostname_match_fun(https),
    case public_key:pkix_verify_hostname(Certificate, [Identity], [{match_fun, Matching}]) of
        true -> {valid, Identity};
        false -> {fail, {bad_cert, hostname_check_failed}}
    end.

connected(Transport, {ok, Socket}, Request, Patience) ->
    try
        ok = Transport:send(Socket, Request),
        answered(Transport, Socket, Patience)
    catch error:{badmatch, Fault} -> Fault % closed, or too slow
    after
        Transport:close(Socket)
    end;
connected(_, Fault, _, _) -> Fault.

answered(Transport, Socket, Patience) ->
    {ok, {http_response, _, Code, _}} = Transport:recv(Socket, 0, Patience),
    Headers = headers(Transport, Socket, Patience, #{}),
    case Code of
        200 -> {ok, Code, Headers, <<>>};
        _ when Code < 200 -> answered(Transport, Socket, Patience);
        _ -> {ok, Code, Headers, text(Transport, Socket, Headers, Patience)}
    end.

headers(Transport, Socket, Patience, Known) ->
    case Transport:recv(Socket, 0, Patience) of
        {ok, http_eoh} -> Known;
        {ok, {http_header, _, Name, _, Value}} ->
            headers(Transport, Socket, Patience, Known#{string:lowercase(name(Name)) => Value});
        Fault -> error({badmatch, Fault})
    end.

name(Name) when is_atom(Name) -> atom_to_binary(Name);
name(Name) -> Name.

text(Transport, Socket, #{<<"content-length">> := Length}, Patience) ->
    Module = case Transport of gen_tcp -> inet; ssl -> ssl end,
    ok = Module:setopts(Socket, [{packet, raw}]),
    case string:to_integer(Length) of
        {Size, <<>>} when Size > 0 ->
            {ok, Text} = Transport:recv(Socket, min(Size, ?MOST), Patience),
            Text;
        _ -> <<>>
    end;
text(_, _, _, _) -> <<>>.
