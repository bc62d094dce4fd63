# The names of locks that exist; `redlock_words` are the words before the cursor.
_redlock_names() {
    local -a names
    names=("${(@f)$(_call_program names "${redlock_words[1]}" complete-names -- \
        "${(q@)redlock_words}" "${(q)PREFIX}" 2>/dev/null)}")
    compadd -- "${(@)names:#}"
}
