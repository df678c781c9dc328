package memory

import (
	"time"

	"github.com/lcms-project/lcms/internal/lvs"
)

// failures are what a test has ordered to go wrong.
type failures struct {
	applies map[lvs.Operation][]error
	reads   []error
	delay   time.Duration
}

// FailNext makes the next operation of the kind fail with err and do nothing;
// kind 0 stands for any. Called several times, as many operations fail, in
// order.
func (k *Kernel) FailNext(kind lvs.Operation, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failures.applies == nil {
		k.failures.applies = make(map[lvs.Operation][]error)
	}
	k.failures.applies[kind] = append(k.failures.applies[kind], err)
}

// FailRead makes the next reading fail with err.
func (k *Kernel) FailRead(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures.reads = append(k.failures.reads, err)
}

// DelayReads makes each reading from now on wait for d before it begins.
func (k *Kernel) DelayReads(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures.delay = d
}

func (f *failures) apply(kind lvs.Operation) error {
	for _, kind := range [2]lvs.Operation{kind, 0} {
		if queue := f.applies[kind]; len(queue) > 0 {
			f.applies[kind] = queue[1:]
			return queue[0]
		}
	}
	return nil
}

func (f *failures) read() (time.Duration, error) {
	if len(f.reads) == 0 {
		return f.delay, nil
	}
	err := f.reads[0]
	f.reads = f.reads[1:]
	return f.delay, err
}
