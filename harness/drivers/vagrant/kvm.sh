#!/bin/sh
# Prints "kvm" when a guest really runs under KVM here, else "qemu": /dev/kvm may exist and be of no use. And on a
# second line the reason, for a person.
# The kernel of our box boots with KVM and without it at once, and has no root to go on with, so it panics and QEMU
# ends. KVM is of use when it comes there first. Asked once per boot of this machine. NODEPORT_ACCELERATOR overrules.
set -u
answer() {
    printf '%s\n%s\n' "$1" "$2"
    exit
}
case "${NODEPORT_ACCELERATOR:-}" in kvm | qemu)
    answer "$NODEPORT_ACCELERATOR" 'NODEPORT_ACCELERATOR says so'
    ;;
esac
[ -e /dev/kvm ] || answer qemu 'there is no /dev/kvm (VT-x or AMD-V is off in the firmware, or this machine is a guest)'
{ [ -r /dev/kvm ] && [ -w /dev/kvm ]; } || answer qemu "/dev/kvm may not be opened by $(id -un) (adduser $(id -un) kvm)"
command -v qemu-system-x86_64 >/dev/null || answer qemu 'there is no qemu-system-x86_64 to try /dev/kvm with'
kernel=
for file in "${VAGRANT_HOME:-$HOME/.vagrant.d}"/boxes/nodeport-VAGRANTSLASH-*/*/libvirt/vmlinuz "/boot/vmlinuz-$(uname -r)"; do
    if [ -z "$kernel" ] && [ -r "$file" ]; then kernel=$file; fi
done
[ -n "$kernel" ] || answer qemu 'there is no kernel to try /dev/kvm with yet, for there is no box of ours'
known=${XDG_CACHE_HOME:-$HOME/.cache}/nodeport-harness/accelerator
boot=$(cat /proc/sys/kernel/random/boot_id)
if [ "$(sed -n 1p "$known" 2>/dev/null)" = "$boot" ] && [ "$(wc -l <"$known")" = 3 ]; then
    sed 1d "$known"
    exit
fi

folder=$(mktemp -d) || exit 1
guest() {
    timeout -s KILL 30 qemu-system-x86_64 -accel "$1" -m 128 -display none -nodefaults -no-reboot -kernel "$kernel" \
        -pidfile "$folder/$1.pid" -serial "file:$folder/$1.log" \
        -append "console=ttyS0 panic=-1 quiet" >/dev/null 2>"$folder/$1.amiss" &&
        grep -q 'Kernel panic' "$folder/$1.log" && ln "$folder/$1.log" "$folder/first-$1"
}
guest kvm &
kvm=$!
guest tcg
if [ -e "$folder/first-kvm" ]; then
    found=kvm why='a guest under it ran, and faster than one without'
elif amiss=$(grep -v -e '^$' -e 'warning:' "$folder/kvm.amiss"); then
    found=qemu why="/dev/kvm is there and of no use, QEMU says: $(echo "$amiss" | tail -n 1 | cut -c 1-200)"
else
    found=qemu why='/dev/kvm is there and of no use: a guest under it was not there when one without it had booted'
fi
if [ -s "$folder/kvm.pid" ]; then kill -KILL "$(cat "$folder/kvm.pid")" 2>/dev/null; fi
wait "$kvm" 2>/dev/null
rm -rf "$folder"
mkdir -p "$(dirname "$known")" && printf '%s\n%s\n%s\n' "$boot" "$found" "$why" >"$known"
answer "$found" "$why"
