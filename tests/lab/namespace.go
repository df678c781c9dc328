package lab

import (
	"path/filepath"

	"github.com/lcms-project/lcms/tests/director"
)

// Within is director.Within in the namespace of a host of topology.sh.
func Within(host string, f func() error) error {
	return director.Within(filepath.Join("/run/netns", host), f)
}
