package lvs

// Missing returns of the writes of a change those of rows that have lacks, and
// names those that have holds otherwise. What have holds just so is in neither.
func Missing(rows *Change, have *Config) (missing Change, differing []string) {
	missing = Change{Source: rows.Source}
	for _, h := range rows.PutHosts {
		if old, ok := have.Host(h.Name); !ok {
			missing.PutHosts = append(missing.PutHosts, h)
		} else if old != h {
			differing = append(differing, "host "+string(h.Name))
		}
	}
	for _, c := range rows.PutClusters {
		if old, ok := have.Cluster(c.ID); !ok {
			missing.PutClusters = append(missing.PutClusters, c)
		} else if old != c {
			differing = append(differing, "cluster "+string(c.ID))
		}
	}
	for _, m := range rows.PutMembers {
		if old, ok := have.Member(m.ID()); !ok {
			missing.PutMembers = append(missing.PutMembers, m)
		} else if old != m {
			differing = append(differing, "member "+string(m.Host)+" of cluster "+string(m.Cluster))
		}
	}
	for _, s := range rows.PutServices {
		if old, ok := have.Service(s.Key); !ok {
			missing.PutServices = append(missing.PutServices, s)
		} else if old != s {
			differing = append(differing, "service "+s.Key.String())
		}
	}
	for _, s := range rows.PutServers {
		if old, ok := have.Server(s.Service, s.Server.Key); !ok {
			missing.PutServers = append(missing.PutServers, s)
		} else if old != s.Server {
			differing = append(differing, "server "+s.Server.Key.String()+" of service "+s.Service.String())
		}
	}
	for _, d := range rows.PutDaemons {
		if old, ok := have.Daemon(d.State); !ok {
			missing.PutDaemons = append(missing.PutDaemons, d)
		} else if old != d {
			differing = append(differing, "sync daemon "+d.State.String())
		}
	}
	if t := rows.Timeouts; t != nil && *t != have.Timeouts() {
		if have.Timeouts() == (Timeouts{}) {
			missing.Timeouts = t
		} else {
			differing = append(differing, "timeouts")
		}
	}
	return missing, differing
}
