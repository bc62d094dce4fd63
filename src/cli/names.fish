
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
