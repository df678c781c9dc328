# Every forwarding method and both IP versions, through director1. PROGRAMS is
# the folder of webserver and webclient.
set -eu
. ./topology.sh
topology
virtual_addresses director1
for n in 1 2 3; do
	silent_addresses real$n
	ip -n real$n link set tunl0 up
	ip -n real$n link add tunnel6 type ip6tnl local fd00:2::1$n remote :: mode any
	ip -n real$n link set tunnel6 up
	on real$n "$PROGRAMS/webserver" -name real$n -http :8080,:81,:82,:83 -tcp :90 -udp 10.0.2.1$n:53 &
done

balance() { on director1 ipvsadm "$@"; }

# service KIND ADDRESS SCHEDULER METHOD SERVER-PREFIX SERVER-SUFFIX: with the
# servers 1, 2 and 3, of the weights 1, 2 and 3.
service() {
	balance -A "$1" "$2" -s "$3"
	for n in 1 2 3; do balance -a "$1" "$2" -r "$5$n$6" "$4" -w $n; done
}
service -t $VIP4:80 rr -m 10.0.2.1 :8080
service -t $VIP4:81 wrr -g 10.0.1.1 :81
service -t $VIP4:82 rr -i 10.0.2.1 :82
service -t $VIP4:90 rr -m 10.0.2.1 :90
service -u $VIP4:53 wrr -m 10.0.2.1 :53
service -t [$VIP6]:80 rr -m [fd00:2::1 ]:8080
service -t [$VIP6]:81 wrr -g [fd00:1::1 ]:81
service -t [$VIP6]:82 rr -i [fd00:2::1 ]:82
service -f 7 rr -g 10.0.1.1 ''
on director1 iptables-legacy -t mangle -A PREROUTING -p tcp -d $VIP4 --dport 83 -j MARK --set-mark 7

for n in 1 2 3; do
	until_true on client "$PROGRAMS/webclient" -n 1 http://10.0.1.1$n:8080/
done

# expect SHARES URL
expect() {
	got=$(on client "$PROGRAMS/webclient" -n 30 "$2" | tr '\n' ' ')
	echo "$2: $got"
	[ "$got" = "$1 " ] || { balance -Ln; die "$2: $got, expected $1"; }
}
even='10 real1 10 real2 10 real3' weighted='5 real1 10 real2 15 real3'
expect "$even" http://$VIP4/
expect "$weighted" http://$VIP4:81/
expect "$even" http://$VIP4:82/
expect "$even" http://$VIP4:83/
expect "$even" tcp://$VIP4:90
expect "$weighted" udp://$VIP4:53
expect "$even" "http://[$VIP6]/"
expect "$weighted" "http://[$VIP6]:81/"
expect "$even" "http://[$VIP6]:82/"
