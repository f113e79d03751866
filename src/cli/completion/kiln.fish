# Completion of kiln for fish. In ~/.config/fish/config.fish: kiln completion fish | source
function __kiln_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] __complete -- $words[2..] 2>/dev/null)
    if test "$lines[1]" = files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $lines[2..]
    end
end
complete -c kiln -f -a '(__kiln_complete)'
