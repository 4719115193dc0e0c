#!/bin/sh
# Everything that can be told of a machine and that does not change by itself, to be compared before and after.

echo '# nft'
nft -s list ruleset
echo '# iptables'
iptables-save | grep -v '^#' | sed 's/ \[.*//'

echo '# routes, links, addresses'
ip -4 route show table all
ip -6 route show table all | grep -v fe80:
ip rule
ip -o link show | cut -d: -f2- | sed 's/ qdisc .*//'
ip -o -4 address show | cut -d: -f2-

echo '# sysctls'
sysctl -a 2>/dev/null |
  grep -vE '^(kernel\.(random|ns_last_pid|pty\.nr)|fs\.|dev\.|vm\.|debug\.|user\.)' |
  grep -vE 'conntrack_count|tcp_fastopen_key|hostname|\.nr_|stable_secret|kernel\.sched'

echo '# units'
systemctl list-unit-files --no-legend --no-pager
systemctl list-units --all --plain --no-legend --no-pager --type=service,socket,timer,target,slice,mount |
  awk '{print $1, $2, $3, $4}' |
  grep -vE '^(ssh@|sshd@|session-|user@|user-|run-user|systemd-tmpfiles-clean|modprobe@)'

echo '# packages'
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n'
apt-mark showmanual
apt-mark showhold

echo '# users'
getent passwd
getent group

echo '# files'
find /etc /usr /opt /srv /root /home /var/lib /var/spool -xdev \
  \( -path /var/lib/systemd/timers -o -name random-seed -o -path /var/lib/apt -o -path /var/lib/dpkg \
     -o -name __pycache__ -o -path /root/.ansible \) -prune -o -printf '%p %y %m %u:%g %l\n' | LC_ALL=C sort
find /etc /usr/local /opt /srv /root /home -xdev -path /root/.ansible -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
find /run -xdev -maxdepth 1 -print | LC_ALL=C sort
ls -A /run/systemd/system /run/systemd/transient /run/netns 2>/dev/null || true
