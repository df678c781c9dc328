package netsnmp

import (
	"slices"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// creations are services that are made by one SET, read back, and found in the
// kernel.
var creations = []struct {
	name  string
	rows  []row
	rules []string // of ipvsadm -Sn
}{
	{
		name: "service and three servers by masquerade, servers first",
		rows: []row{
			{service: "tcp:192.0.2.1:80", server: "10.0.0.11:8080", set: "Weight u 3; RowStatus i createAndGo", want: "Weight 3; OperWeight 3; OperStatus 1; Forwarding 1"},
			{service: "tcp:192.0.2.1:80", server: "10.0.0.12:8080", set: "RowStatus i createAndGo; Weight u 2", want: "Weight 2; OperWeight 2; OperStatus 1"},
			{service: "tcp:192.0.2.1:80", set: "Scheduler s wrr; RowStatus i createAndGo; Name s web",
				want: "Name web; Protocol 2; AddressType 1; Address C0 00 02 01; Port 80; Fwmark 0; Scheduler wrr; OperStatus 1; Owner 1; Servers 3; ServersUp 3; StorageType 3; RowStatus 1; LastError "},
			{service: "tcp:192.0.2.1:80", server: "10.0.0.13:8080", set: "RowStatus i createAndGo", want: "Weight 1; OperWeight 1; OperStatus 1; AddressType 1; Address 0A 00 00 0D; Port 8080"},
		},
		rules: []string{
			"-A -t 192.0.2.1:80 -s wrr",
			"-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m -w 3",
			"-a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m -w 2",
			"-a -t 192.0.2.1:80 -r 10.0.0.13:8080 -m -w 1",
		},
	},
	{
		name: "a service with all defaults",
		rows: []row{{
			service: "tcp:192.0.2.2:80", set: "RowStatus i createAndGo",
			want: "Name ; Scheduler wlc; SchedulerFlags 00; OnePacket 2; PersistenceTimeout 0; PersistenceNetmask 32; PersistenceEngine ; AdminStatus 1; " +
				"OperStatus 2; OperReason it has no servers; Owner 1; Servers 0; ServersUp 0; Transitions 0; LastError ; StorageType 3; RowStatus 1",
		}},
		rules: []string{"-A -t 192.0.2.2:80 -s wlc"},
	},
	{
		name: "a server with all defaults",
		rows: []row{
			{service: "tcp:192.0.2.3:80", set: "RowStatus i createAndGo"},
			{service: "tcp:192.0.2.3:80", server: "10.0.0.11:80", set: "RowStatus i createAndGo",
				want: "Forwarding 1; Weight 1; OperWeight 1; WeightReason as configured; UpperThreshold 0; LowerThreshold 0; TunnelType 1; TunnelPort 0; TunnelFlags 00; " +
					"AdminStatus 1; OperStatus 1; Transitions 0; LastError ; StorageType 3; RowStatus 1"},
		},
		rules: []string{"-A -t 192.0.2.3:80 -s wlc", "-a -t 192.0.2.3:80 -r 10.0.0.11:80 -m -w 1"},
	},
	{
		name: "weights arrive exactly",
		rows: []row{
			{service: "tcp:192.0.2.4:80", set: "RowStatus i createAndGo", want: "Servers 6; ServersUp 5"},
			{service: "tcp:192.0.2.4:80", server: "10.0.0.1:80", set: "RowStatus i createAndGo; Weight u 0", want: "Weight 0; OperWeight 0", later: "OperStatus 4"},
			{service: "tcp:192.0.2.4:80", server: "10.0.0.2:80", set: "RowStatus i createAndGo; Weight u 1", want: "Weight 1; OperWeight 1; OperStatus 1"},
			{service: "tcp:192.0.2.4:80", server: "10.0.0.3:80", set: "RowStatus i createAndGo; Weight u 255", want: "Weight 255; OperWeight 255"},
			{service: "tcp:192.0.2.4:80", server: "10.0.0.4:80", set: "RowStatus i createAndGo; Weight u 256", want: "Weight 256; OperWeight 256"},
			{service: "tcp:192.0.2.4:80", server: "10.0.0.5:80", set: "RowStatus i createAndGo; Weight u 300", want: "Weight 300; OperWeight 300"},
			{service: "tcp:192.0.2.4:80", server: "10.0.0.6:80", set: "RowStatus i createAndGo; Weight u 65535", want: "Weight 65535; OperWeight 65535"},
		},
		rules: []string{
			"-A -t 192.0.2.4:80 -s wlc",
			"-a -t 192.0.2.4:80 -r 10.0.0.1:80 -m -w 0",
			"-a -t 192.0.2.4:80 -r 10.0.0.2:80 -m -w 1",
			"-a -t 192.0.2.4:80 -r 10.0.0.3:80 -m -w 255",
			"-a -t 192.0.2.4:80 -r 10.0.0.4:80 -m -w 256",
			"-a -t 192.0.2.4:80 -r 10.0.0.5:80 -m -w 300",
			"-a -t 192.0.2.4:80 -r 10.0.0.6:80 -m -w 65535",
		},
	},
	{
		name: "direct routing and local",
		rows: []row{
			{service: "tcp:192.0.2.5:80", set: "Scheduler s rr; RowStatus i createAndGo", want: "Scheduler rr"},
			{service: "tcp:192.0.2.5:80", server: "10.0.0.11:80", set: "RowStatus i createAndGo; Forwarding i directRoute", want: "Forwarding 4; OperStatus 1"},
			{service: "tcp:192.0.2.5:80", server: "127.0.0.1:80", set: "RowStatus i createAndGo; Forwarding i local", want: "Forwarding 2; OperStatus 1"},
		},
		rules: []string{"-A -t 192.0.2.5:80 -s rr", "-a -t 192.0.2.5:80 -r 10.0.0.11:80 -g -w 1", "-a -t 192.0.2.5:80 -r 127.0.0.1:80 -l -w 1"},
	},
	{
		name: "tunnels",
		rows: []row{
			{service: "tcp:192.0.2.6:80", set: "RowStatus i createAndGo"},
			{service: "tcp:192.0.2.6:80", server: "10.0.0.11:80", set: "RowStatus i createAndGo; Forwarding i tunnel", want: "Forwarding 3; TunnelType 1; OperStatus 1"},
			{service: "tcp:192.0.2.6:80", server: "10.0.0.12:80", set: "RowStatus i createAndGo; Forwarding i tunnel; TunnelType i gue; TunnelPort u 6080; TunnelFlags b 0",
				want: "Forwarding 3; TunnelType 2; TunnelPort 6080; TunnelFlags 80 0; OperStatus 1"},
			{service: "tcp:192.0.2.6:80", server: "10.0.0.13:80", set: "RowStatus i createAndGo; Forwarding i tunnel; TunnelType i gue; TunnelPort u 6081; TunnelFlags x 40",
				want: "TunnelPort 6081; TunnelFlags 40 1; OperStatus 1"},
			{service: "tcp:192.0.2.6:80", server: "10.0.0.14:80", set: "RowStatus i createAndGo; Forwarding i tunnel; TunnelType i gre; TunnelFlags x 80",
				want: "Forwarding 3; TunnelType 3; TunnelFlags 80 0; OperStatus 1"},
			{service: "tcp:192.0.2.6:80", server: "[2001:db8::15]:80", set: "RowStatus i createAndGo; Forwarding i tunnel", want: "Forwarding 3; AddressType 2; OperStatus 1"},
		},
		rules: []string{
			"-A -t 192.0.2.6:80 -s wlc",
			"-a -t 192.0.2.6:80 -r 10.0.0.11:80 -i -w 1 --tun-type ipip",
			"-a -t 192.0.2.6:80 -r 10.0.0.12:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum",
			"-a -t 192.0.2.6:80 -r 10.0.0.13:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum",
			"-a -t 192.0.2.6:80 -r 10.0.0.14:80 -i -w 1 --tun-type gre --tun-csum",
			"-a -t 192.0.2.6:80 -r [2001:db8::15]:80 -i -w 1 --tun-type ipip",
		},
	},
	{
		name: "firewall marks",
		rows: []row{
			{service: "fwm4:7", set: "RowStatus i createAndGo", want: "Protocol 1; AddressType 1; Address ; Port 0; Fwmark 7; PersistenceNetmask 32; OperStatus 1"},
			{service: "fwm4:7", server: "10.0.0.11:0", set: "RowStatus i createAndGo; Forwarding i directRoute", want: "Port 0; OperStatus 1"},
			{service: "fwm6:4294967295", set: "RowStatus i createAndGo", want: "Protocol 1; AddressType 2; Fwmark 4294967295; PersistenceNetmask 128; OperStatus 1"},
			{service: "fwm6:4294967295", server: "[2001:db8::11]:8080", set: "RowStatus i createAndGo", want: "Port 8080; OperStatus 1"},
		},
		rules: []string{
			"-A -f 7 -s wlc", "-a -f 7 -r 10.0.0.11:0 -g -w 1",
			// ipvsadm writes a mark as a signed number.
			"-A -f -1 -6 -s wlc", "-a -f -1 -6 -r [2001:db8::11]:8080 -m -w 1",
		},
	},
	{
		name: "IPv6",
		rows: []row{
			{service: "tcp:[2001:db8::1]:443", set: "RowStatus i createAndGo", want: "AddressType 2; Address 20 01 0D B8 00 00 00 00 00 00 00 00 00 00 00 01; Port 443; OperStatus 1"},
			{service: "tcp:[2001:db8::1]:443", server: "[2001:db8::11]:8443", set: "RowStatus i createAndGo", want: "AddressType 2; Port 8443; OperStatus 1"},
		},
		rules: []string{"-A -t [2001:db8::1]:443 -s wlc", "-a -t [2001:db8::1]:443 -r [2001:db8::11]:8443 -m -w 1"},
	},
	{
		name: "udp, one packet, and sctp",
		rows: []row{
			{service: "udp:192.0.2.8:53", set: "RowStatus i createAndGo; OnePacket i true; Scheduler s rr", want: "Protocol 3; OnePacket 1; OperStatus 1"},
			{service: "udp:192.0.2.8:53", server: "10.0.0.11:53", set: "RowStatus i createAndGo", want: "OperStatus 1"},
			{service: "sctp:192.0.2.8:3868", set: "RowStatus i createAndGo", want: "Protocol 4; OnePacket 2; OperStatus 1"},
			{service: "sctp:192.0.2.8:3868", server: "10.0.0.11:3868", set: "RowStatus i createAndGo", want: "OperStatus 1"},
		},
		rules: []string{
			"-A -u 192.0.2.8:53 -s rr -o", "-a -u 192.0.2.8:53 -r 10.0.0.11:53 -m -w 1",
			"-A --sctp-service 192.0.2.8:3868 -s wlc", "-a --sctp-service 192.0.2.8:3868 -r 10.0.0.11:3868 -m -w 1",
		},
	},
	{
		name: "persistence, port 0, netmask and engine",
		rows: []row{
			{service: "tcp:192.0.2.9:0", set: "RowStatus i createAndGo; PersistenceTimeout u 300", want: "Port 0; PersistenceTimeout 300; PersistenceNetmask 32"},
			{service: "tcp:192.0.2.9:80", set: "RowStatus i createAndGo; PersistenceTimeout u 360; PersistenceNetmask u 24", want: "PersistenceTimeout 360; PersistenceNetmask 24"},
			{service: "tcp:192.0.2.9:81", set: "RowStatus i createAndGo; PersistenceTimeout u 360; PersistenceNetmask u 0", want: "PersistenceNetmask 32"},
			{service: "tcp:[2001:db8::9]:80", set: "RowStatus i createAndGo; PersistenceTimeout u 1; PersistenceNetmask u 64", want: "PersistenceTimeout 1; PersistenceNetmask 64"},
			{service: "udp:192.0.2.9:5060", set: "RowStatus i createAndGo; PersistenceTimeout u 2147483; PersistenceEngine s sip", want: "PersistenceTimeout 2147483; PersistenceEngine sip"},
		},
		rules: []string{
			"-A -t 192.0.2.9:0 -s wlc -p 300",
			"-A -t 192.0.2.9:80 -s wlc -p 360 -M 255.255.255.0",
			"-A -t 192.0.2.9:81 -s wlc -p 360",
			"-A -t [2001:db8::9]:80 -s wlc -p 1 -M 64",
			"-A -u 192.0.2.9:5060 -s wlc -p 2147483 --pe sip",
		},
	},
	{
		name: "thresholds",
		rows: []row{
			{service: "tcp:192.0.2.10:80", set: "RowStatus i createAndGo"},
			{service: "tcp:192.0.2.10:80", server: "10.0.0.11:80", set: "RowStatus i createAndGo; UpperThreshold u 1000; LowerThreshold u 800", want: "UpperThreshold 1000; LowerThreshold 800; OperStatus 1"},
			{service: "tcp:192.0.2.10:80", server: "10.0.0.12:80", set: "RowStatus i createAndGo; UpperThreshold u 4294967295; LowerThreshold u 4294967295", want: "UpperThreshold 4294967295; LowerThreshold 4294967295"},
			{service: "tcp:192.0.2.10:80", server: "10.0.0.13:80", set: "RowStatus i createAndGo; UpperThreshold u 5", want: "UpperThreshold 5; LowerThreshold 0"},
		},
		rules: []string{
			"-A -t 192.0.2.10:80 -s wlc",
			"-a -t 192.0.2.10:80 -r 10.0.0.11:80 -m -w 1 -x 1000 -y 800",
			"-a -t 192.0.2.10:80 -r 10.0.0.12:80 -m -w 1 -x 4294967295 -y 4294967295",
			"-a -t 192.0.2.10:80 -r 10.0.0.13:80 -m -w 1 -x 5",
		},
	},
	{
		name: "flags of sh and mh",
		rows: []row{
			{service: "tcp:192.0.2.11:80", set: "RowStatus i createAndGo; Scheduler s sh; SchedulerFlags b 0,1", want: "Scheduler sh; SchedulerFlags C0 0 1"},
			{service: "tcp:192.0.2.11:81", set: "RowStatus i createAndGo; Scheduler s mh; SchedulerFlags x 40", want: "Scheduler mh; SchedulerFlags 40 1"},
			{service: "tcp:192.0.2.11:82", set: "RowStatus i createAndGo; Scheduler s mh; SchedulerFlags x 80", want: "Scheduler mh; SchedulerFlags 80 0"},
			{service: "tcp:192.0.2.11:83", set: "RowStatus i createAndGo; Scheduler s mh; SchedulerFlags x ", want: "SchedulerFlags 00"},
		},
		rules: []string{
			"-A -t 192.0.2.11:80 -s sh -b sh-fallback,sh-port",
			"-A -t 192.0.2.11:81 -s mh -b mh-port",
			"-A -t 192.0.2.11:82 -s mh -b mh-fallback",
			"-A -t 192.0.2.11:83 -s mh",
		},
	},
	{
		name: "drained and down",
		rows: []row{
			{service: "tcp:192.0.2.12:80", set: "RowStatus i createAndGo", want: "OperStatus 1; ServersUp 1; Servers 3"},
			{service: "tcp:192.0.2.12:80", server: "10.0.0.11:80", set: "RowStatus i createAndGo; Weight u 9; AdminStatus i drain", want: "Weight 9; OperWeight 0; AdminStatus 2; WeightReason drained by the administrator", later: "OperStatus 4"},
			{service: "tcp:192.0.2.12:80", server: "10.0.0.12:80", set: "RowStatus i createAndGo; Weight u 9; AdminStatus i down", want: "Weight 9; OperWeight 0; AdminStatus 3; OperStatus 6"},
			{service: "tcp:192.0.2.12:80", server: "10.0.0.13:80", set: "RowStatus i createAndGo; Weight u 9; AdminStatus i up", want: "Weight 9; OperWeight 9; OperStatus 1"},
			{service: "tcp:192.0.2.12:81", set: "RowStatus i createAndGo; AdminStatus i drain", want: "AdminStatus 2", later: "OperStatus 4"},
			{service: "tcp:192.0.2.12:81", server: "10.0.0.11:80", set: "RowStatus i createAndGo; Weight u 9", want: "AdminStatus 1; Weight 9; OperWeight 0", later: "OperStatus 4"},
			{service: "tcp:192.0.2.12:82", set: "RowStatus i createAndGo; AdminStatus i down", want: "AdminStatus 3; OperStatus 6"},
			{service: "tcp:192.0.2.12:82", server: "10.0.0.11:80", set: "RowStatus i createAndGo", want: "OperWeight 0; OperStatus 6"},
		},
		rules: []string{
			"-A -t 192.0.2.12:80 -s wlc",
			"-a -t 192.0.2.12:80 -r 10.0.0.11:80 -m -w 0",
			"-a -t 192.0.2.12:80 -r 10.0.0.13:80 -m -w 9",
			"-A -t 192.0.2.12:81 -s wlc",
			"-a -t 192.0.2.12:81 -r 10.0.0.11:80 -m -w 0",
		},
	},
}

func TestCreate(t *testing.T) {
	d := director.Start(t, director.Options{})
	for _, tc := range creations {
		t.Run(tc.name, func(t *testing.T) {
			mustSet(t, d, varbinds(tc.rows)...)
			expect(t, d, tc.rows...)
			expectRules(t, d, tc.rules...)
			expectLater(t, d, tc.rows...)
			// One SET destroys the services, and with them all their servers.
			var destroy []string
			for _, r := range tc.rows {
				if r.server == "" {
					destroy = append(destroy, r.varbind("RowStatus i destroy"))
				}
			}
			mustSet(t, d, destroy...)
			gone(t, d)
		})
	}
}

// TestOrder sends the same SET with its varbinds turned round: the order makes
// no difference.
func TestOrder(t *testing.T) {
	d := director.Start(t, director.Options{})
	tc := creations[0]
	vbs := varbinds(tc.rows)
	slices.Reverse(vbs)
	mustSet(t, d, vbs...)
	expect(t, d, tc.rows...)
	expectRules(t, d, tc.rules...)
}

// TestChange changes all that can be changed while rows are active.
func TestChange(t *testing.T) {
	d := director.Start(t, director.Options{})
	service := row{service: "udp:192.0.2.1:53", set: "RowStatus i createAndGo"}
	server := row{service: "udp:192.0.2.1:53", server: "10.0.0.11:53", set: "RowStatus i createAndGo"}
	mustSet(t, d, varbinds([]row{service, server})...)
	service.set = "Name s Names: a=b; Scheduler s sh; SchedulerFlags x C0; OnePacket i true; PersistenceTimeout u 60; PersistenceNetmask u 16; AdminStatus i up"
	service.want = "Name Names: a=b; Scheduler sh; SchedulerFlags C0 0 1; OnePacket 1; PersistenceTimeout 60; PersistenceNetmask 16; RowStatus 1; OperStatus 1; ServersUp 1"
	server.set = "Forwarding i tunnel; Weight u 77; UpperThreshold u 20; LowerThreshold u 10; TunnelType i gre; TunnelFlags b 0"
	server.want = "Forwarding 3; Weight 77; OperWeight 77; UpperThreshold 20; LowerThreshold 10; TunnelType 3; TunnelFlags 80 0; RowStatus 1; OperStatus 1"
	mustSet(t, d, varbinds([]row{server, service})...)
	expect(t, d, service, server)
	expectRules(t, d,
		"-A -u 192.0.2.1:53 -s sh -p 60 -M 255.255.0.0 -o -b sh-fallback,sh-port",
		"-a -u 192.0.2.1:53 -r 10.0.0.11:53 -i -w 77 --tun-type gre --tun-csum -x 20 -y 10")
	for _, tc := range []struct{ set, want, rule string }{
		{"Weight u 256", "Weight 256; OperWeight 256", "-a -u 192.0.2.1:53 -r 10.0.0.11:53 -i -w 256 --tun-type gre --tun-csum -x 20 -y 10"},
		{"AdminStatus i drain", "Weight 256; OperWeight 0", "-a -u 192.0.2.1:53 -r 10.0.0.11:53 -i -w 0 --tun-type gre --tun-csum -x 20 -y 10"},
		{"AdminStatus i up; Weight u 1", "Weight 1; OperWeight 1; OperStatus 1", "-a -u 192.0.2.1:53 -r 10.0.0.11:53 -i -w 1 --tun-type gre --tun-csum -x 20 -y 10"},
	} {
		server.set, server.want = tc.set, tc.want
		mustSet(t, d, server.varbinds()...)
		expect(t, d, server)
		expectRules(t, d, "-A -u 192.0.2.1:53 -s sh -p 60 -M 255.255.0.0 -o -b sh-fallback,sh-port", tc.rule)
	}
}
