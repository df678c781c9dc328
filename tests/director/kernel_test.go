package director

import (
	"slices"
	"testing"
)

func TestComplete(t *testing.T) {
	const saved = `-A -t 192.0.2.1:80 -s wlc
-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 1
-a -t 192.0.2.1:80 -r 127.0.0.1:80 -g -w 1
-A -f 7 -6 -s wlc
-a -f 7 -6 -r [2001:db8::1]:0 -i -w 1 --tun-type ipip
`
	const forwards = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.1:80 wlc
  -> 10.0.0.2:80                  Route   1      0          0         
  -> 127.0.0.1:80                 Local   1      0          0         
FWM  7 IPv6 wlc
  -> [2001:db8::1]:0              Tunnel  1      0          0         
`
	const thresholds = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  192.0.2.1:80 wlc
  -> 10.0.0.2:80                  20         10         0          0         
  -> 127.0.0.1:80                 0          0          0          0         
FWM  7 IPv6 wlc
  -> [2001:db8::1]:0              3          0          0          0         
`
	want := []string{
		"-A -t 192.0.2.1:80 -s wlc",
		"-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 1 -x 20 -y 10",
		"-a -t 192.0.2.1:80 -r 127.0.0.1:80 -l -w 1",
		"-A -f 7 -6 -s wlc",
		"-a -f 7 -6 -r [2001:db8::1]:0 -i -w 1 --tun-type ipip -x 3",
	}
	if got := complete(saved, forwards, thresholds); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
