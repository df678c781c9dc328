package snmp

// operation is the tag of a PDU (RFC 3416 section 3).
type operation byte

const (
	opGet      operation = 0xa0
	opResponse operation = 0xa2
	opSet      operation = 0xa3
	opBulk     operation = 0xa5
	opReport   operation = 0xa8
)

// Request is what an agent is asked. It may be sent many times, to many agents,
// from many goroutines; what does not change is encoded once.
type Request struct {
	op          operation
	repetitions uint32
	repeatFrom  int // of a GETBULK: so many objects are asked for once
	vbs         []Varbind
	encoded     []byte // the list of varbinds
	names       [][]byte
}

// Get asks for objects.
func Get(names ...OID) *Request { return newRequest(opGet, unset(names)) }

// Bulk asks for what follows some objects, up to repetitions times for each:
// the rows of a table, many columns side by side.
func Bulk(repetitions uint32, names ...OID) *Request {
	r := newRequest(opBulk, unset(names))
	r.repetitions = repetitions
	return r
}

// Set sets objects, all or none.
func Set(vbs ...Varbind) *Request { return newRequest(opSet, vbs) }

func unset(names []OID) []Varbind {
	vbs := make([]Varbind, len(names))
	for i, n := range names {
		vbs[i] = Varbind{n, Value{Type: TypeNull}}
	}
	return vbs
}

func newRequest(op operation, vbs []Varbind) *Request {
	r := &Request{op: op, vbs: vbs, names: make([][]byte, len(vbs))}
	for i, vb := range vbs {
		r.names[i] = appendOID(nil, vb.Name)
	}
	r.encoded = appendVarbinds(nil, r.names, vbs)
	return r
}

// Len returns the number of objects of the request.
func (r *Request) Len() int { return len(r.vbs) }

// Size returns about how many octets the request has on the wire.
func (r *Request) Size() int { return len(r.encoded) + 64 }
