package main

import (
	"fmt"
	"net"

	"github.com/gosnmp/gosnmp"
	"golang.org/x/net/ipv4"
)

// objects are those that the monitor asks of net-snmp.
var objects = []string{
	".1.3.6.1.2.1.1.3.0",
	".1.3.6.1.4.1.2021.11.50.0", ".1.3.6.1.4.1.2021.11.51.0", ".1.3.6.1.4.1.2021.11.52.0",
	".1.3.6.1.4.1.2021.11.53.0", ".1.3.6.1.4.1.2021.11.54.0", ".1.3.6.1.4.1.2021.11.64.0",
	".1.3.6.1.4.1.2021.10.1.5.1",
	".1.3.6.1.4.1.2021.4.5.0", ".1.3.6.1.4.1.2021.4.6.0", ".1.3.6.1.4.1.2021.4.14.0", ".1.3.6.1.4.1.2021.4.15.0", ".1.3.6.1.4.1.2021.4.27.0",
}

// serveAgents answers for all addresses of loopback at one port, which it
// prints, from the address that was asked.
func serveAgents() error {
	udp, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	_ = udp.SetReadBuffer(8 << 20) // what the system allows
	conn := ipv4.NewPacketConn(udp)
	if err := conn.SetControlMessage(ipv4.FlagDst, true); err != nil {
		return err
	}
	answer, err := response()
	if err != nil {
		return err
	}
	fmt.Println(udp.LocalAddr().(*net.UDPAddr).Port)
	b := make([]byte, 1500)
	decoder := gosnmp.GoSNMP{Version: gosnmp.Version2c}
	for {
		n, control, from, err := conn.ReadFrom(b)
		if err != nil {
			return err
		}
		p, err := decoder.SnmpDecodePacket(b[:n])
		if err != nil || len(p.Variables) != len(objects) {
			continue
		}
		answer.RequestID = p.RequestID
		out, err := answer.MarshalMsg()
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(out, &ipv4.ControlMessage{Src: control.Dst}, from); err != nil {
			return err
		}
	}
}

// response is what every agent answers.
func response() (*gosnmp.SnmpPacket, error) {
	p := &gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: community, PDUType: gosnmp.GetResponse}
	for i, name := range objects {
		v := gosnmp.SnmpPDU{Name: name, Type: gosnmp.Integer, Value: 4000000 + i}
		switch {
		case i == 0:
			v.Type, v.Value = gosnmp.TimeTicks, uint32(123456789)
		case i < 7:
			v.Type, v.Value = gosnmp.Counter32, uint32(3000000000+i)
		}
		p.Variables = append(p.Variables, v)
	}
	_, err := p.MarshalMsg()
	return p, err
}
