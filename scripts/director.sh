# A private snmpd with the subagent behind it, for demonstrations. A script
# sources this file after it has set
#
#   project  the folder of the project
#   dir      a folder of its own, which it removes at the end
#   inside   what to put before the daemons and tools, as in
#            inside='ip netns exec d1'; may be empty
#
# Nothing here needs root, and snmpd listens on a free port of loopback only.

# Daemons are often not in the PATH of an ordinary user.
PATH=$PATH:/usr/sbin:/sbin

community=demo
agent=          # host:port of snmpd once it runs
snmpd_pid=
subagent_pid=

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# need COMMAND...: says early and in words what is missing.
need() {
	for command; do
		command -v "$command" >/dev/null || fail "there is no $command: run it with \`make ${0##*/}\`, which installs what is missing"
	done
}

# new_folder sets dir. The path of a socket has at most 107 octets and
# configuration files no quotes, so an odd TMPDIR is not used.
new_folder() {
	parent=${TMPDIR:-/tmp}
	case $parent in
	*[!A-Za-z0-9_./-]*) parent=/tmp ;;
	esac
	[ ${#parent} -le 80 ] || parent=/tmp
	dir=$(mktemp -d "$parent/lcms-demo.XXXXXX")
}

# start_director LINE...: starts both daemons, with the lines as the rest of the
# subagent's configuration, and waits until the kernel was read.
start_director() {
	subagent=${LCMS_SUBAGENT_BIN:-$project/bin/lcms-subagent}
	[ -x "$subagent" ] || fail "$subagent is not built: run \`make build\`"
	mkdir "$dir/mibs"
	modules=$("$project/scripts/base-mibs")
	cp "$modules"/*.txt /usr/share/snmp/mibs/NET-SNMP-MIB.txt "$dir/mibs"
	"$subagent" mib >"$dir/mibs/LCMS-MIB.txt"
	{
		printf 'agentx: {address: "unix:%s"}\nstore: {path: "%s"}\n' "$dir/agentx" "$dir/store.db"
		printf '%s\n' "$@"
	} >"$dir/subagent.yaml"
	start_snmpd
	$inside "$subagent" --config "$dir/subagent.yaml" >"$dir/subagent.log" 2>&1 &
	subagent_pid=$!
	until_true is lcmsDirectorKernelState.0 = ok
}

# start_snmpd tries ports until one is free: snmpd itself is the judge of that,
# so that nobody can take the port in between.
start_snmpd() {
	# A SET that is sent again because the machine is busy would be made twice.
	printf 'timeout 20\nretries 0\n' >"$dir/snmp.conf"
	attempt=0
	while :; do
		attempt=$((attempt + 1))
		agent=127.0.0.1:$((20000 + ($$ + attempt * 1009) % 12000))
		cat >"$dir/snmpd.conf" <<-END
			agentAddress udp:$agent
			rwcommunity $community 127.0.0.1
			master agentx
			agentXSocket unix:$dir/agentx
			agentXTimeout 15
			agentXRetries 0
		END
		MIBS='' SNMPCONFPATH=$dir SNMP_PERSISTENT_DIR=$dir/state \
			$inside snmpd -f -LF 0-6 "$dir/snmpd.log" -I -smux,mteTrigger,mteTriggerConf -C -c "$dir/snmpd.conf" >/dev/null 2>&1 &
		snmpd_pid=$!
		# It says so when all its addresses are open.
		until grep -q '^NET-SNMP version' "$dir/snmpd.log" 2>/dev/null; do
			kill -0 $snmpd_pid 2>/dev/null || break
			sleep 0.1
		done
		if kill -0 $snmpd_pid 2>/dev/null; then return; fi
		[ $attempt -lt 20 ] || fail "snmpd does not start: $(cat "$dir/snmpd.log")"
		rm -f "$dir/snmpd.log"
	done
}

# running reports whether all daemons are there; ended is one that is not, as its log
# is named.
running() {
	for daemon in "snmpd $snmpd_pid" "subagent $subagent_pid" "slapd ${slapd_pid-}" "poller ${poller_pid-}" "clients ${clients_pid-}"; do
		ended=${daemon% *} pid=${daemon#* }
		[ -z "$pid" ] || kill -0 "$pid" 2>/dev/null || return 1
	done
}

# stop PROCESS... ends children of the script, kindly first.
stop() {
	kill "$@" 2>/dev/null || :
	kill -CONT "$@" 2>/dev/null || : # who is stopped does not end
	for pid; do
		tries=0
		while kill -0 "$pid" 2>/dev/null; do
			tries=$((tries + 1))
			[ $tries -le 50 ] || kill -9 "$pid" 2>/dev/null || :
			sleep 0.1
		done
		wait "$pid" 2>/dev/null || :
	done
}

# snmp TOOL OPTION... OBJECT...: asks the director. Options that have a value are
# written with it in one word.
snmp() {
	tool=$1 options=
	shift
	while [ "${1#-}" != "$1" ]; do
		options="$options $1"
		shift
	done
	MIBDIRS=$dir/mibs MIBS=LCMS-MIB SNMPCONFPATH=$dir SNMP_PERSISTENT_DIR=$dir/state \
		$inside "$tool" -v2c -c "$community" $options "$agent" "$@"
}

# value OBJECT: prints a value by itself, nothing if there is no answer.
value() { snmp snmpget -OqvU -t1 -r0 "$1" 2>/dev/null || :; }

# is OBJECT OPERATOR VALUE compares a value as test(1) does.
is() { [ "$(value "$1")" "$2" "$3" ] 2>/dev/null; }

# until_true COMMAND...: polls until the command succeeds.
until_true() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		running && [ $tries -lt 600 ] || fail "in vain: $* $(cat "$dir/snmpd.log" "$dir/subagent.log")"
		sleep 0.1
	done
}

# service KEY: makes a service and its servers by one SET, which is one
# transaction. Standard input has lines COLUMN TYPE VALUE for the service and
# SERVER COLUMN TYPE VALUE for each of its servers.
service() {
	key="\"$1\""
	set -- "lcmsServiceRowStatus.$key" i createAndGo
	while read -r first second third fourth; do
		if [ -z "$fourth" ]; then
			set -- "$@" "lcmsService$first.$key" "$second" "$third"
		else
			set -- "$@" "lcmsServerRowStatus.$key.\"$first\"" i createAndGo "lcmsServer$second.$key.\"$first\"" "$third" "$fourth"
		fi
	done
	snmp snmpset -Oq "$@" >/dev/null
}

# server_table prints the servers of all services as SNMP tells them.
server_table() {
	for column in lcmsServiceName lcmsServerOperWeight lcmsServerOperStatus lcmsServerStatsActiveConnections lcmsServerStatsInactiveConnections lcmsServerStatsConnections; do
		snmp snmpbulkwalk -OqsU "$column"
	done | awk -F'"' '
		{ sub(/\..*/, "", $1) }
		$1 == "lcmsServiceName" { name[$2] = substr($3, 2); next }
		$1 == "lcmsServerOperWeight" { service[++n] = $2; server[n] = $4 }
		{ cell[$1, $2, $4] = substr($5, 2) }
		function show(c, i) { return cell[c, service[i], server[i]] }
		END {
			line = "%-9s %-24s %-22s %6s %-10s %6s %8s %9s\n"
			printf line, "name", "service", "server", "weight", "status", "active", "inactive", "total"
			for (i = 1; i <= n; i++) {
				again = service[i] == service[i-1]
				printf line, again ? "" : name[service[i]], again ? "" : service[i], server[i],
					show("lcmsServerOperWeight", i), show("lcmsServerOperStatus", i), show("lcmsServerStatsActiveConnections", i),
					show("lcmsServerStatsInactiveConnections", i), show("lcmsServerStatsConnections", i)
			}
		}'
}
