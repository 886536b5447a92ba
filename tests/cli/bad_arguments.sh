try() {
    quern "$@" 2>&1 | head -n 1
    echo "exit ${PIPESTATUS[0]}"
}
try pack -t
try pack --run
try pack --threads many model
try pack --threads 99999 model
try pack --threads 18446744073709551616 model
try pack --split-max-size 4X model
try pack --split-max-size 4GB model
try pack --split-max-size 99999999999999G model
try pack --split-max-size "" model
try pack a b
try pack
try inspect
try inspect a b
try inspect --ctx -1 a
try compare a
try runs
try types a
try completion tcsh
