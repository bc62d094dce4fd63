//! The completion scripts in the shells they are for: they load without a word, and complete
//! commands, values, and the names of locks that exist.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A directory with the locks `deploy:shop` and `odd {one}`, held as long as this value lives.
struct Held {
    directory: TempDir,
    holder: Child,
}

impl Held {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut holder = Command::new(env!("CARGO_BIN_EXE_redlock"))
            .args(["run", "-r", "deploy:shop", "-r", "odd {{one}"])
            .args(["sh", "-c", "echo ready; read _"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
            .env("REDLOCK_CONFIG", "/dev/null")
            .env("REDLOCK_LOCAL", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says something");
        assert_eq!(line, "ready\n");
        Self { directory, holder }
    }

    /// What `shell` prints when it runs `script`, in which `redlock` is ours.
    fn ask(&self, shell: &[&str], script: &str) -> String {
        let binary = Path::new(env!("CARGO_BIN_EXE_redlock"));
        let path = std::env::var("PATH").expect("there is a PATH");
        let beside = binary.parent().expect("a directory").display();
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(script)
            .env_clear()
            .env("PATH", format!("{beside}:{path}"))
            .env("HOME", self.directory.path())
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8")
            .env("REDLOCK_CONFIG", "/dev/null")
            .env("REDLOCK_LOCAL", self.directory.path())
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}; see tests/run", shell[0]));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&output.stderr), "", "{shell:?} {script}");
        text(&output.stdout)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // End of file ends the job.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// In bash a completion is a function that finds the line in variables. `with` is loaded first.
fn in_bash(held: &Held, with: &str, line: &str) -> String {
    let script = format!(
        r#"{with}
        source completions/redlock
        # Only a real tab key has options to change.
        compopt() {{ options=$*; }}
        COMP_LINE='{line}' COMP_POINT={length}
        # As bash does: colons and equal signs are words.
        read -ra COMP_WORDS <<<"$(sed 's/[:=]/ & /g' <<<"$COMP_LINE")"
        [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _redlock_all redlock "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}" | sort -u
        [[ -n ${{COMPREPLY[*]}} ]] || echo "$options""#,
        length = line.len()
    );
    held.ask(&["bash", "--norc", "--noprofile", "-c"], &script)
}

#[test]
fn bash_completes_commands_values_and_names() {
    let held = Held::new();
    let extended = "source /usr/share/bash-completion/bash_completion";
    for with in ["", extended] {
        let complete = |line: &str| in_bash(&held, with, line);
        assert_eq!(complete("redlock doc"), "doctor\n");
        assert_eq!(complete("redlock run --on-lost "), "stop\nwarn\n");
        assert_eq!(complete("redlock doctor --js"), "--json\n");
        assert_eq!(complete("redlock run -r dep"), "deploy:shop\n");
        assert_eq!(complete("redlock run --resource=dep"), "deploy:shop\n");
        // Bash has taken what is before the colon for a word, and would repeat it.
        assert_eq!(complete("redlock run -r deploy:s"), "shop\n");
        // A brace that is not doubled would begin a template, and so another name.
        assert_eq!(complete("redlock run -r od"), "odd\\ \\{\\{one\\}\n");
        // Nor is a file taken for a lock.
        let nothing = "\n+o bashdefault +o default\n";
        assert_eq!(complete("redlock run -r nothing"), nothing);
        let nowhere = complete("redlock --local=/proc/nowhere run -r dep");
        assert_eq!(nowhere, nothing);
    }
    // bash-completion's own function for the rest of a line works only for a real tab key.
    assert!(in_bash(&held, "", "redlock run -r a -- setpr").contains("setpriv"));
}

#[test]
fn fish_completes_commands_values_and_names() {
    let held = Held::new();
    let complete = |line: &str| {
        let script = format!("source completions/redlock.fish; complete -C '{line}'");
        let told = held.ask(&["fish", "--no-config", "-c"], &script);
        // What stands behind a tab describes it.
        let words = told
            .lines()
            .map(|line| line.split('\t').next().unwrap_or_default());
        words.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("redlock doc"), ["doctor"]);
    assert_eq!(complete("redlock run --on-lost "), ["stop", "warn"]);
    assert_eq!(complete("redlock completions f"), ["fish"]);
    assert_eq!(complete("redlock run -r dep"), ["deploy:shop"]);
    assert_eq!(
        complete("redlock run --resource=dep"),
        ["--resource=deploy:shop"]
    );
    assert_eq!(complete("redlock run -r od"), ["odd {{one}"]);
    assert_eq!(complete("redlock run -r odd\\\\ "), ["odd {{one}"]);
    assert_eq!(complete("redlock run -r a -- redlock doc"), ["doctor"]);
}

/// In zsh a completion needs the line editor, and that a terminal: zsh makes one.
fn in_zsh(held: &Held, line: &str) -> String {
    let script = format!(
        r#"zmodload zsh/zpty
        zpty shell 'zsh -f -i'
        zpty -w shell 'PS1=; fpath=($PWD/completions $fpath); autoload -U compinit; compinit -u -D; \
show() {{ zle complete-word; zle -I; print -r -- "<${{BUFFER}}>"; exit }}; zle -N show; \
bindkey "^I" show; stty -echo; print REA""DY'
        while zpty -r shell part; do [[ $part != *READY* ]] || break; done
        zpty -w -n shell '{line}'$'\t'
        while zpty -r shell part; do print -r -- $part; done"#
    );
    let told = held.ask(&["zsh", "-f", "-c"], &script);
    let completed = told
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    completed
        .unwrap_or_else(|| panic!("{line}: {told:?}"))
        .0
        .trim_end()
        .to_owned()
}

#[test]
fn zsh_completes_commands_values_and_names() {
    let held = Held::new();
    for (line, completed) in [
        ("redlock doc", "redlock doctor"),
        ("redlock run --on-lost s", "redlock run --on-lost stop"),
        ("redlock run -r dep", "redlock run -r deploy:shop"),
        (
            "redlock run --resource=dep",
            "redlock run --resource=deploy:shop",
        ),
        ("redlock -q run -r dep", "redlock -q run -r deploy:shop"),
        ("redlock run -r od", "redlock run -r odd\\ \\{\\{one\\}"),
        ("redlock run -r nothing", "redlock run -r nothing"),
    ] {
        assert_eq!(in_zsh(&held, line), completed);
    }
}

#[test]
fn the_other_scripts_at_least_name_every_command() {
    let definition = redlock::cli::definition();
    for shell in ["elvish", "powershell"] {
        let script = redlock::cli::completions::script(shell);
        for command in definition.get_subcommands() {
            assert!(
                script.contains(command.get_name()),
                "{shell}: {}",
                command.get_name()
            );
        }
        assert!(
            !script.contains("complete-names"),
            "{shell} shows what is hidden"
        );
    }
}
