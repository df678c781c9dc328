package lvs

// Outdated refuses a change that has a row which was made of another one than is
// there now: it would take back what somebody else has changed of it meanwhile.
func (c *Config) Outdated(change *Change) *Refusal {
	base := change.Base
	if base == nil || base == c {
		return nil
	}
	refuse := func(at Refusal) *Refusal {
		at.Kind, at.Reason = ErrUnavailable, "somebody else has changed it just now: look at it and try again"
		return &at
	}
	for i := range change.PutClusters {
		if id := change.PutClusters[i].ID; differs(base.Cluster, c.Cluster, id) {
			return refuse(Refusal{Cluster: id})
		}
	}
	for i := range change.PutMembers {
		if id := change.PutMembers[i].ID(); differs(base.Member, c.Member, id) {
			return refuse(Refusal{Cluster: id.Cluster, Host: id.Host})
		}
	}
	for i := range change.PutHosts {
		if name := change.PutHosts[i].Name; differs(base.Host, c.Host, name) {
			return refuse(Refusal{Host: name})
		}
	}
	for i := range change.PutServices {
		if key := change.PutServices[i].Key; differs(base.Service, c.Service, key) {
			return refuse(Refusal{Service: key})
		}
	}
	for i := range change.PutServers {
		p := &change.PutServers[i]
		of := func(config *Config) func(ServerKey) (Server, bool) {
			return func(key ServerKey) (Server, bool) { return config.Server(p.Service, key) }
		}
		if differs(of(base), of(c), p.Server.Key) {
			return refuse(Refusal{Service: p.Service, Server: p.Server.Key})
		}
	}
	for i := range change.PutDaemons {
		if state := change.PutDaemons[i].State; differs(base.Daemon, c.Daemon, state) {
			return refuse(Refusal{Daemon: state})
		}
	}
	if change.Timeouts != nil && base.timeouts != c.timeouts {
		return refuse(Refusal{Field: "TCP"})
	}
	if change.Settings != nil && base.Settings() != c.Settings() {
		return refuse(Refusal{Field: "NotificationRate"})
	}
	return nil
}

// differs reports whether two states have different rows of one key, or only one
// of them has any.
func differs[K any, R comparable](was, is func(K) (R, bool), key K) bool {
	a, had := was(key)
	b, has := is(key)
	return had != has || a != b
}
