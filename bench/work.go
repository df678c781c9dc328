package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// work is something that managers do. do returns how many varbinds were
// answered; amount is how much to do: columns, walks, requests, parts. What is
// done to prepare it is not measured.
type work struct {
	name    string
	do      func(s *stack, m *manager, amount int) (varbinds int, err error)
	prepare func(s *stack, m *manager, amount int) error
}

var (
	walk1     = work{name: "walk, 1 column", do: walkColumns}
	walk10    = work{name: "walk, 10 columns", do: walkTable}
	get1      = work{name: "GET 1", do: get}
	set1      = work{name: "SET 1", do: func(s *stack, m *manager, n int) (int, error) { return set(s, m, n, 1) }}
	setLong   = work{name: "SET 1, sustained", do: set1.do}
	set20     = work{name: "SET 20", do: func(s *stack, m *manager, n int) (int, error) { return set(s, m, n, 20) }}
	set20Long = work{name: "SET 20, sustained", do: set20.do}
	eight     = work{name: "eight managers", do: walkTogether}
	part1     = work{name: "walk, 1 column", do: walkParts([]oid{weight}, repetitions1)}
	part10    = work{name: "walk, 10 columns", do: walkParts(columns, repetitions10)}
	watch     = work{name: "one GET every 50 ms", do: poll}
	inform    = work{name: "inform", do: release, prepare: gather}
)

// repetitions of one GETBULK. net-snmp's master makes one AgentX PDU of each
// repetition.
const (
	repetitions1  = 50
	repetitions10 = 10
)

// walkColumns walks one column after another from end to end.
func walkColumns(s *stack, m *manager, n int) (int, error) {
	total := 0
	for i := range n {
		got, err := walk(m, columns[(s.cursor+i)%len(columns):][:1], nil, repetitions1, len(s.rows), nil)
		total += got
		if err != nil {
			return total, err
		}
	}
	s.cursor += n
	return total, nil
}

// walkTable walks all columns side by side.
func walkTable(s *stack, m *manager, n int) (int, error) {
	total := 0
	for range n {
		got, err := walk(m, columns, nil, repetitions10, len(s.rows), nil)
		total += got
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// rowsPerPart is how much of a large table one unit of walkParts walks.
const rowsPerPart = 400

// walkParts walks parts of a table side by side, each from another row on.
func walkParts(columns []oid, repetitions int32) func(*stack, *manager, int) (int, error) {
	return func(s *stack, m *manager, n int) (int, error) {
		const stride = 7919
		total := 0
		for range n {
			s.cursor += stride
			from := s.cursor % (len(s.rows) - rowsPerPart)
			got, err := walk(m, columns, s.rows[from].index(), repetitions, rowsPerPart, nil)
			total += got
			if err != nil {
				return total, err
			}
		}
		return total, nil
	}
}

// visitor is told of every varbind of a walk, with the position of its column.
type visitor func(column int, name []byte, tag byte, value []byte)

// walk reads columns side by side, from the row after an index on, until their
// end or the wanted number of rows. It fails unless it gets exactly that many
// rows of each, in ascending order.
func walk(m *manager, columns []oid, from oid, repetitions int32, rows int, visit visitor) (int, error) {
	prefixes := make([][]byte, len(columns))
	at := make([][]byte, len(columns))
	for i, c := range columns {
		prefixes[i] = c.ber()
		at[i] = c.child(from...).ber()
	}
	total := 0
	for got := 0; ; {
		m.begin()
		for _, name := range at {
			m.add(name, null)
		}
		vbs, err := m.send(tagBulkRequest, 0, repetitions)
		if err != nil {
			return total, err
		}
		for i := 0; ; i = (i + 1) % len(columns) {
			name, tag, value, ok := vbs.next()
			if !ok {
				if i != 0 {
					return total, errors.New("an answer ends in the middle of a row")
				}
				break
			}
			if tag == tagEndOfMIBView || !bytes.HasPrefix(name, prefixes[i]) {
				if got != rows {
					return total, fmt.Errorf("%d rows in place of %d", got, rows)
				}
				return total, nil
			}
			if bytes.Compare(name, at[i]) <= 0 { // no sub-identifier of an index has more than one octet
				return total, errors.New("the walk goes backwards")
			}
			at[i] = append(at[i][:0], name...)
			if visit != nil {
				visit(i, name, tag, value)
			}
			total++
			if i == len(columns)-1 {
				got++
				if from != nil && got == rows {
					return total, nil
				}
			}
		}
	}
}

// poll reads one object again and again with pauses: what it costs beyond a
// GET is what the agent does by itself while it is looked at.
func poll(s *stack, m *manager, n int) (int, error) {
	for range n {
		if _, err := get(s, m, 1); err != nil {
			return 0, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return n, nil
}

// get reads the weight of one row after another, each by a request of its own.
func get(s *stack, m *manager, n int) (int, error) {
	const stride = 37
	for range n {
		s.cursor += stride
		m.begin()
		m.add(weight.child(s.rows[s.cursor%len(s.rows)].index()...).ber(), null)
		vbs, err := m.send(tagGetRequest, 0, 0)
		if err != nil {
			return 0, err
		}
		if _, tag, _, _ := vbs.next(); tag != tagUnsigned32 {
			return 0, fmt.Errorf("the answer to a GET has the tag %#x", tag)
		}
	}
	return n, nil
}

// set changes the weights of so many rows by each request, always to another
// value.
func set(s *stack, m *manager, n, rows int) (int, error) {
	for range n {
		s.set = s.set%maxWeight + 1
		m.begin()
		for range rows {
			s.cursor++
			m.add(weight.child(s.rows[s.cursor%len(s.rows)].index()...).ber(), unsigned32(s.set))
		}
		if _, err := m.send(tagSetRequest, 0, 0); err != nil {
			return 0, err
		}
	}
	m.begin()
	m.add(weight.child(s.rows[s.cursor%len(s.rows)].index()...).ber(), null)
	vbs, err := m.send(tagGetRequest, 0, 0)
	if err != nil {
		return 0, err
	}
	if _, _, v, _ := vbs.next(); uint32(number(v)) != s.set {
		return 0, fmt.Errorf("a weight is %d after a SET to %d", number(v), s.set)
	}
	return n * rows, nil
}

// gather lets so many notifications wait, each about another row, because of the
// limit of the rate. The C peer has no queue: it makes them when they are
// wanted.
func gather(s *stack, m *manager, n int) error {
	if !s.isLCMS() {
		s.told += n
		return nil
	}
	// What there was to tell of the making of the rows goes first.
	if err := limit(m, 0, 0); err != nil {
		return err
	}
	err := within(time.Minute, func() error {
		m.begin()
		m.add(notificationsQueued.ber(), null)
		m.add(notificationsSent.ber(), null)
		vbs, err := m.send(tagGetRequest, 0, 0)
		if err != nil {
			return err
		}
		_, _, queued, _ := vbs.next()
		_, _, sent, _ := vbs.next()
		came, err := s.sink.count()
		if err == nil && (number(queued) > 0 || number(sent) != came) {
			err = fmt.Errorf("%d notifications wait, %d of %d have come", number(queued), came, number(sent))
		}
		s.told = came + n
		return err
	})
	if err != nil {
		return err
	}
	const serverStates = 0x80
	if err := limit(m, 1, serverStates); err != nil {
		return err
	}
	s.down = !s.down
	status := adminUp
	if s.down {
		status = adminDown
	}
	for part := range slices.Chunk(s.rows[:n], 100) {
		m.begin()
		for _, r := range part {
			m.add(adminStatus.child(r.index()...).ber(), integer(status))
		}
		if _, err := m.send(tagSetRequest, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// limit sets how many notifications lcms-subagent sends in a second, 0 for no
// limit, and which: the first octet of the bits.
func limit(m *manager, rate uint32, kinds byte) error {
	m.begin()
	m.add(notificationRate.ber(), unsigned32(rate))
	m.add(notificationEnable.ber(), tlv(nil, tagOctetString, []byte{kinds, 0}))
	_, err := m.send(tagSetRequest, 0, 0)
	return err
}

// release lets them go, and waits until all have come.
func release(s *stack, m *manager, n int) (int, error) {
	before, err := s.sink.count()
	if err != nil {
		return 0, err
	}
	m.begin()
	if s.isLCMS() {
		m.add(notificationRate.ber(), unsigned32(0))
	} else {
		m.add(trigger.ber(), integer(int32(n)))
	}
	if _, err := m.send(tagSetRequest, 0, 0); err != nil {
		return 0, err
	}
	return s.told - before, s.sink.await(s.told)
}

// walkTogether lets eight managers walk all columns at once, one column after
// another.
func walkTogether(s *stack, _ *manager, n int) (int, error) {
	const managers = 8
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int
		errs  []error
	)
	for i := range managers {
		wg.Go(func() {
			got := 0
			m, err := dial(s.port, patience)
			if err == nil {
				defer m.close()
				for j := 0; j < n*len(columns) && err == nil; j++ {
					var k int
					k, err = walk(m, columns[(i+j)%len(columns):][:1], nil, repetitions1, len(s.rows), nil)
					got += k
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total += got
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return total, errors.Join(errs...)
}
