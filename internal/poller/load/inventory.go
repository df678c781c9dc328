package load

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lcms-project/lcms/internal/poller/snmp"
)

// Inventory is what an agent tells of the machine. What is not known is empty.
type Inventory struct {
	Description   string // sysDescr
	CPUType       string // how many processors of what kind
	InterfaceType string // the fastest interface that is up
	MemorySize    uint32 // MiB
}

var (
	inventoryRequest = snmp.Get(
		snmp.MustOID("1.3.6.1.2.1.1.1.0"),      // sysDescr
		snmp.MustOID("1.3.6.1.4.1.2021.4.5.0"), // memTotalReal, KiB
		snmp.MustOID("1.3.6.1.2.1.25.2.2.0"),   // hrMemorySize, KiB
	)
	hrDeviceType      = snmp.MustOID("1.3.6.1.2.1.25.3.2.1.2")
	hrDeviceDescr     = snmp.MustOID("1.3.6.1.2.1.25.3.2.1.3")
	hrDeviceProcessor = snmp.MustOID("1.3.6.1.2.1.25.3.1.3")
	ifDescr           = snmp.MustOID("1.3.6.1.2.1.2.2.1.2")
	ifType            = snmp.MustOID("1.3.6.1.2.1.2.2.1.3")
	ifSpeed           = snmp.MustOID("1.3.6.1.2.1.2.2.1.5")
	ifOperStatus      = snmp.MustOID("1.3.6.1.2.1.2.2.1.8")
	ifHighSpeed       = snmp.MustOID("1.3.6.1.2.1.31.1.1.1.15")
)

const (
	loopback      = 24 // softwareLoopback of IANAifType
	operUp        = 1
	maxDevices    = 512
	maxInterfaces = 100
	maxText       = 64 // octets that LCMS-MIB takes of a type
)

// Survey asks an agent for the inventory of its machine.
func Survey(ctx context.Context, via snmp.Asker, to snmp.Agent) (Inventory, error) {
	vbs, err := via.Do(ctx, to, inventoryRequest)
	if err != nil {
		return Inventory{}, err
	}
	var inv Inventory
	inv.Description = clean(vbs[0].Value.Bytes)
	for _, vb := range vbs[1:] {
		if vb.Value.IsNumber() && vb.Value.Int() > 0 && inv.MemorySize == 0 {
			inv.MemorySize = uint32(min(vb.Value.Num/1024, 1<<32-1))
		}
	}
	devices, err := snmp.Table(ctx, via, to, maxDevices, hrDeviceType, hrDeviceDescr)
	if err != nil {
		return inv, err
	}
	processors, kind := 0, ""
	for _, d := range devices {
		if slices.Equal(d.Values[0].Name, hrDeviceProcessor) {
			if processors++; kind == "" {
				kind = clean(d.Values[1].Bytes)
			}
		}
	}
	switch {
	case processors > 1:
		inv.CPUType = fmt.Sprintf("%d x %s", processors, kind)
	case processors == 1:
		inv.CPUType = kind
	default: // Linux name release version machine
		words := strings.Fields(inv.Description)
		if len(words) > 1 {
			inv.CPUType = words[len(words)-1]
		}
	}
	interfaces, err := snmp.Table(ctx, via, to, maxInterfaces, ifDescr, ifType, ifSpeed, ifOperStatus, ifHighSpeed)
	if err != nil {
		return inv, err
	}
	fastest := int64(-1)
	for _, i := range interfaces {
		speed := i.Values[4].Int() // Mbit/s
		if speed == 0 {
			speed = i.Values[2].Int() / 1e6
		}
		if i.Values[1].Int() != loopback && i.Values[3].Int() == operUp && speed > fastest {
			fastest = speed
			inv.InterfaceType = clean(i.Values[0].Bytes)
			if speed > 0 {
				inv.InterfaceType += fmt.Sprintf(" %d Mbit/s", speed)
			}
		}
	}
	inv.CPUType, inv.InterfaceType = cut(inv.CPUType), cut(inv.InterfaceType)
	return inv, nil
}

// clean makes one line of printable text.
func clean(b []byte) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(b), " "), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}
