# The cluster for the tests of package traffic, which are the arguments: they
# run on director1. PROGRAMS is the folder of webserver and webclient.
set -eu
. ./topology.sh
topology
virtual_addresses director1
# What belonged to a server of an earlier test is forgotten as soon as somebody
# comes by the same port again; else its packets would be dropped for minutes.
on director1 sysctl -qw net.ipv4.vs.expire_nodest_conn=1
# One more for director2, by direct routing only.
ip -n director2 addr add 10.0.1.200/24 dev eth0
# More clients than one.
for n in 20 21 22 23 24 25 26 27; do echo "addr add 10.0.1.$n/24 dev eth0"; done | ip_on client
for n in 1 2 3; do
	silent_addresses real$n
	ip -n real$n addr add 10.0.1.200/32 dev vip
	ip -n real$n link set tunl0 up
	on real$n "$PROGRAMS/webserver" -name real$n -http :80,:8080,:8081 -udp 10.0.2.1$n:53,$VIP4:5004 &
done
on director1 iptables-legacy -t mangle -A PREROUTING -p tcp -d $VIP4 --dport 8080 -j MARK --set-mark 7
for n in 1 2 3; do
	until_true on client "$PROGRAMS/webclient" -n 1 http://10.0.1.1$n/
done
on director1 "$@"
