package claim

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const variable = "CLAIM_NAME"

// TestMain is another process too, that claims a name.
func TestMain(m *testing.M) {
	if name := os.Getenv(variable); name != "" {
		fmt.Print(Name(name))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestNameHasOneOwner(t *testing.T) {
	name := fmt.Sprintf("claim-%d", os.Getpid())
	other := func() string {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), variable+"="+name)
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	if said := other(); said != "<nil>" {
		t.Errorf("a name that nobody has: %s", said)
	}
	if err := Name(name); err != nil { // its owner has ended
		t.Fatal(err)
	}
	if err := Name(name); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the same name twice: %v", err)
	}
	if said := other(); said != syscall.EADDRINUSE.Error() {
		t.Errorf("to another process: %s", said)
	}
}
