# bash completion of runhook. `runhook completions bash` prints it:
#
#     source <(runhook completions bash)

_runhook() {
    local cur=${COMP_WORDS[COMP_CWORD]} value rest quoted
    COMPREPLY=()
    while IFS=$'\t' read -r value rest; do
        case $value in
        :files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        :folders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
        esac
        printf -v quoted %q "$value"
        COMPREPLY+=("$quoted")
    done < <("${COMP_WORDS[0]}" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    compopt -o nosort
    if [[ ${#COMPREPLY[@]} -eq 1 && $value == --*= ]]; then
        compopt -o nospace
        COMPREPLY=("$value")
    fi
}
complete -F _runhook runhook
