#!/bin/sh
# Gives a machine its IPv6 address beside its private IPv4 one: address6.sh 192.168.56.11 fd00:192:168:56::11
# Vagrant knows one address a network. A unit of its own does it again after every boot, whatever configures the
# network of this box (ifupdown, systemd-networkd); Vagrant calls this anew after every `up` and `reload`.
set -eu
cat >/usr/local/sbin/nodeport-address6 <<END
#!/bin/sh
for i in \$(seq 300); do
    link=\$(ip -o -4 address show to $1/32 | awk '{ print \$2; exit }')
    [ -z "\$link" ] || exec ip -6 address replace $2/64 dev "\$link" nodad
    sleep 0.2
done
echo "no interface has the address $1" >&2
exit 1
END
chmod 755 /usr/local/sbin/nodeport-address6
cat >/etc/systemd/system/nodeport-address6.service <<END
[Unit]
Description=IPv6 address of the private network
After=networking.service systemd-networkd.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/nodeport-address6
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet nodeport-address6.service
systemctl restart nodeport-address6.service
