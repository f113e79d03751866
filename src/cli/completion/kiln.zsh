#compdef kiln
# Completion of kiln for zsh. In ~/.zshrc, after compinit: source <(kiln completion zsh)
_kiln() {
    local -a lines values shown open_values open_shown
    local line value text
    lines=("${(@f)$("${words[1]}" __complete -- "${(@Q)words[2,CURRENT]}" 2> /dev/null)}")
    if [[ $lines[1] == files ]]; then
        _files
        return
    fi
    for line in "${(@)lines[2,-1]}"; do
        value=${line%%$'\t'*}
        [[ -n $value ]] || continue
        text=$value
        [[ $line == *$'\t'?* ]] && text="$value  -- ${line#*$'\t'}"
        if [[ $value == *[=/:@] ]]; then
            open_values+=("$value")
            open_shown+=("$text")
        else
            values+=("$value")
            shown+=("$text")
        fi
    done
    (( $#values )) && compadd -l -d shown -a -- values
    (( $#open_values )) && compadd -l -S '' -d open_shown -a -- open_values
}
compdef _kiln kiln
