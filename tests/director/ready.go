package director

import (
	"cmp"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/lcms-project/lcms/mibs"
)

const (
	sysUpTime   = ".1.3.6.1.2.1.1.3.0"
	kernelState = ".1.1.18.0" // lcmsDirectorKernelState.0, below the root
)

// ask returns the value of one object, nil if it is not there. It is for who
// waits until something is ready: in the lab, where starting a tool takes a
// third of a second, to look often by one would keep those busy that are waited
// for. What is tested is asked by the tools.
func (d *Director) ask(oid string, limit time.Duration) (any, error) {
	s := &gosnmp.GoSNMP{Target: loopback, Port: uint16(d.port), Version: gosnmp.Version2c, Community: d.Community(), Timeout: limit}
	if err := s.Connect(); err != nil {
		return nil, err
	}
	defer s.Conn.Close()
	answer, err := s.Get([]string{oid})
	if err != nil {
		return nil, err
	}
	return answer.Variables[0].Value, nil
}

// root returns the OID of LCMS-MIB.
func (d *Director) root() string { return cmp.Or(d.opts.RootOID, mibs.DefaultRoot().String()) }
