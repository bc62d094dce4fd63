
# The names of locks that exist.
function __redlock_names
    set -l words (commandline -opc)
    $words[1] complete-names -- $words (commandline -ct) 2>/dev/null
end
