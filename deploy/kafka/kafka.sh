#!/usr/bin/env bash
# A real Apache Kafka on this machine, without Docker and without root: for tests and for people.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
libs=${SAWLOG_KAFKA_LIBS:-${XDG_CACHE_HOME:-$HOME/.cache}/sawlog/kafka-$version}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

# Seconds that a start may take before it is given up, and a SIGTERM before it becomes a SIGKILL.
START_PATIENCE=300
STOP_PATIENCE=30

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

## Kafka's jars

need_java() {
    local found major
    found=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' || true)
    major=${found%%$'\n'*}
    [ "${major:-0}" -ge 17 ] || die "Kafka $version needs Java 17 or newer, '$java' is ${major:-missing}." \
        "Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk; or set JAVA_HOME"
}

have_jars() {
    [ -e "$libs/kafka_2.13-$version.jar" ] && [ -e "$libs/kafka-tools-$version.jar" ]
}

# Two may run at once: each fills a directory of its own, and the first to finish gives it its name.
fetch() {
    need_java
    ! have_jars || return 0
    command -v mvn >/dev/null || die "Maven is missing, it gets Kafka $version into $libs." \
        "Debian: apt-get install maven; macOS: brew install maven"
    note "getting Kafka $version into $libs (45 MB, once)"
    mkdir -p "$(dirname "$libs")"
    local part
    part=$(mktemp -d "$libs.part.XXXXXX")
    mvn -B -q -f "$here/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$part" >&2 </dev/null || {
        rm -rf "$part"
        die "Maven could not get Kafka $version, see above; it asks Maven Central unless ~/.m2/settings.xml names a mirror"
    }
    chmod 755 "$part"
    have_jars || { [ ! -e "$libs" ] || mv "$libs" "$part.old"; mv "$part" "$libs"; }
    # What is left if another was faster: `mv` has then put it inside.
    rm -rf "$part" "$part.old" "${libs:?}/${part##*/}"
    have_jars || die "no kafka_2.13-$version.jar in $libs after Maven has run; remove that directory and try again"
}

# A main class of Kafka with its arguments; the first argument is the level of its log.
run_class() {
    local level=$1
    shift
    exec "$java" -Xms256m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Dlog4j2.configurationFile="$here/log4j2.properties" -Dkafka.log.level="$level" \
        -cp "$libs/*" "$@"
}

## Processes

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
# now: only a java with our configuration is taken for ours.
runs() {
    local args
    pid=$(cat "$dir/node$1/pid" 2>/dev/null) || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    args=$'\n'$(command_line "$pid")$'\n' || return 1
    [[ $args == $'\n'*java$'\n'* && $args == *$'\n'"$(config_of "$1")"$'\n'* ]]
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
        rm -f "$dir/node$node/pid"
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

## Ports

# A port at which nobody answers, in $port. Below those that the kernel takes for outgoing connections:
# a node that is down must find its port free when it comes back.
pick_port() {
    local lowest=15000 end=32768
    if [ -r /proc/sys/net/ipv4/ip_local_port_range ]; then
        read -r end _ </proc/sys/net/ipv4/ip_local_port_range
        # Of a range that leaves no room below it nothing is left to do but to hope.
        [ "$end" -gt 16000 ] && [ "$end" -lt 32768 ] || end=32768
    fi
    while :; do
        port=$((lowest + RANDOM % (end - lowest)))
        [[ " $picked " == *" $port "* ]] || answers "$port" || break
    done
    picked="$picked $port"
}

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# One line a node: its number, its port for clients, that of the quorum, its directory id.
choose_ports() {
    local node client picked=
    for node in "${nodes[@]}"; do
        pick_port
        client=$port
        pick_port
        printf '%s %s %s %s\n' "$node" "$client" "$port" "$(random_id)"
    done >"$dir/ports"
}

# 16 random bytes as Kafka writes ids. One that begins with `-` looks like an option to its tools.
random_id() {
    local id=-
    while [[ $id == -* ]]; do
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    done
    printf '%s\n' "$id"
}

# One item for each line of the file of ports, joined by commas: `clients`, `quorum`, or the `voters` that
# formatting takes.
join_ports() {
    local joined='' node client quorum id item
    while read -r node client quorum id; do
        case $1 in
        clients) item=127.0.0.1:$client ;;
        quorum) item=127.0.0.1:$quorum ;;
        voters) item=$node@127.0.0.1:$quorum:$id ;;
        esac
        joined=$joined${joined:+,}$item
    done <"$dir/ports"
    printf '%s\n' "$joined"
}

## Settings

# Written anew at each start, so that --set counts for old directories too: of a key that stands twice the
# last line holds.
write_config() {
    local node=$1 client=$2 quorum=$3 shape=one-node
    [ "${#nodes[@]}" = 1 ] || shape=three-nodes
    mkdir -p "$dir/node$node"
    {
        cat "$here/common.properties" "$here/$shape.properties"
        [ ! -e "$dir/overrides" ] || cat "$dir/overrides"
        cat <<EOF
node.id=$node
broker.rack=r$node
log.dirs=$dir/node$node/data
listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$quorum
advertised.listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$quorum
controller.quorum.bootstrap.servers=$(join_ports quorum)
EOF
    } >"$(config_of "$node")"
}

write_configs() {
    local node client quorum _
    while read -r node client quorum _; do
        write_config "$node" "$client" "$quorum"
    done <"$dir/ports"
}

check_override() {
    case $1 in
    *$'\n'*) die "--set takes one line" ;;
    node.id=* | process.roles=* | log.dir=* | log.dirs=* | listeners=* | advertised.listeners=* | controller.quorum.bootstrap.servers=*)
        die "--set ${1%%=*}: kafka.sh chooses this one itself" ;;
    [a-z]*=*) ;;
    *) die "--set $1: give a broker's setting as key=value" ;;
    esac
}

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
            cat "$dir"/node*/format.log >&2
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

# Shows why and ends, with no node left that this start has begun.
give_up() {
    local node
    kill_nodes "${started[@]}"
    for node in "${started[@]}"; do
        note "the end of $dir/node$node/broker.log:"
        new_log "$node" | tail -n 20 >&2
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
