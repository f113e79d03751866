# Completion of kiln for bash. In ~/.bashrc: source <(kiln completion bash)
_kiln() {
    local line=${COMP_LINE:0:COMP_POINT} here=${COMP_WORDS[COMP_CWORD]} reply first start
    local -a words
    # Bash takes words apart at : and =, which are part of names here.
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    reply=$("${words[0]}" __complete -- "${words[@]:1}" 2> /dev/null) || return
    first=${reply%%$'\n'*}
    COMPREPLY=()
    if [[ $first == files ]]; then
        compopt -o default
        return
    fi
    start=${words[${#words[@]} - 1]}
    case $here in
        = | :) ;;
        *) start=${start%"$here"} ;;
    esac
    local value rest
    while IFS=$'\t' read -r value rest; do
        COMPREPLY+=("${value#"$start"}")
    done < <(tail -n +2 <<< "$reply")
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/:@] ]] && compopt -o nospace 2> /dev/null
    return 0
}
complete -F _kiln kiln
