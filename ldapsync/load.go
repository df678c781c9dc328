package ldapsync

import (
	"context"
	"errors"

	"github.com/lcms-project/lcms/internal/lvs"
)

// Contents are all that a directory held at one moment.
type Contents struct {
	View
	tree *Tree
}

// Has reports whether there is an entry at a place.
func (c *Contents) Has(p Place) bool { return c.tree.Has(p) }

// Load reads a directory once, for the director on the host own: from the first of
// the servers that lets it.
func Load(ctx context.Context, o Options, base Base, own lvs.HostName) (*Contents, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var faults []error
	for _, uri := range o.URIs {
		c, err := loadFrom(ctx, o, uri, base, own)
		if err == nil {
			return c, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

func loadFrom(ctx context.Context, o Options, uri string, base Base, own lvs.HostName) (*Contents, error) {
	conn, err := o.Dial(ctx, uri, ForSync)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	can, err := readAbilities(conn.Conn)
	if err != nil {
		return nil, unreachable(ctx, uri, err)
	}
	c := &Contents{tree: NewTree(base, own)}
	ctx, done := context.WithCancel(ctx)
	defer done()
	stop := context.AfterFunc(ctx, conn.cut)
	defer stop()
	read := false
	err = sourceFor(can).Follow(ctx, conn, c.tree, func(p Progress) {
		if p == Refreshed {
			read = true
			done()
		}
	})
	if !read {
		return nil, err
	}
	c.View = c.tree.View()
	return c, nil
}
