package lvs

import (
	"fmt"
	"slices"
)

// Assemble makes a Config of rows that come from somewhere else, each by its
// own: the writes of the change, of which nothing else is looked at. It takes
// what is valid and names the rest. Of two rows with one name the first is
// taken. Rows may name clusters and hosts that are not there.
func Assemble(rows *Change) (*Config, []*Refusal) {
	var c Config
	var refused []*Refusal
	refuse := func(r *Refusal) bool {
		if r != nil {
			refused = append(refused, r)
		}
		return r != nil
	}
	c.hosts = assembled(rows.PutHosts, (*Host).compare, func(h, first *Host) bool {
		if first != nil {
			return refuse(&Refusal{Kind: ErrExists, Host: h.Name, Reason: "there are two of it: delete one"})
		}
		return refuse(checkHost(*h))
	})
	c.clusters = assembled(rows.PutClusters, (*Cluster).compare, func(row, first *Cluster) bool {
		if first != nil {
			return refuse(&Refusal{Kind: ErrExists, Cluster: row.ID, Reason: "there are two of it: delete one"})
		}
		return refuse(checkCluster(*row))
	})
	c.members = assembled(rows.PutMembers, (*Member).compare, func(m, first *Member) bool {
		if first != nil {
			return refuse(&Refusal{Kind: ErrExists, Cluster: m.Cluster, Host: m.Host,
				Reason: fmt.Sprintf("it is a member twice, as %s and as %s: delete one", first.Role, m.Role)})
		}
		return refuse(checkMember(*m))
	})
	services := make([]serviceConfig, len(rows.PutServices))
	for i, s := range rows.PutServices {
		services[i] = serviceConfig{text: s.Key.String(), service: s}
	}
	c.services = assembled(services, (*serviceConfig).compare, func(s, first *serviceConfig) bool {
		switch {
		case first != nil:
			return refuse(&Refusal{Kind: ErrExists, Service: s.service.Key, Field: "Cluster",
				Reason: fmt.Sprintf("there are two of it, %s and %s: delete one", first.where(), s.where())})
		case s.service.Status != Active:
			return false
		}
		return refuse(s.service.Check())
	})
	byService := make(map[ServiceKey][]Server)
	for _, s := range rows.PutServers {
		byService[s.Service] = append(byService[s.Service], s.Server)
	}
	for _, sc := range c.services {
		servers := byService[sc.service.Key]
		delete(byService, sc.service.Key)
		if len(servers) == 0 {
			continue
		}
		sc.servers = assembled(servers, (*Server).compare, func(s, first *Server) bool {
			if first != nil {
				return refuse(&Refusal{Kind: ErrExists, Service: sc.service.Key, Server: s.Key, Reason: "there are two of it: delete one"})
			}
			return refuse(checkServer(s, &sc.service))
		})
	}
	for _, s := range rows.PutServers {
		if byService[s.Service] != nil {
			refuse(&Refusal{Kind: ErrNotFound, Service: s.Service, Server: s.Server.Key, Reason: "there is no such service, or it was refused: create or mend it"})
		}
	}
	for _, d := range rows.PutDaemons {
		if d.Status != Active || !refuse(d.Check()) {
			c.daemons[d.State] = &d
		}
	}
	if t := rows.Timeouts; t != nil && !refuse(t.Check()) {
		c.timeouts = *t
	}
	if s := rows.Settings; s != nil && !refuse(s.Check()) {
		settings := *s
		c.settings = &settings
	}
	return &c, refused
}

func (s *serviceConfig) where() string {
	if s.service.Cluster == "" {
		return "one of no cluster"
	}
	return "one of cluster " + string(s.service.Cluster)
}

// assembled returns rows in the order of their table without those that leave
// wants left out. It is asked for each, with the row of the same name that was
// taken.
func assembled[R any](rows []R, compare func(a, b *R) int, leave func(row, first *R) bool) []*R {
	list := make([]*R, len(rows))
	for i := range rows {
		row := rows[i]
		list[i] = &row
	}
	if !slices.IsSortedFunc(list, compare) {
		slices.SortStableFunc(list, compare)
	}
	kept := list[:0]
	for _, r := range list {
		var first *R
		if n := len(kept); n > 0 && compare(kept[n-1], r) == 0 {
			first = kept[n-1]
		}
		if !leave(r, first) {
			kept = append(kept, r)
		}
	}
	return slices.Clip(kept)
}
