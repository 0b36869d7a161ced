# Tells our nodes from other processes, and ends them; a part of kafka.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # Variables are shared with the other files.

# Seconds that a node may take to end before SIGTERM becomes SIGKILL.
STOP_PATIENCE=30

config_of() {
    printf '%s\n' "$dir/node$1/server.properties"
}

# One argument a line.
command_line() {
    if [ -e "/proc/$$/cmdline" ]; then
        tr '\0' '\n' <"/proc/$1/cmdline"
    else
        ps -ww -o args= -p "$1" | tr ' ' '\n'
    fi 2>/dev/null
}

# Whether node $1 runs; its process id is then in $pid. A pid file may be old and its number another's by
# now: only a java with our configuration is taken for ours. So nobody needs to remove pid files, which could
# be those of nodes that another process is just starting.
runs() {
    local args
    pid=$(cat "$dir/node$1/pid" 2>/dev/null) || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    args=$(command_line "$pid")$'\n' || return 1
    [[ ${args%%$'\n'*} == *java && $args == *$'\n'"$(config_of "$1")"$'\n'* ]]
}

# Waits up to $1 seconds until none of the other arguments' nodes runs.
await_end() {
    local deadline=$((SECONDS + $1)) node
    shift
    for node; do
        while runs "$node"; do
            [ "$SECONDS" -lt "$deadline" ] || return 1
            sleep 0.1
        done
    done
}

signal_nodes() {
    local signal=$1 node
    shift
    for node; do
        # It may end by itself between the two.
        ! runs "$node" || kill "-$signal" "$pid" 2>/dev/null || true
    done
}

kill_nodes() {
    signal_nodes KILL "$@"
    await_end "$STOP_PATIENCE" "$@" || die "nodes of $dir still run after SIGKILL; is their disk hanging?"
}

stop_nodes() {
    signal_nodes TERM "$@"
    await_end "$STOP_PATIENCE" "$@" && return
    note "not ended $STOP_PATIENCE s after SIGTERM: SIGKILL (nodes of $dir: $*)"
    kill_nodes "$@"
}
