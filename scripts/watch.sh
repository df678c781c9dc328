# Real servers that are watched, for demonstrations. A script sources this file after
# scripts/director.sh and scripts/directory.sh, whose variables it uses.
#
# The servers are programs of the project on addresses of loopback, each with an HTTP
# server and an SNMP agent; what they tell of their load is what their work takes.

watched=tcp:192.0.2.30:80
server_pids=    # app1, app2, app3 and the sorry server
poller_pid=
clients_pid=

# start_servers: three servers and a sorry server, with the entries of their service
# in app.ldif.
start_servers() {
	realserver=${LCMS_REALSERVER_BIN:-$project/bin/realserver}
	[ -x "$realserver" ] || fail "$realserver is not built: run \`make demo\`"
	server_pids=
	for n in 1 2 3 9; do
		"$realserver" -name "app$n" -address "127.0.0.1$n:8080" >"$dir/app$n.address" 2>"$dir/app$n.log" &
		server_pids="$server_pids $!"
	done
	for n in 1 2 3 9; do
		tries=0
		until [ -s "$dir/app$n.address" ]; do
			tries=$((tries + 1))
			[ $tries -lt 300 ] || fail "app$n does not start: $(cat "$dir/app$n.log")"
			sleep 0.1
		done
	done
	service_entry=lcmsKey=$watched,ou=virtual_service,$base
	{
		cat <<-END

			dn: $service_entry
			objectClass: lcmsVirtualService
			lcmsKey: $watched
			lcmsName: app
			lcmsScheduler: wrr
			lcmsWeightPolicy: capacity
			lcmsCheckType: http
			lcmsCheckTarget: /health body=ready
			lcmsCheckInterval: 1000
			lcmsCheckTimeout: 1000
			lcmsCheckRise: 2
			lcmsCheckFall: 2
			lcmsSlowStart: 10
			lcmsQuorum: 2
			lcmsSorryServer: $(cat "$dir/app9.address")
		END
		for n in 1 2 3 9; do
			address=$(cat "$dir/app$n.address")
			cat <<-END

				dn: cn=app$n,ou=host,$base
				objectClass: device
				objectClass: ipHost
				objectClass: lcmsHost
				cn: app$n
				ipHostNumber: ${address%:*}
				lcmsSnmpUri: snmp://$address
				lcmsRolePotential: realServer

				dn: lcmsKey=$address,$service_entry
				objectClass: lcmsRealServer
				lcmsKey: $address
				lcmsHostRef: cn=app$n,ou=host,$base
				lcmsWeight: 100
			END
		done
	} >"$dir/app.ldif"
}

# start_watching: the clients and the monitor, which is quicker than it should be
# where nobody waits for it.
start_watching() {
	poller=${LCMS_POLLER_BIN:-$project/bin/lcms-poller}
	[ -x "$poller" ] || fail "$poller is not built: run \`make build\`"
	(umask 077 && echo "$community" >"$dir/community")
	cat >"$dir/poller.yaml" <<-END
		directors: [{name: lb1, address: "$agent", community-file: $dir/community}]
		hosts: [{networks: 127.0.0.0/8, community-file: $dir/community}]
		load: {interval: 1s}
		weights: {interval: 1s, smoothing: 3s}
		status: {socket: $dir/status}
	END
	"$poller" --config "$dir/poller.yaml" >"$dir/poller.log" 2>&1 &
	poller_pid=$!
	"$realserver" -clients -director "$agent" -service "$watched" >"$dir/clients.log" 2>&1 &
	clients_pid=$!
}
