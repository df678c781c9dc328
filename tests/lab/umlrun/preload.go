package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// xstate makes the kernel run on processors with more state than it knows.
//
//go:embed preload/xstate.c
var xstate []byte

// preload compiles xstate into dir and returns the path of the library that the
// kernel has to be started with.
func preload(dir string) (string, error) {
	source, library := filepath.Join(dir, "xstate.c"), filepath.Join(dir, "xstate.so")
	if err := os.WriteFile(source, xstate, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile %s (is gcc missing? install it with scripts/apt-need gcc libc6-dev): %w\n%s", source, err, out)
	}
	return library, nil
}
