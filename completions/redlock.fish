# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_redlock_global_optspecs
    string join \n server= local= config= any-quorum key-format= node-timeout= password-file= user= tls-ca= tls-cert= tls-key= q/quiet v/verbose log-format= h/help V/version
end

function __fish_redlock_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_redlock_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_redlock_using_subcommand
    set -l cmd (__fish_redlock_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c redlock -n "__fish_redlock_needs_command" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_needs_command" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_needs_command" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_needs_command" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_needs_command" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_needs_command" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_needs_command" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_needs_command" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_needs_command" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_needs_command" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_needs_command" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_needs_command" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_needs_command" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_needs_command" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_needs_command" -s V -l version -d 'Print version'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "run" -d 'Run COMMAND while holding a lock'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "acquire" -d 'Take a lock by hand, and print its token'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "extend" -d 'Prolong a lock that was taken by hand'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "release" -d 'Give a lock back, or take it from its holder'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "inspect" -d 'Show who holds a lock, server by server'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "list" -d 'List every lock on the servers'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "history" -d 'Show the last runs of a resource: where, when, how long, how they ended'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "doctor" -d 'Tell whether the servers are fit to be a quorum'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "config" -d 'Show the merged settings and where each comes from, or check a file of settings'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "completions" -d 'Print the script that completes command lines in SHELL'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s r -l resource -d 'What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold several, all or none. {date}, {hour} and {minute} in it are replaced by the local time, {date:utc} and so on by UTC, {host} and {user} by ours; {{ is a brace' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s t -l ttl -d 'How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not the command\'s time limit: the lock is extended while it runs' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s w -l wait -d 'Wait for the lock, for DUR or, without DUR or with \'forever\', for ever, which only an outage of a minute ends [default: do not wait]. Without DUR it must be followed by another option or by --' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s E -l conflict-exit-code -d 'The exit code for: somebody else holds the lock, 0 to 255 [default: 75]' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l min-hold -d 'Keep the lock at least so long after it was acquired, even if the command is quicker, so that hosts whose clocks differ do not both run it [default: 0]. Never sleeps: the lock is left to expire' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l once-per -d 'If the command exits 0, nobody runs it again until DUR after the lock was acquired, less a tenth of DUR (at most 30s). If it fails, the next one may try again' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l note -d 'Shown to whoever looks at the lock, as in --note \'deploying v42\'' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l restart-guard -d 'Whether servers that restarted within the restart window, and may have forgotten a lock, may grant one: auto (if all of them did), strict (never), off (always) [default: auto]' -r -f -a "auto\t''
strict\t''
off\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l restart-window -d 'The restart window, at least the longest TTL in use [default: 1m]; the TTL counts if it is longer' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l max-runtime -d 'Stop the command when it has run for DUR, and exit 124; the lock is kept until it is dead [default: no limit]' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s k -l kill-after -d 'The time between the stop signal and SIGKILL, where redlock stops the command; and for how long the lock is kept for what still cleans up when TERM or HUP to redlock has killed the command itself [default: 5s, at most a quarter of the TTL]' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s s -l signal -d 'That stop signal, by name or number [default: TERM]' -r -f -a "TERM\t''
INT\t''
HUP\t''
QUIT\t''
KILL\t''
USR1\t''
USR2\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l on-lost -d 'What happens to the command when the lock cannot be kept: stop it before another can get the lock, or warn and let it run; both exit 76 [default: stop]' -r -f -a "stop\t''
warn\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l status-file -d 'Write one JSON object on how it ended to FILE, whatever the outcome, by rename' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l metrics-file -d 'Write gauges of the run to FILE, by rename, for the textfile collector of Prometheus\' node_exporter' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l no-command -d 'Do not store the command\'s file name with the lock; its arguments never are'
complete -c redlock -n "__fish_redlock_using_subcommand run" -l no-history -d 'Do not record the run with the lock; see redlock history'
complete -c redlock -n "__fish_redlock_using_subcommand run" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -s r -l resource -d 'The lock\'s name, as in redlock run; one' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -s t -l ttl -d 'For how long the lock is taken, 500ms to 24h [default: 30s]. It is gone then, unless it is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -s w -l wait -d 'Wait for the lock, for DUR or for ever [default: do not wait]. A signal while waiting leaves nothing behind' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l note -d 'Shown to whoever looks at the lock, as in --note \'deploying v42\'' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l restart-guard -d 'Whether servers that restarted may grant, as in redlock run' -r -f -a "auto\t''
strict\t''
off\t''"
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l restart-window -d 'The restart window, as in redlock run' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l json -d 'Print an object instead: resource, token, fencing_token, ttl_ms, valid_ms, nodes'
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand acquire" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand extend" -s r -l resource -d 'The lock\'s name, as in redlock run; one' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l token -d 'The proof of ownership: the token that acquire has printed. What is typed here can be seen by every user of this host in the list of processes; --token - reads it from standard input, and without --token it is taken from $REDLOCK_TOKEN' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -s t -l ttl -d 'For how long from now the lock stays taken at least, 500ms to 24h [default: 30s]' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand extend" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand extend" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand extend" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand extend" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand release" -s r -l resource -d 'The lock\'s name, as in redlock run; one' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand release" -l token -d 'The proof of ownership: the token that acquire has printed, or the whole value of another program\'s lock. What is typed here can be seen by every user of this host in the list of processes; --token - reads it from standard input, and without --token it is taken from $REDLOCK_TOKEN' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand release" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand release" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand release" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand release" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand release" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand release" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand release" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand release" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand release" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand release" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand release" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand release" -l force -d 'Take the lock from its holder, after asking at the terminal. Also removes what --min-hold and --once-per keep of a run that is over'
complete -c redlock -n "__fish_redlock_using_subcommand release" -l yes -d 'Do not ask; needed where there is no terminal to ask at'
complete -c redlock -n "__fish_redlock_using_subcommand release" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand release" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand release" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand release" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l json -d 'Print an array of objects instead'
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l watch -d 'Look again every second, until q or Ctrl-C is pressed; needs a terminal'
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand list" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand list" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand list" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand list" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand list" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand list" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand list" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand list" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand list" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand list" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand list" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand list" -l json -d 'Print an array of objects instead'
complete -c redlock -n "__fish_redlock_using_subcommand list" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand list" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand list" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand history" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand history" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand history" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand history" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand history" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand history" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand history" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand history" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand history" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand history" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand history" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand history" -l json -d 'Print an array of JSON objects'
complete -c redlock -n "__fish_redlock_using_subcommand history" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand history" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand history" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l json -d 'Print JSON: what was learned of each server, and the findings'
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand config" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand config" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand config" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand config" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand config" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand config" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand config" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand config" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand config" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand config" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand config" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand config" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand config" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand config" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock that is held is extended' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l user -d 'The user for the servers\' access control lists. A password in a server\'s URL comes with the user of the URL, or with none' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand completions" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand completions" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'

# The names of locks that exist.
function __redlock_names
    set -l words (commandline -opc)
    # A quote that is not closed yet cannot be taken away.
    set -l word (string unescape -- (commandline -ct); or commandline -ct)
    $words[1] complete-names -- $words "$word" 2>/dev/null
end

# What follows -- is a command line of its own.
function __redlock_command
    set -l words (commandline -opc)
    set -l place (contains -i -- -- $words)
    or return
    set -e words[1..$place]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end
complete -c redlock -n 'contains -- -- (commandline -opc)' -x -a '(__redlock_command)'
complete -c redlock -n '__fish_seen_subcommand_from run' -s r -l resource -x -a '(__redlock_names)'
complete -c redlock -n '__fish_seen_subcommand_from acquire' -s r -l resource -x -a '(__redlock_names)'
complete -c redlock -n '__fish_seen_subcommand_from extend' -s r -l resource -x -a '(__redlock_names)'
complete -c redlock -n '__fish_seen_subcommand_from release' -s r -l resource -x -a '(__redlock_names)'
complete -c redlock -n '__fish_seen_subcommand_from inspect' -f -a '(__redlock_names)'
complete -c redlock -n '__fish_seen_subcommand_from history' -f -a '(__redlock_names)'
complete -c redlock -n '__fish_seen_subcommand_from completions' -f -a 'bash elvish fish powershell zsh'
