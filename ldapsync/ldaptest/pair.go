package ldaptest

import "fmt"

// StartPair returns two servers that are ready, each of which takes writes and
// follows the other by syncrepl, with the same entries. The options are of both,
// but for ServerID, which is 1 and 2.
func StartPair(t TB, o Options) (a, b *Server) {
	t.Helper()
	oa, ob := o, o
	oa.ServerID, ob.ServerID = 1, 2
	a, b = create(t, oa), create(t, ob)
	a.peer, b.peer = b, a
	a.configure()
	b.configure()
	a.load()
	b.empty()
	b.slapadd(a.Backup())
	a.Start()
	b.Start()
	return a, b
}

// WaitInSync waits until each of the two servers of a pair has what the other
// has.
func (s *Server) WaitInSync() {
	s.t.Helper()
	wait(s.t, "the providers to be in sync", func() error {
		mine, err := s.Read(s.opts.Base, "contextCSN")
		if err != nil {
			return err
		}
		others, err := s.peer.Read(s.opts.Base, "contextCSN")
		if err != nil {
			return err
		}
		seen := make(map[string]bool)
		for _, csn := range mine.Attributes["contextCSN"] {
			seen[csn] = true
		}
		for _, csn := range others.Attributes["contextCSN"] {
			if !seen[csn] {
				return fmt.Errorf("%v there, %v here", others.Attributes["contextCSN"], mine.Attributes["contextCSN"])
			}
		}
		if len(others.Attributes["contextCSN"]) != len(seen) {
			return fmt.Errorf("%v there, %v here", others.Attributes["contextCSN"], mine.Attributes["contextCSN"])
		}
		return nil
	})
}
