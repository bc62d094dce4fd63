
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'redlock' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'redlock'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'redlock' {
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this file of settings and no other')
            [CompletionResult]::new('--key-format', '--key-format', [CompletionResultType]::ParameterName, 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries')
            [CompletionResult]::new('--node-timeout', '--node-timeout', [CompletionResultType]::ParameterName, 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'The user for the servers'' access control lists')
            [CompletionResult]::new('--tls-ca', '--tls-ca', [CompletionResultType]::ParameterName, 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Our certificate, in PEM; needs --tls-key')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'The private key of --tls-cert, in PEM')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How to print messages on stderr: text or json [default: text]')
            [CompletionResult]::new('--any-quorum', '--any-quorum', [CompletionResultType]::ParameterName, 'Accept one server, or an even number of them, although then one failure more stops everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Run COMMAND while holding a lock')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Tell whether the servers are fit to be a quorum')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the script that completes command lines in SHELL')
            break
        }
        'redlock;run' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold several, all or none')
            [CompletionResult]::new('--resource', '--resource', [CompletionResultType]::ParameterName, 'What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold several, all or none')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not the command''s time limit: the lock is extended while it runs')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not the command''s time limit: the lock is extended while it runs')
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Wait for the lock, for DUR or for ever [default: do not wait]. Without DUR it must be followed by another option or by --')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Wait for the lock, for DUR or for ever [default: do not wait]. Without DUR it must be followed by another option or by --')
            [CompletionResult]::new('-E', '-E ', [CompletionResultType]::ParameterName, 'The exit code for: somebody else holds the lock, 0 to 255 [default: 75]')
            [CompletionResult]::new('--conflict-exit-code', '--conflict-exit-code', [CompletionResultType]::ParameterName, 'The exit code for: somebody else holds the lock, 0 to 255 [default: 75]')
            [CompletionResult]::new('--note', '--note', [CompletionResultType]::ParameterName, 'Shown to whoever looks at the lock, as in --note ''deploying v42''')
            [CompletionResult]::new('--restart-guard', '--restart-guard', [CompletionResultType]::ParameterName, 'Whether servers that restarted within the restart window, and may have forgotten a lock, may grant one: auto (if all of them did), strict (never), off (always) [default: auto]. Checked, but without effect in this version')
            [CompletionResult]::new('--restart-window', '--restart-window', [CompletionResultType]::ParameterName, 'The restart window, at least the longest TTL in use [default: 1m]; the TTL counts if it is longer. Checked, but without effect in this version')
            [CompletionResult]::new('-k', '-k', [CompletionResultType]::ParameterName, 'The time between the stop signal and SIGKILL, where redlock stops the command [default: 5s, at most a quarter of the TTL]')
            [CompletionResult]::new('--kill-after', '--kill-after', [CompletionResultType]::ParameterName, 'The time between the stop signal and SIGKILL, where redlock stops the command [default: 5s, at most a quarter of the TTL]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'That stop signal, by name or number [default: TERM]')
            [CompletionResult]::new('--signal', '--signal', [CompletionResultType]::ParameterName, 'That stop signal, by name or number [default: TERM]')
            [CompletionResult]::new('--on-lost', '--on-lost', [CompletionResultType]::ParameterName, 'What happens to the command when the lock cannot be kept: stop it before another can get the lock, or warn and let it run; both exit 76 [default: stop]')
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this file of settings and no other')
            [CompletionResult]::new('--key-format', '--key-format', [CompletionResultType]::ParameterName, 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries')
            [CompletionResult]::new('--node-timeout', '--node-timeout', [CompletionResultType]::ParameterName, 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'The user for the servers'' access control lists')
            [CompletionResult]::new('--tls-ca', '--tls-ca', [CompletionResultType]::ParameterName, 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Our certificate, in PEM; needs --tls-key')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'The private key of --tls-cert, in PEM')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How to print messages on stderr: text or json [default: text]')
            [CompletionResult]::new('--no-command', '--no-command', [CompletionResultType]::ParameterName, 'Do not store the command''s file name with the lock; its arguments never are')
            [CompletionResult]::new('--any-quorum', '--any-quorum', [CompletionResultType]::ParameterName, 'Accept one server, or an even number of them, although then one failure more stops everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'redlock;doctor' {
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this file of settings and no other')
            [CompletionResult]::new('--key-format', '--key-format', [CompletionResultType]::ParameterName, 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries')
            [CompletionResult]::new('--node-timeout', '--node-timeout', [CompletionResultType]::ParameterName, 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'The user for the servers'' access control lists')
            [CompletionResult]::new('--tls-ca', '--tls-ca', [CompletionResultType]::ParameterName, 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Our certificate, in PEM; needs --tls-key')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'The private key of --tls-cert, in PEM')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How to print messages on stderr: text or json [default: text]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: what was learned of each server, and the findings')
            [CompletionResult]::new('--any-quorum', '--any-quorum', [CompletionResultType]::ParameterName, 'Accept one server, or an even number of them, although then one failure more stops everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'redlock;completions' {
            [CompletionResult]::new('--server', '--server', [CompletionResultType]::ParameterName, 'A server of the quorum; repeat it for each, three or five in all. redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the servers of REDLOCK_SERVERS and of the file')
            [CompletionResult]::new('--local', '--local', [CompletionResultType]::ParameterName, 'No server at all: lock among the processes of this host, in DIR. The default is $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users who shall exclude one another name one DIR')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Read this file of settings and no other')
            [CompletionResult]::new('--key-format', '--key-format', [CompletionResultType]::ParameterName, 'The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or redlock:{}, share locks with other Redlock libraries')
            [CompletionResult]::new('--node-timeout', '--node-timeout', [CompletionResultType]::ParameterName, 'How long a server may take to connect and answer [default: 80ms]. Doubles with each retry of unreachable servers, up to 320ms')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the servers'' password from FILE, which must not be accessible to others. A password in a server''s URL goes before')
            [CompletionResult]::new('--user', '--user', [CompletionResultType]::ParameterName, 'The user for the servers'' access control lists')
            [CompletionResult]::new('--tls-ca', '--tls-ca', [CompletionResultType]::ParameterName, 'Certificate authorities, in PEM, for servers with rediss:// [default: the system''s]')
            [CompletionResult]::new('--tls-cert', '--tls-cert', [CompletionResultType]::ParameterName, 'Our certificate, in PEM; needs --tls-key')
            [CompletionResult]::new('--tls-key', '--tls-key', [CompletionResultType]::ParameterName, 'The private key of --tls-cert, in PEM')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How to print messages on stderr: text or json [default: text]')
            [CompletionResult]::new('--any-quorum', '--any-quorum', [CompletionResultType]::ParameterName, 'Accept one server, or an even number of them, although then one failure more stops everything')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Tell what is going on, also when nobody is at the terminal')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
