#!/bin/sh
# A Debian archive on the machine itself, for a lab reaches no other: `conntrack`, which is the real program, and `needy`,
# which depends on it. conntrack itself is removed, so that it has to be installed.
set -eu
mkdir -p /opt/archive/conntrack/usr/sbin
cd /opt/archive
cp /usr/sbin/conntrack conntrack/usr/sbin/

package() {
  mkdir -p "$1/DEBIAN"
  printf 'Package: %s\nVersion: 1:9\nArchitecture: all\nMaintainer: a <a@b>\nDescription: %s\n' "$1" "$1" >"$1/DEBIAN/control"
  [ $# = 1 ] || echo "Depends: $2" >>"$1/DEBIAN/control"
  dpkg-deb --build "$1" >/dev/null
}
package conntrack
package needy conntrack

for deb in *.deb; do
  dpkg-deb --field "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done >Packages
rm -f /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/opt/archive ./' >/etc/apt/sources.list
dpkg --purge conntrack
