package lvs

import "slices"

// Desired returns the service that asks for exactly what the kernel holds.
func (a *ActualService) Desired() Service {
	s := NewService(a.Key)
	s.ServiceSpec = a.ServiceSpec
	return s
}

// Desired returns the server that asks for exactly what the kernel holds.
func (a *ActualServer) Desired() Server {
	s := NewServer(a.Key)
	s.ServerSpec = a.ServerSpec
	return s
}

// Expand replaces Adopt by the services and servers that the kernel holds, as
// found by held. What the change writes or deletes by itself stays. A service
// that the kernel no longer holds is refused.
func (c *Change) Expand(held func(ServiceKey) *ActualService) error {
	for _, k := range c.Adopt {
		actual := held(k)
		if actual == nil {
			return &Refusal{Kind: ErrNotFound, Service: k, Reason: "the kernel no longer holds it: nothing to adopt"}
		}
		if !slices.ContainsFunc(c.PutServices, func(s Service) bool { return s.Key == k }) {
			c.PutServices = append(c.PutServices, actual.Desired())
		}
		for i := range actual.Servers {
			id := ServerID{k, actual.Servers[i].Key}
			written := slices.ContainsFunc(c.PutServers, func(s ServerAt) bool { return s.Service == k && s.Server.Key == id.Server })
			if !written && !slices.Contains(c.DeleteServers, id) && actual.Servers[i].Forwarding != Bypass {
				c.PutServers = append(c.PutServers, ServerAt{k, actual.Servers[i].Desired()})
			}
		}
	}
	c.Adopt = nil
	return nil
}
