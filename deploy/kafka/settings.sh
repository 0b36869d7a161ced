# Chooses ports and writes the configuration of the nodes; a part of kafka.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # Variables are shared with the other files.

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
