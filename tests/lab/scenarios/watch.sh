# The cluster for the tests of package watch, which are the arguments: the one of
# package traffic, with a fourth real server and a host for the monitor on the
# network behind, 10.0.2.14 and 10.0.2.20. The tests start what runs on them.
set -eu
. ./topology.sh
topology
virtual_addresses director1
host real4
plug real4 eth0 back 10.0.2.14 fd00:2::14
ip_on real4 <<-END
	route add default via $GATEWAY4 table 100
	rule add from 10.0.2.0/24 table 100
END
host monitor
plug monitor eth0 back 10.0.2.20 fd00:2::20
# Answers to the monitor do not go through a director.
for n in 1 2 3 4; do ip -n real$n route add 10.0.2.0/24 dev eth0 table 100; done
exec "$@"
