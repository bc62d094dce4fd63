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
complete -c redlock -n "__fish_redlock_needs_command" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms' -r -f
complete -c redlock -n "__fish_redlock_needs_command" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_needs_command" -l user -d 'The user for the servers\' access control lists' -r -f
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
complete -c redlock -n "__fish_redlock_needs_command" -f -a "doctor" -d 'Tell whether the servers are fit to be a quorum'
complete -c redlock -n "__fish_redlock_needs_command" -f -a "completions" -d 'Print the script that completes command lines in SHELL'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s r -l resource -d 'What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold several, all or none' -r
complete -c redlock -n "__fish_redlock_using_subcommand run" -s t -l ttl -d 'How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not the command\'s time limit: the lock is extended while it runs' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s w -l wait -d 'Wait for the lock, for DUR or for ever [default: do not wait]. Without DUR it must be followed by another option or by --' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s E -l conflict-exit-code -d 'The exit code for: somebody else holds the lock, 0 to 255 [default: 75]' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l note -d 'Shown to whoever looks at the lock, as in --note \'deploying v42\'' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l restart-guard -d 'Whether servers that restarted within the restart window, and may have forgotten a lock, may grant one: auto (if all of them did), strict (never), off (always) [default: auto]. Checked, but without effect in this version' -r -f -a "auto\t''
strict\t''
off\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l restart-window -d 'The restart window, at least the longest TTL in use [default: 1m]; the TTL counts if it is longer. Checked, but without effect in this version' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s k -l kill-after -d 'The time between the stop signal and SIGKILL, where redlock stops the command [default: 5s, at most a quarter of the TTL]' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -s s -l signal -d 'That stop signal, by name or number [default: TERM]' -r -f -a "TERM\t''
INT\t''
HUP\t''
QUIT\t''
KILL\t''
USR1\t''
USR2\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l on-lost -d 'What happens to the command when the lock cannot be kept: stop it before another can get the lock, or warn and let it run; both exit 76 [default: stop]' -r -f -a "stop\t''
warn\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l user -d 'The user for the servers\' access control lists' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand run" -l tls-ca -d 'Certificate authorities, in PEM, for servers with rediss:// [default: the system\'s]' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l tls-cert -d 'Our certificate, in PEM; needs --tls-key' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l tls-key -d 'The private key of --tls-cert, in PEM' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand run" -l log-format -d 'How to print messages on stderr: text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c redlock -n "__fish_redlock_using_subcommand run" -l no-command -d 'Do not store the command\'s file name with the lock; its arguments never are'
complete -c redlock -n "__fish_redlock_using_subcommand run" -l any-quorum -d 'Accept one server, or an even number of them, although then one failure more stops everything'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s q -l quiet -d 'Print errors only'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s v -l verbose -d 'Tell what is going on, also when nobody is at the terminal'
complete -c redlock -n "__fish_redlock_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand doctor" -l user -d 'The user for the servers\' access control lists' -r -f
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
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l server -d 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l local -d 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR' -r -f -a "(__fish_complete_directories)"
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l config -d 'Read this file of settings and no other' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l key-format -d 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l node-timeout -d 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms' -r -f
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l password-file -d 'Read the servers\' password from FILE, which must not be accessible to others. A password in a server\'s URL goes before' -r -F
complete -c redlock -n "__fish_redlock_using_subcommand completions" -l user -d 'The user for the servers\' access control lists' -r -f
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
    $words[1] complete-names -- $words (commandline -ct) 2>/dev/null
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
