#!/bin/sh
# Runs one node: mounts its overlay where only this process sees it, boots it, boots it again when it reboots.
# Called as: unshare --mount --propagation private sh supervise.sh MACHINE ROOT FOLDER
# The mount lives and dies with this process, so nothing has to be unmounted, whatever happens.
set -eu
machine=$1 root=$2 folder=$3

mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" "$folder/merged"

export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
while :; do
    status=0
    systemd-nspawn --quiet --directory="$folder/merged" --machine="$machine" --register=no --keep-unit \
        --capability=CAP_NET_ADMIN,CAP_SYS_ADMIN --network-namespace-path="/run/netns/$machine" \
        --resolv-conf=off --link-journal=no --boot || status=$?
    # 133: systemd-nspawn(1), the container asked for a reboot
    [ "$status" = 133 ] || exit "$status"
done
