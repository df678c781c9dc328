package lvs

import (
	"strings"
	"testing"
)

func TestEffectiveServer(t *testing.T) {
	for name, c := range map[string]struct {
		cluster AdminStatus
		service func(*Service)
		server  func(*Server)
		held    bool
		weight  uint32
		reason  string
	}{
		"plain":           {0, nil, nil, true, 7, "as configured"},
		"drained":         {0, nil, func(s *Server) { s.AdminStatus = AdminDrain }, true, 0, "drained by the administrator"},
		"down":            {0, nil, func(s *Server) { s.AdminStatus = AdminDown }, false, 0, "down by the administrator"},
		"notInService":    {0, nil, func(s *Server) { s.Status = NotInService }, false, 0, "server is not in service"},
		"service drained": {0, func(s *Service) { s.AdminStatus = AdminDrain }, nil, true, 0, "service drained"},
		"service down":    {0, func(s *Service) { s.AdminStatus = AdminDown }, nil, false, 0, "service is down"},
		"service waits":   {0, func(s *Service) { s.Status = NotReady }, nil, false, 0, "service is not in service"},
		"cluster up":      {AdminUp, nil, nil, true, 7, "as configured"},
		"cluster drained": {AdminDrain, nil, nil, true, 0, "cluster drained"},
		"cluster down":    {AdminDown, nil, nil, false, 0, "cluster is down"},
	} {
		t.Run(name, func(t *testing.T) {
			service, server := serviceOf(t, "tcp:10.0.0.1:80", c.service), serverOf(t, "10.0.0.11:80", func(s *Server) { s.Weight = 7 })
			if c.server != nil {
				c.server(&server)
			}
			around := Circumstances{Cluster: c.cluster}
			spec, held := EffectiveServer(&service, &server, &around)
			if held != c.held || spec.Weight != c.weight {
				t.Errorf("held %v with weight %d", held, spec.Weight)
			}
			if got := WeightReason(&service, &server, &around); !strings.HasPrefix(got, c.reason) {
				t.Errorf("reason %q", got)
			}
			target := Effective(&service, []*Server{&server}, &around)
			if (len(target.Servers) == 1) != c.held || (target.Service != nil) != Wanted(&service, &around) {
				t.Errorf("the target is %+v", target)
			}
		})
	}
}
