# Sourced by scenarios inside the lab: six hosts on two networks, each a network
# namespace.
#
#                client 10.0.1.10
#                  |
#    front --------+-----+-----------+----------------------  10.0.1.0/24  fd00:1::/64
#                        | .1        | .2             | .11 .12 .13
#                   director1   director2       real1 real2 real3
#                        | .1        | .2             | .11 .12 .13
#    back ---------------+-----------+----------------+-----  10.0.2.0/24  fd00:2::/64
#
# The last part of the IPv6 addresses is that of the IPv4 ones. The virtual
# addresses are $VIP4 and $VIP6, on the front. What a real server answers from
# the back goes through $GATEWAY4 and $GATEWAY6, director1 unless set before:
# masquerading needs the director on the way back.
VIP4=10.0.1.100 VIP6=fd00:1::100
GATEWAY4=${GATEWAY4:-10.0.2.1} GATEWAY6=${GATEWAY6:-fd00:2::1}

die() { echo "$*" >&2; exit 1; }

# on HOST COMMAND...
on() { host=$1; shift; ip netns exec "$host" "$@"; }

# until_true COMMAND...: for at most five minutes.
until_true() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 1500 ] || die "did not come true: $*"
		sleep 0.2
	done
}

# ip_on HOST carries out the commands of ip on standard input. Each process
# takes long to start in the lab, so that one does many.
ip_on() { ip -n "$1" -batch -; }

# host NAME
host() {
	ip netns add "$1"
	on "$1" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
	ip -n "$1" link set lo up
}

# plug HOST INTERFACE NETWORK ADDRESS4 ADDRESS6
plug() {
	ip -batch - <<-END
		link add $1-$3 type veth peer name $2 netns $1
		link set $1-$3 master $3 up
	END
	ip_on "$1" <<-END
		link set $2 up
		addr add $4/24 dev $2
		addr add $5/64 dev $2 nodad
	END
}

# virtual_addresses HOST: the director answers for them.
virtual_addresses() {
	ip_on "$1" <<-END
		addr add $VIP4/24 dev eth0
		addr add $VIP6/64 dev eth0 nodad
	END
}

# silent_addresses HOST: a real server takes packets for the virtual addresses,
# as direct routing and tunnels need it, and keeps quiet about it.
silent_addresses() {
	on "$1" sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
	ip_on "$1" <<-END
		link add vip type dummy
		link set vip up
		addr add $VIP4/32 dev vip
		addr add $VIP6/128 dev vip nodad
	END
}

# topology makes all of it.
topology() {
	modprobe -a ip_vs ip_vs_rr ip_vs_wrr ip_vs_wlc ip_vs_sh ipip ip6_tunnel ipv6
	sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
	for network in front back; do
		ip link add $network type bridge
		ip link set $network up
	done
	host client
	plug client eth0 front 10.0.1.10 fd00:1::10
	for n in 1 2; do
		host director$n
		plug director$n eth0 front 10.0.1.$n fd00:1::$n
		plug director$n eth1 back 10.0.2.$n fd00:2::$n
		on director$n sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
			net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
	done
	for n in 1 2 3; do
		host real$n
		plug real$n eth0 back 10.0.2.1$n fd00:2::1$n
		plug real$n eth1 front 10.0.1.1$n fd00:1::1$n
		# Answers from the back address go back by the gateway, to the
		# client's network too; all others directly.
		ip_on real$n <<-END
			route add default via $GATEWAY4 table 100
			rule add from 10.0.2.0/24 table 100
			route add default via $GATEWAY6 table 100
		END
		ip -n real$n -6 rule add from fd00:2::/64 table 100
	done
}
