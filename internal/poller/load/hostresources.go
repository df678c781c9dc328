package load

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/lcms-project/lcms/internal/poller/snmp"
)

var (
	hrProcessorLoad = snmp.MustOID("1.3.6.1.2.1.25.3.3.1.2")
	hrStorageType   = snmp.MustOID("1.3.6.1.2.1.25.2.3.1.2")
	hrStorageDescr  = snmp.MustOID("1.3.6.1.2.1.25.2.3.1.3")
	hrStorageUnits  = snmp.MustOID("1.3.6.1.2.1.25.2.3.1.4")
	hrStorageSize   = snmp.MustOID("1.3.6.1.2.1.25.2.3.1.5")
	hrStorageUsed   = snmp.MustOID("1.3.6.1.2.1.25.2.3.1.6")
	hrStorageRAM    = snmp.MustOID("1.3.6.1.2.1.25.2.1.2")
)

const (
	maxProcessors = 512
	maxStorage    = 256
)

// hrShape is which rows of HOST-RESOURCES-MIB tell of processors and memory.
type hrShape struct {
	request    *snmp.Request
	processors int
	memory     bool // the next row is that of the memory: units, size, used
	caches     int  // so many rows of net-snmp follow: used, of memory that can be had back
}

// errShape says that the rows are not there any more.
var errShape = errors.New("rows of HOST-RESOURCES-MIB have gone")

// discover finds the rows.
func discover(ctx context.Context, via snmp.Asker, to snmp.Agent) (*hrShape, error) {
	processors, err := snmp.Table(ctx, via, to, maxProcessors, hrProcessorLoad)
	if err != nil {
		return nil, err
	}
	if len(processors) == 0 {
		return nil, ErrNoLoad
	}
	shape := &hrShape{}
	var names []snmp.OID
	for _, r := range processors {
		names = append(names, hrProcessorLoad.Child(r.Index...))
	}
	shape.processors = len(names)
	storage, err := snmp.Table(ctx, via, to, maxStorage, hrStorageType, hrStorageDescr, hrStorageSize)
	if err != nil {
		return nil, err
	}
	var largest *snmp.Row
	for i, r := range storage {
		if slices.Equal(r.Values[0].Name, hrStorageRAM) && (largest == nil || r.Values[2].Int() > largest.Values[2].Int()) {
			largest = &storage[i]
		}
	}
	if largest != nil {
		shape.memory = true
		for _, column := range []snmp.OID{hrStorageUnits, hrStorageSize, hrStorageUsed} {
			names = append(names, column.Child(largest.Index...))
		}
		for _, r := range storage {
			if d := string(r.Values[1].Bytes); d == "Memory buffers" || d == "Cached memory" {
				names = append(names, hrStorageUsed.Child(r.Index...))
				shape.caches++
			}
		}
	}
	shape.request = snmp.Get(names...)
	return shape, nil
}

func (s *hrShape) poll(ctx context.Context, via snmp.Asker, to snmp.Agent) (Load, error) {
	vbs, err := via.Do(ctx, to, s.request)
	if err != nil {
		return Load{}, err
	}
	sum := 0.0
	for _, vb := range vbs[:s.processors] {
		if !vb.Value.IsNumber() {
			return Load{}, errShape
		}
		sum += float64(min(100, max(0, vb.Value.Int()))) / 100
	}
	l := Load{At: time.Now(), Source: "HOST-RESOURCES-MIB", CPU: sum / float64(s.processors), LoadAverage: math.NaN()}
	if s.memory {
		row := vbs[s.processors:]
		units, size, used := max(0, row[0].Value.Int()), max(0, row[1].Value.Int()), max(0, row[2].Value.Int())
		for _, vb := range row[3:] {
			used -= max(0, vb.Value.Int())
		}
		l.MemoryTotal = uint64(size) * uint64(units) / 1024
		l.MemoryAvailable = uint64(size-min(size, max(0, used))) * uint64(units) / 1024
	}
	return l, nil
}
