#!/usr/bin/env bash
# A real Apache Kafka on this machine, without Docker and without root: for tests and for people.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
libs=${SAWLOG_KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/sawlog/kafka-$version}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

# Seconds that a start may take before it is given up.
START_PATIENCE=300

usage() {
    cat <<EOF
Usage: kafka.sh COMMAND
  fetch                   gets Kafka $version through Maven, if it is not there yet
  start [--nodes 1|3] [--dir DIR] [--set KEY=VALUE]... [--until-eof]
                          starts the nodes of DIR that do not run; returns when all are ready
  stop   [--dir DIR] [--node N]    ends all nodes, or one, in their own way
  kill   [--dir DIR] [--node N]    ends them at once (SIGKILL)
  status [--dir DIR]      which nodes run, and where; fails unless all do
  tool CLASS ARGS...      runs a command of Kafka, as org.apache.kafka.tools.TopicCommand

DIR holds settings, data and logs of a cluster, and keeps its ports. Without --dir it is
$(default_dir)
--set overrides a broker's setting, also in later starts; remove DIR to begin anew.
--until-eof kills the nodes when standard input ends, so that they do not outlive who started them.
Jars are kept in $libs (SAWLOG_KAFKA_LIBS says where else).
EOF
}

default_dir() {
    printf '%s\n' "${XDG_DATA_HOME:-$HOME/.local/share}/sawlog/kafka"
}

note() {
    printf 'kafka.sh: %s\n' "$*" >&2
}

die() {
    note "$@"
    exit 1
}

pid='' # Of the node that `runs` was last asked for.
for part in jars processes settings; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

## Start

format() {
    local node cluster voters=--standalone formats=()
    cluster=$(random_id)
    [ "${#nodes[@]}" = 1 ] || voters="--initial-controllers=$(join_ports voters)"
    for node in "${nodes[@]}"; do
        (run_class WARN kafka.tools.StorageTool format -t "$cluster" "$voters" -c "$(config_of "$node")") \
            >"$dir/node$node/format.log" 2>&1 </dev/null &
        formats+=("$!")
    done
    for node in "${formats[@]}"; do
        wait "$node" || {
            without_traces "$dir/node"*/format.log >&2
            die "Kafka could not make the data directories below $dir"
        }
    done
}

# Starts the nodes that do not run and names them in $started.
launch() {
    local node log
    started=()
    log_starts=()
    for node in "${nodes[@]}"; do
        ! runs "$node" || continue
        log=$dir/node$node/broker.log
        touch "$log"
        log_starts[node]=$(wc -c <"$log")
        (trap '' HUP; run_class INFO kafka.Kafka "$(config_of "$node")") >>"$log" 2>&1 </dev/null &
        printf '%s\n' "$!" >"$dir/node$node/pid"
        started+=("$node")
        await_java "$node" "$!"
    done
}

# Until our child is java it cannot be told by its command line, nor ended with the others.
await_java() {
    local _
    for _ in {1..100}; do
        ! runs "$1" && kill -0 "$2" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -9 "$2"
    kill_nodes "${started[@]}"
    die "'$java' starts java as a child of its own; set JAVA_HOME, so that the real one can be found"
}

# What node $1 has logged since this start.
new_log() {
    tail -c +$((log_starts[$1] + 1)) "$dir/node$1/broker.log"
}

is_ready() {
    [[ $(new_log "$1") == *"Kafka Server started"* ]] && answers "$(port_of "$1")"
}

port_of() {
    sed -n "s/^$1 \([0-9]*\) .*/\1/p" "$dir/ports"
}

# Fails as soon as one of the nodes just launched has ended.
await_ready() {
    local deadline=$((SECONDS + START_PATIENCE)) node
    for node in ${started[@]+"${started[@]}"}; do
        until is_ready "$node"; do
            all_live || return 1
            [ "$SECONDS" -lt "$deadline" ] || { note "not ready after $START_PATIENCE s"; return 1; }
            sleep 0.2
        done
    done
    all_live
}

all_live() {
    local node
    for node in ${started[@]+"${started[@]}"}; do
        runs "$node" || return 1
    done
    [ -z "$watcher" ] || kill -0 "$watcher" 2>/dev/null || die_of_eof
}

die_of_eof() {
    kill_nodes "${started[@]}"
    die "standard input ended before the nodes were ready"
}

port_was_taken() {
    local node
    for node in "${started[@]}"; do
        [[ $(new_log "$node") != *"Address already in use"* ]] || return 0
    done
    return 1
}

# What was logged, less the frames of Java's stacks.
without_traces() {
    grep -hv '^[[:space:]]*at ' "$@" || true
}

# Shows why and ends, with no node left that this start has begun.
give_up() {
    local node
    kill_nodes "${started[@]}"
    for node in "${started[@]}"; do
        note "the end of $dir/node$node/broker.log:"
        new_log "$node" | without_traces | tail -n 20 >&2
    done
    die "$@"
}

start_first() {
    local _
    for _ in 1 2 3 4 5; do
        rm -rf "$dir"/node[123]
        choose_ports
        write_configs
        format
        launch
        ! await_ready || return 0
        port_was_taken || give_up "Kafka did not start, see above"
        kill_nodes "${started[@]}"
        note "a port was taken meanwhile, trying others"
    done
    die "five times another process took one of the ports chosen"
}

start_again() {
    write_configs
    launch
    await_ready && return
    ! port_was_taken || give_up "another process has one of the ports of $dir/ports; end that one, or remove $dir and lose its data"
    give_up "Kafka did not start, see above"
}

# Nobody may signal it: it is what is left when all others are gone.
watch_stdin() {
    exec 3<&0
    (trap '' HUP INT TERM; cat >/dev/null; kill_nodes "${nodes[@]}") <&3 >/dev/null 2>&1 &
    watcher=$!
    exec 3<&-
}

start() {
    fetch
    watcher=
    started=()
    # Who started us may be gone: what we (or bash, of a child that was killed) have to say then must not end
    # us before the nodes are.
    trap '' PIPE
    [ -z "$until_eof" ] || watch_stdin
    trap 'kill_nodes ${started[@]+"${started[@]}"}; exit 130' INT TERM
    if [ -e "$dir/bootstrap" ]; then
        start_again
    else
        start_first
        join_ports clients >"$dir/bootstrap"
    fi
    printf 'bootstrap servers: %s\n' "$(cat "$dir/bootstrap")"
}

status() {
    local node failed=0
    for node in "${nodes[@]}"; do
        if runs "$node"; then
            printf 'node %s: 127.0.0.1:%s, process %s\n' "$node" "$(port_of "$node")" "$pid"
        else
            printf 'node %s: stopped\n' "$node"
            failed=1
        fi
    done
    return "$failed"
}

## The command line

# Sets $dir, $nodes and the rest from the options.
parse() {
    dir='' wanted='' one='' until_eof='' overrides=()
    while [ $# -gt 0 ]; do
        [[ $# -ge 2 || $1 == --until-eof ]] || die "$1: what is that? See kafka.sh help"
        case $1 in
        --dir) dir=$2 ;;
        --node) one=$2 ;;
        --nodes) wanted=$2 ;;
        --set) check_override "$2"; overrides+=("$2") ;;
        --until-eof) until_eof=1; shift; continue ;;
        *) die "$1: what is that? See kafka.sh help" ;;
        esac
        shift 2
    done
    dir=${dir:-$(default_dir)}
}

# A directory that holds something else is left alone.
make_cluster() {
    local count
    mkdir -p "$dir"
    if [ ! -e "$dir/cluster-size" ]; then
        [ -z "$(ls -A "$dir")" ] || die "$dir is neither empty nor a directory of kafka.sh"
        case ${wanted:-1} in 1 | 3) ;; *) die "--nodes is 1 or 3" ;; esac
        printf '%s\n' "${wanted:-1}" >"$dir/cluster-size"
    fi
    count=$(cat "$dir/cluster-size")
    [ "${wanted:-$count}" = "$count" ] || die "$dir holds a cluster of $count; remove it, or use another --dir"
    [ "${#overrides[@]}" = 0 ] || printf '%s\n' "${overrides[@]}" >>"$dir/overrides"
}

open_cluster() {
    [ -e "$dir/cluster-size" ] || die "$dir holds no Kafka; kafka.sh start makes one"
    dir=$(cd "$dir" && pwd -P)
    nodes=(1 2 3)
    [ "$(cat "$dir/cluster-size")" = 3 ] || nodes=(1)
    [ -z "$one" ] || [[ " ${nodes[*]} " == *" $one "* ]] || die "--node $one: the nodes of $dir are ${nodes[*]}"
    chosen=("${nodes[@]}")
    [ -z "$one" ] || chosen=("$one")
}

main() {
    local command=${1:-help}
    shift || true
    case $command in
    start) parse "$@"; make_cluster; open_cluster; start ;;
    stop | kill) parse "$@"; open_cluster; "${command}_nodes" "${chosen[@]}" ;;
    status) parse "$@"; open_cluster; status ;;
    fetch) fetch ;;
    tool) fetch; run_class WARN "$@" ;;
    help | -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
    esac
}

main "$@"
