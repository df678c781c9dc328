# The demonstration on a real kernel, for scripts/lab-demo. PROGRAMS is the folder
# of webserver and webclient. With COMMANDS, a folder that is shared with the
# host, it does at the end what is asked there: command.N is run when it appears,
# done.N tells that it was; command.end ends it.
set -eu
project=$(cd ../.. && pwd)
inside='ip netns exec director1'
. "$project/scripts/director.sh"
. ./topology.sh
PATH=$PATH:$PROGRAMS

say() { printf '\n--- %s\n' "$*"; }

# shown COMMAND...: says what it runs, in words that can be typed.
shown() {
	printf '$'
	for word; do
		case $word in
		*[!A-Za-z0-9_./:=,-]*) printf " '%s'" "$word" ;;
		*) printf ' %s' "$word" ;;
		esac
	done
	echo
	"$@"
}

# side_by_side prints what the kernel says beside what SNMP says.
side_by_side() {
	on director1 ipvsadm -L -n >"$dir/left"
	{
		printf 'SNMP\n\n\n'
		for column in lcmsServiceName lcmsServerOperWeight lcmsServerOperStatus lcmsServerStatsActiveConnections lcmsServerStatsInactiveConnections lcmsServerStatsConnections; do
			snmp snmpbulkwalk -OqsU $column
		done | awk -F'"' '
			/^lcmsServiceName/ { service = $2 $3 }
			/^lcmsServerOperWeight/ { server[++n] = $4 }
			{ sub(/.*\. */, "", $1); cell[$4] = cell[$4] sprintf(" %8s", $5) }
			END {
				printf "%-23s %8s %8s %8s %8s %8s\n", service, "weight", "status", "active", "inactive", "total"
				for (i = 1; i <= n; i++) printf "%-23s%s\n", server[i], cell[server[i]]
			}'
	} >"$dir/right"
	paste "$dir/left" "$dir/right" | awk -F'\t' '{ printf "%-69s| %s\n", $1, $2 }'
}

# counted N: the kernel sums its counters up every two seconds.
counted() { is lcmsServiceStatsConnections.\"$web\" = "$1"; }

dir=$(mktemp -d /tmp/lcms-demo.XXXXXX)
web=tcp:$VIP4:80

say 'A client, two directors and three real servers, each a network namespace'
topology
virtual_addresses director1
for n in 1 2 3; do on real$n webserver -name real$n -http :8080 & done
for n in 1 2 3; do until_true on client webclient http://10.0.1.1$n:8080/; done
sed -n '/^#$/,/^#$/s/^#/   /p' topology.sh
echo "    The service will be at $VIP4, on director1."

say 'snmpd and lcms-subagent start on director1'
start_director 'ipvs: kernel'
snmp snmpget lcmsDirectorIpvsVersion.0 lcmsDirectorKernelState.0

say 'One SET makes a service with three servers, by masquerading, weights 3, 2 and 1'
w="\"$web\""
export MIBDIRS="$dir/mibs" MIBS=LCMS-MIB SNMPCONFPATH="$dir" SNMP_PERSISTENT_DIR="$dir/state"
shown $inside snmpset -v2c -c $community $agent \
	"lcmsServiceRowStatus.$w" i createAndGo "lcmsServiceName.$w" s web "lcmsServiceScheduler.$w" s wrr \
	"lcmsServerRowStatus.$w.\"10.0.2.11:8080\"" i createAndGo "lcmsServerWeight.$w.\"10.0.2.11:8080\"" u 3 \
	"lcmsServerRowStatus.$w.\"10.0.2.12:8080\"" i createAndGo "lcmsServerWeight.$w.\"10.0.2.12:8080\"" u 2 \
	"lcmsServerRowStatus.$w.\"10.0.2.13:8080\"" i createAndGo "lcmsServerWeight.$w.\"10.0.2.13:8080\"" u 1

say 'The client sends 60 HTTP requests to the virtual address'
shown ip netns exec client webclient -n 60 http://$VIP4/
until_true counted 60
side_by_side

say 'Weight 0 drains real1'
shown $inside snmpset -v2c -c $community $agent "lcmsServerWeight.$w.\"10.0.2.11:8080\"" u 0
shown ip netns exec client webclient -n 60 http://$VIP4/
until_true counted 120
side_by_side

if [ -n "${COMMANDS:-}" ]; then
	cat <<-END

	--- Look around: what you type runs on director1, such as

	ipvsadm -Ln --stats
	snmpbulkwalk -v2c -c $community $agent lcmsMIB
	snmpset -v2c -c $community $agent 'lcmsServerWeight.$w."10.0.2.11:8080"' u 3
	ip netns exec client webclient -n 60 http://$VIP4/

	Ctrl-D ends it.

	END
	: >"$COMMANDS/done.0"
	n=1
	while [ ! -e "$COMMANDS/command.end" ]; do
		if [ -e "$COMMANDS/command.$n" ]; then
			on director1 sh "$COMMANDS/command.$n" 2>&1 || :
			: >"$COMMANDS/done.$n"
			n=$((n + 1))
		else
			sleep 0.2
		fi
	done
fi

say 'Destroying the service takes its servers along; the kernel is empty'
shown $inside snmpset -v2c -c $community $agent "lcmsServiceRowStatus.$w" i destroy
shown $inside ipvsadm -L -n
