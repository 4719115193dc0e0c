#!/bin/sh
# Prints "kvm" when a guest really runs under KVM here, else "qemu": /dev/kvm may exist and be of no use.
# The kernel of our box boots with KVM and without it at once, and has no root to go on with, so it panics and QEMU
# ends. KVM is of use when it comes there first. Asked once per boot of this machine. NODEPORT_ACCELERATOR overrules.
set -u
case "${NODEPORT_ACCELERATOR:-}" in kvm | qemu)
    echo "$NODEPORT_ACCELERATOR"
    exit
    ;;
esac
kernel=
for file in "${VAGRANT_HOME:-$HOME/.vagrant.d}"/boxes/nodeport-VAGRANTSLASH-*/*/libvirt/vmlinuz "/boot/vmlinuz-$(uname -r)"; do
    if [ -z "$kernel" ] && [ -r "$file" ]; then kernel=$file; fi
done
if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ] || [ -z "$kernel" ] || ! command -v qemu-system-x86_64 >/dev/null; then
    echo qemu
    exit
fi
known=${XDG_CACHE_HOME:-$HOME/.cache}/nodeport-harness/accelerator
boot=$(cat /proc/sys/kernel/random/boot_id)
if [ "$(head -n 1 "$known" 2>/dev/null)" = "$boot" ]; then
    tail -n 1 "$known"
    exit
fi

folder=$(mktemp -d) || exit 1
guest() {
    timeout -s KILL 30 qemu-system-x86_64 -accel "$1" -m 128 -display none -nodefaults -no-reboot -kernel "$kernel" \
        -pidfile "$folder/$1.pid" -serial "file:$folder/$1.log" \
        -append "console=ttyS0 panic=-1 quiet" >/dev/null 2>&1 &&
        grep -q 'Kernel panic' "$folder/$1.log" && ln "$folder/$1.log" "$folder/first-$1"
}
guest kvm &
kvm=$!
guest tcg
answer=qemu
if [ -e "$folder/first-kvm" ]; then answer=kvm; fi
if [ -s "$folder/kvm.pid" ]; then kill -KILL "$(cat "$folder/kvm.pid")" 2>/dev/null; fi
wait "$kvm" 2>/dev/null
rm -rf "$folder"
mkdir -p "$(dirname "$known")" && printf '%s\n%s\n' "$boot" "$answer" >"$known"
echo "$answer"
