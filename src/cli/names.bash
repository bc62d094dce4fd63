# Prints the words before the cursor as the user typed them, one a line: bash itself takes them apart
# at colons and equal signs, which are in most URLs and many names.
_redlock_words() {
    local -a words
    read -a words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:COMP_POINT-1:1} != ' ' ]] || words+=('')
    printf '%s\n' "${words[@]}"
}

# Completes the names of locks that exist.
_redlock_locks() {
    local words=("$@") value=${*: -1} name
    # Where there is no such lock, a file is none.
    compopt +o bashdefault +o default 2>/dev/null
    value=${value#--resource=}
    # What bash has taken for words before this one must not be repeated.
    local before=${value%"${value##*[:=]}"}
    COMPREPLY=()
    while IFS= read -r name; do
        [[ $name != "$value"* ]] || COMPREPLY+=("$(printf '%q' "${name#"$before"}")")
    done < <("${words[0]}" complete-names -- "${words[@]}" 2>/dev/null)
}

_redlock_all() {
    local -a words
    local word command='' i
    mapfile -t words < <(_redlock_words)
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -- ]] || continue
        # What follows is a command line of its own.
        if declare -F _command_offset >/dev/null; then
            _command_offset $((i + 1))
        elif ((i + 1 == COMP_CWORD)); then
            mapfile -t COMPREPLY < <(compgen -c -- "$2")
        fi
        return
    done
    local count=${#words[@]}
    case "${words[count - 2]},${words[count - 1]}" in
    -r,* | --resource,* | *,--resource=*)
        _redlock_locks "${words[@]}"
        return
        ;;
    esac
    for word in "${words[@]:1:count-2}"; do
        case $word in
        @COMMANDS@) command=$word ;;
        esac
    done
    case "${words[count - 2]}" in
    @VALUED@) command='' ;;
    esac
    if [[ -n $command && ${words[count - 1]} != -* ]]; then
        _redlock_locks "${words[@]}"
        return
    fi
    _redlock "$@"
    # Options only to whoever asks for them: there are many.
    if [[ $2 != -* ]]; then
        local reply=("${COMPREPLY[@]}")
        COMPREPLY=()
        for word in "${reply[@]}"; do
            [[ $word == -* ]] || COMPREPLY+=("$word")
        done
    fi
}

complete -F _redlock_all -o bashdefault -o default redlock
