# fish completion of runhook. `runhook completions fish` prints it:
#
#     runhook completions fish | source

function __runhook_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    for line in (command $words[1] complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case ':files*'
                __fish_complete_path "$current"
            case ':folders*'
                __fish_complete_directories "$current"
            case '*'
                echo $line
        end
    end
end
complete --command runhook --no-files --keep-order --arguments '(__runhook_complete)'
