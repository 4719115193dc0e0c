#!/bin/sh
# Runs one node: wires its network, boots it, and does both again when it reboots, until it is powered off.
# Called as: setsid --fork sh supervise.sh MACHINE FOLDER ROOT FABRIC PORT ADDRESS ADDRESS6 MAC CGROUP...
# ADDRESS6 is - on a network of IPv4 alone.
# A reboot gets a new network namespace, as a machine that reboots has lost its rules and routes: what is to come
# back must come back by the node's own doing.
set -u
machine=$1 folder=$2 root=$3 fabric=$4 port=$5 address=$6 address6=$7 mac=$8
shift 8 # what is left are the node's control groups

for group; do echo $$ >"$group/cgroup.procs" || exit 1; done
echo $$ >"$folder/pid"
exec </dev/null >>"$folder/console.log" 2>&1

gateway=${address%.*}.1
bridge=br0
[ "${address%.*}" = 192.168.56 ] || bridge=br1 # see node_address in names.py

wire() {
    ip -n "$fabric" link delete "$port" 2>/dev/null
    ip netns delete "$machine" 2>/dev/null
    ip netns add "$machine" &&
        ip -n "$fabric" link add "$port" type veth peer name eth0 address "$mac" netns "$machine" &&
        ip -n "$fabric" link set "$port" master "$bridge" up &&
        ip -n "$machine" link set lo up &&
        ip -n "$machine" link set eth0 up &&
        ip -n "$machine" address add "$address/24" dev eth0 &&
        { [ "$address6" = - ] || ip -n "$machine" address add "$address6/64" dev eth0 nodad; } &&
        ip -n "$machine" route add 198.18.0.0/15 via "$gateway" && # to the clients, see CLIENTS in names.py
        sed "s/GATEWAY/$gateway/; s/ROUTER6/${address6%::*}::1/" "${folder%/*}/neighbours" | ip -n "$machine" -batch -
}

while wire; do
    unshare --mount --propagation slave sh "${0%/*}/boot.sh" "$machine" "$folder" "$root" "$@"
    [ $? = 133 ] || exit # 133: the node asked for a reboot, see systemd-nspawn(1) EXIT STATUS
done
