# The scripts parse, and bash completes commands, options, their arguments and the last of a list.
quern completion bash >quern.bash
. ./quern.bash
complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _quern
    echo "$*: ${COMPREPLY[*]}"
}
complete_words quern in
complete_words quern pack --split
complete_words quern pack --preset m
complete_words quern pack -t Q8_0,Q5_K
complete_words quern compare --t
quern completion zsh | head -n 2
quern completion fish | head -n 2
