#compdef runhook
# zsh completion of runhook. `runhook completions zsh` prints it: save it as _runhook in a folder of your fpath, or
#
#     source <(runhook completions zsh)

_runhook() {
    local value rest
    local -a described
    while IFS=$'\t' read -r value rest; do
        case $value in
        :files) _files; return ;;
        :folders) _files -/; return ;;
        esac
        described+=("${value//:/\\:}:$rest")
    done < <("${words[1]}" complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    _describe -V runhook described
}
if [[ $funcstack[1] == _runhook ]]; then
    _runhook "$@"
else
    compdef _runhook runhook
fi
