
use builtin;
use str;

set edit:completion:arg-completer[redlock] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'redlock'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'redlock'= {
            cand --server 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file'
            cand --local 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR'
            cand --config 'Read this file of settings and no other'
            cand --key-format 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries'
            cand --node-timeout 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms'
            cand --password-file 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before'
            cand --user 'The user for the servers'' access control lists'
            cand --tls-ca 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]'
            cand --tls-cert 'Our certificate, in PEM; needs --tls-key'
            cand --tls-key 'The private key of --tls-cert, in PEM'
            cand --log-format 'How to print messages on stderr: text or json [default: text]'
            cand --any-quorum 'Accept one server, or an even number of them, although then one failure more stops everything'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Tell what is going on, also when nobody is at the terminal'
            cand --verbose 'Tell what is going on, also when nobody is at the terminal'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand run 'Run COMMAND while holding a lock'
            cand doctor 'Tell whether the servers are fit to be a quorum'
            cand completions 'Print the script that completes command lines in SHELL'
        }
        &'redlock;run'= {
            cand -r 'What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold several, all or none'
            cand --resource 'What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold several, all or none'
            cand -t 'How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not the command''s time limit: the lock is extended while it runs'
            cand --ttl 'How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not the command''s time limit: the lock is extended while it runs'
            cand -w 'Wait for the lock, for DUR or for ever [default: do not wait]. Without DUR it must be followed by another option or by --'
            cand --wait 'Wait for the lock, for DUR or for ever [default: do not wait]. Without DUR it must be followed by another option or by --'
            cand -E 'The exit code for: somebody else holds the lock, 0 to 255 [default: 75]'
            cand --conflict-exit-code 'The exit code for: somebody else holds the lock, 0 to 255 [default: 75]'
            cand --note 'Shown to whoever looks at the lock, as in --note ''deploying v42'''
            cand --restart-guard 'Whether servers that restarted within the restart window, and may have forgotten a lock, may grant one: auto (if all of them did), strict (never), off (always) [default: auto]. Checked, but without effect in this version'
            cand --restart-window 'The restart window, at least the longest TTL in use [default: 1m]; the TTL counts if it is longer. Checked, but without effect in this version'
            cand -k 'The time between the stop signal and SIGKILL, where redlock stops the command [default: 5s, at most a quarter of the TTL]'
            cand --kill-after 'The time between the stop signal and SIGKILL, where redlock stops the command [default: 5s, at most a quarter of the TTL]'
            cand -s 'That stop signal, by name or number [default: TERM]'
            cand --signal 'That stop signal, by name or number [default: TERM]'
            cand --on-lost 'What happens to the command when the lock cannot be kept: stop it before another can get the lock, or warn and let it run; both exit 76 [default: stop]'
            cand --server 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file'
            cand --local 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR'
            cand --config 'Read this file of settings and no other'
            cand --key-format 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries'
            cand --node-timeout 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms'
            cand --password-file 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before'
            cand --user 'The user for the servers'' access control lists'
            cand --tls-ca 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]'
            cand --tls-cert 'Our certificate, in PEM; needs --tls-key'
            cand --tls-key 'The private key of --tls-cert, in PEM'
            cand --log-format 'How to print messages on stderr: text or json [default: text]'
            cand --no-command 'Do not store the command''s file name with the lock; its arguments never are'
            cand --any-quorum 'Accept one server, or an even number of them, although then one failure more stops everything'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Tell what is going on, also when nobody is at the terminal'
            cand --verbose 'Tell what is going on, also when nobody is at the terminal'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'redlock;doctor'= {
            cand --server 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file'
            cand --local 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR'
            cand --config 'Read this file of settings and no other'
            cand --key-format 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries'
            cand --node-timeout 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms'
            cand --password-file 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before'
            cand --user 'The user for the servers'' access control lists'
            cand --tls-ca 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]'
            cand --tls-cert 'Our certificate, in PEM; needs --tls-key'
            cand --tls-key 'The private key of --tls-cert, in PEM'
            cand --log-format 'How to print messages on stderr: text or json [default: text]'
            cand --json 'Print JSON: what was learned of each server, and the findings'
            cand --any-quorum 'Accept one server, or an even number of them, although then one failure more stops everything'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Tell what is going on, also when nobody is at the terminal'
            cand --verbose 'Tell what is going on, also when nobody is at the terminal'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'redlock;completions'= {
            cand --server 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file'
            cand --local 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR'
            cand --config 'Read this file of settings and no other'
            cand --key-format 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries'
            cand --node-timeout 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms'
            cand --password-file 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before'
            cand --user 'The user for the servers'' access control lists'
            cand --tls-ca 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]'
            cand --tls-cert 'Our certificate, in PEM; needs --tls-key'
            cand --tls-key 'The private key of --tls-cert, in PEM'
            cand --log-format 'How to print messages on stderr: text or json [default: text]'
            cand --any-quorum 'Accept one server, or an even number of them, although then one failure more stops everything'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Tell what is going on, also when nobody is at the terminal'
            cand --verbose 'Tell what is going on, also when nobody is at the terminal'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
    ]
    $completions[$command]
}
