#!/bin/sh
# Boots one node, in a mount namespace of its own: its overlay is mounted where only this process and the node see it,
# and is gone with them, so nothing has to be unmounted, whatever happens.
# Called as: unshare --mount sh boot.sh MACHINE FOLDER ROOT CGROUP...
set -eu
machine=$1 folder=$2 root=$3
shift 3

# volatile: otherwise each unmount writes the whole file system of the host to disk, and a killed node takes as long to
# die. The mark against using it twice is for a crash of the host, after which no node is used again.
rm -rf "$folder/work/work/incompat"
mount -t overlay overlay -o "volatile,lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" "$folder/merged"
for group; do echo $$ >"$group/machine/cgroup.procs"; done
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
exec systemd-nspawn --quiet --directory="$folder/merged" --machine="$machine" --register=no --keep-unit \
    --settings=no --capability=CAP_NET_ADMIN,CAP_SYS_ADMIN --network-namespace-path="/run/netns/$machine" \
    --hostname="${folder##*/}" --resolv-conf=off --timezone=off --link-journal=no --boot
