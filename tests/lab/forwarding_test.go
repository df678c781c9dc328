//go:build lab

package lab

import (
	"path/filepath"
	"testing"
)

// TestForwarding proves the topology: real traffic by each forwarding method
// arrives in the shares that the scheduler promises.
func TestForwarding(t *testing.T) {
	programs := Build(t, "./tests/lab/webserver", "./tests/lab/webclient")
	Run(t, Options{Dir: filepath.Join(Root(t), "tests/lab"), Env: []string{"PROGRAMS=" + programs}}, "sh", "scenarios/forwarding.sh")
}
