package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lcms-project/lcms/internal/config"
	"github.com/lcms-project/lcms/internal/ipvs"
	"github.com/lcms-project/lcms/internal/lvs"
	"github.com/lcms-project/lcms/ldapsync"
)

// errDiffer is the end of a diff that has found something.
var errDiffer = errors.New("they differ")

// diff shows where the three states are apart: what the directory says, what
// the kernel should hold by that, and what it holds. What a monitor reports is
// known to the running agent only, and is left out.
func diff(ctx context.Context, c config.Config, stdout, stderr io.Writer) error {
	switch {
	case !c.Directory.Used():
		return errors.New("diff: no directory is configured: set directory.uris and directory.base")
	case c.Memory:
		return errors.New("diff: the in-memory kernel is inside the running agent: diff is for ipvs: kernel")
	}
	d, err := newDirectory(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, exportLimit, fmt.Errorf("not done within %s", exportLimit))
	defer cancel()
	there, err := ldapsync.Load(ctx, d.options, d.base, d.own)
	if err != nil {
		return err
	}
	k := ipvs.New(ipvs.Options{Netns: c.Netns})
	defer k.Close()
	actual, err := k.Read(ctx)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	for _, f := range there.Faults {
		fmt.Fprintf(stderr, "left aside: %v\n", f)
	}
	list := compare(there.Config, actual)
	apart := 0
	for _, o := range list {
		if o.differs {
			apart++
			fmt.Fprintf(stdout, "%s\n  directory  %s\n  effective  %s\n  kernel     %s\n", o.name, o.directory, o.effective, o.kernel)
		}
	}
	fmt.Fprintf(stderr, "%d differ, %d agree; %d entries are left aside\n", apart, len(list)-apart, len(there.Faults))
	if apart > 0 {
		return errDiffer
	}
	return nil
}

// states is one object in the three states, in words.
type states struct {
	name                         string
	directory, effective, kernel string
	differs                      bool
}

const absent = "-"

// compare lists every object that one of the states has.
func compare(desired *lvs.Config, actual *lvs.Actual) []states {
	var list []states
	found := make(map[lvs.ServiceKey]*lvs.ActualService)
	for _, a := range actual.Services {
		found[a.Key] = a
	}
	for service, servers := range desired.Services {
		around := desired.Circumstances(service)
		target := lvs.Effective(service, servers, &around)
		list = append(list, compareService(service, servers, target, found[service.Key])...)
		delete(found, service.Key)
	}
	for _, a := range actual.Services {
		if found[a.Key] != nil {
			list = append(list, compareService(nil, nil, lvs.Target{}, a)...)
		}
	}
	return list
}

// compareService lists a service and its servers. One that the directory does
// not have is somebody else's: it is shown and is no difference that anybody
// would mend, so it counts as one to look at.
func compareService(service *lvs.Service, servers []*lvs.Server, target lvs.Target, actual *lvs.ActualService) []states {
	head := states{directory: absent, effective: absent, kernel: absent}
	if service != nil {
		head.name = "service " + service.Key.String()
		head.directory = text(service.Fields(), service.AdminStatus, service.Status)
		if target.Service != nil {
			head.effective = text(target.Service.Fields(), lvs.AdminUp, lvs.Active)
		}
	}
	if actual != nil {
		head.name = "service " + actual.Key.String()
		head.kernel = text(actual.ServiceSpec.Fields(), lvs.AdminUp, lvs.Active)
	}
	head.differs = head.effective != head.kernel
	list := []states{head}

	var held []lvs.ActualServer
	if actual != nil {
		held = actual.Servers
	}
	row := func(key lvs.ServerKey) states {
		o := states{name: head.name + " server " + key.String(), directory: absent, effective: absent, kernel: absent}
		for _, s := range servers {
			if s.Key == key {
				o.directory = text(s.Fields(), s.AdminStatus, s.Status)
			}
		}
		for i := range target.Servers {
			if s := &target.Servers[i]; s.Key == key {
				o.effective = text(s.Fields(), lvs.AdminUp, lvs.Active)
			}
		}
		for i := range held {
			if s := &held[i]; s.Key == key {
				o.kernel = text(s.ServerSpec.Fields(), lvs.AdminUp, lvs.Active)
			}
		}
		o.differs = o.effective != o.kernel
		return o
	}
	for _, s := range servers {
		list = append(list, row(s.Key))
	}
	for i := range held {
		if !slices.ContainsFunc(servers, func(s *lvs.Server) bool { return s.Key == held[i].Key }) {
			list = append(list, row(held[i].Key))
		}
	}
	return list
}

// text says an object in one line.
func text(fields []lvs.Field, admin lvs.AdminStatus, status lvs.Status) string {
	words := make([]string, 0, len(fields)+2)
	for _, f := range fields {
		words = append(words, f.Name+" "+f.Value)
	}
	if admin != lvs.AdminUp {
		words = append(words, "adminStatus "+admin.String())
	}
	if status != lvs.Active {
		words = append(words, "rowStatus "+status.String())
	}
	return strings.Join(words, ", ")
}
