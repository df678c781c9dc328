package ipvs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cloudflare/ipvs"

	"github.com/lcms-project/lcms/internal/ipvs/rules"
	"github.com/lcms-project/lcms/internal/lvs"
)

// Options say which kernel is meant. The zero value is that of the network
// namespace the process is in.
type Options struct {
	Netns string       // path of a network namespace, such as /run/netns/d1; "" = the process's own
	Log   *slog.Logger // nil = none
}

// Kernel is the IPVS of one network namespace. Its methods may be called from
// several goroutines at once; one call goes on at a time.
type Kernel struct {
	netns   string
	log     *slog.Logger
	modules modules

	mu   sync.Mutex
	conn *conn                                 // nil until needed, and after any failure
	last map[lvs.ServiceKey]*lvs.ActualService // the reading before
}

// New returns the kernel that the options name. It opens nothing: the first
// call of another method does, and after a failure the next one opens anew.
func New(o Options) *Kernel {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Kernel{netns: o.Netns, log: o.Log, modules: systemModules()}
}

// Close gives back what the kernel holds open. It may be used again after it.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drop()
}

// Read dumps the whole table, in no particular order. The kernel gives it out
// in parts and has no lock over them: while another program adds or deletes,
// an object can be missing or be gone already, never be there twice.
//
// Counters of services and servers, and all rates, are up to two seconds old,
// which is when the kernel sums them up.
func (k *Kernel) Read(ctx context.Context) (*lvs.Actual, error) {
	var a *lvs.Actual
	err := k.do(ctx, lvs.Op{}, func(c *conn) (err error) {
		a, err = k.read(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (k *Kernel) read(ctx context.Context, c *conn) (*lvs.Actual, error) {
	info, err := c.client.Info()
	if err != nil {
		return nil, err
	}
	timeouts, err := c.client.Config()
	if err != nil {
		return nil, err
	}
	services, err := k.readServices(ctx, c)
	if err != nil {
		return nil, err
	}
	daemons, err := c.daemons()
	if err != nil {
		return nil, err
	}
	totals, err := c.readTotals()
	if err != nil {
		return nil, err
	}
	return &lvs.Actual{
		At:                  time.Now(),
		Version:             fmt.Sprintf("%d.%d.%d", info.Version[0], info.Version[1], info.Version[2]),
		ConnectionTableSize: info.ConnectionTableSize,
		Timeouts:            lvs.Timeouts{TCP: timeouts.TCPTimeout, TCPFin: timeouts.TCPFinTimeout, UDP: timeouts.UDPTimeout},
		Services:            services,
		Daemons:             daemons,
		Totals:              totals,
	}, nil
}

// readServices returns what the last reading has where that is still so: a table
// that nobody uses needs memory once.
func (k *Kernel) readServices(ctx context.Context, c *conn) ([]*lvs.ActualService, error) {
	found, err := c.services(k.log)
	if err != nil {
		return nil, err
	}
	services := make([]*lvs.ActualService, 0, len(found))
	read := make(map[lvs.ServiceKey]*lvs.ActualService, len(found))
	for _, s := range found {
		if read[s.Key] != nil { // given out twice
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.Servers, err = c.servers(s.Key, k.log)
		switch {
		case errors.Is(err, syscall.ESRCH):
			continue // deleted since
		case err != nil:
			return nil, err
		}
		service := k.last[s.Key]
		if service == nil || !service.Same(s) {
			service = s
		}
		read[s.Key] = service
		services = append(services, service)
	}
	k.last = read
	return services, nil
}

// Apply does one operation. Errors are refusals of package lvs.
func (k *Kernel) Apply(ctx context.Context, op lvs.Op) error {
	if errno := rules.Ignored(op); errno != 0 {
		return rules.Translate(op, errno)
	}
	return k.do(ctx, op, func(c *conn) error {
		switch op.Do {
		case lvs.AddService:
			return c.setService(cmdNewService, rules.Normal(*op.Service))
		case lvs.EditService:
			return c.setService(cmdSetService, rules.Normal(*op.Service))
		case lvs.DeleteService:
			return c.client.RemoveService(identity(op.Service.Key))
		case lvs.AddServer:
			return c.client.CreateDestination(identity(op.Service.Key), destination(*op.Server))
		case lvs.EditServer:
			return c.client.UpdateDestination(identity(op.Service.Key), destination(*op.Server))
		case lvs.DeleteServer:
			return c.client.RemoveDestination(identity(op.Service.Key), destination(*op.Server))
		case lvs.SetTimeouts:
			return c.client.SetConfig(ipvs.Config{TCPTimeout: op.Timeouts.TCP, TCPFinTimeout: op.Timeouts.TCPFin, UDPTimeout: op.Timeouts.UDP})
		case lvs.StartDaemon:
			return c.startDaemon(*op.Daemon)
		case lvs.StopDaemon:
			return c.stopDaemon(op.Daemon.State)
		}
		return syscall.EINVAL
	})
}

// Zero sets the counters of a service and its servers to 0; the zero key
// stands for the counters of everything, the totals included.
func (k *Kernel) Zero(ctx context.Context, key lvs.ServiceKey) error {
	op := lvs.Op{}
	if !key.IsZero() {
		op = lvs.Op{Do: lvs.EditService, Service: &lvs.ServiceSpec{Key: key}}
	}
	return k.do(ctx, op, func(c *conn) error { return c.zero(key) })
}

// do calls f with an open connection. A connection that failed is not used
// again. One that was open before may be out of date, if the module was
// unloaded and loaded: the kernel answers ENOENT then, having done nothing, so
// that f can be called once more.
func (k *Kernel) do(ctx context.Context, op lvs.Op, f func(*conn) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.conn != nil && !k.conn.current(k.netns) {
		_ = k.drop()
	}
	reused := k.conn != nil
	for {
		if k.conn == nil {
			c, err := open(k.netns)
			if err != nil {
				return err
			}
			k.conn = c
		}
		err := f(k.conn)
		if err == nil {
			return nil
		}
		_ = k.drop()
		if !reused || !errors.Is(err, syscall.ENOENT) {
			return rules.Translate(op, err)
		}
		reused = false
	}
}

func (k *Kernel) drop() error {
	if k.conn == nil {
		return nil
	}
	c := k.conn
	k.conn = nil
	return c.close()
}
