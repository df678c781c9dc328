package config

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxSecret is more than SNMP takes, in octets.
const maxSecret = 1024

// readSecret returns the one line of a file that nobody else can read. name is
// the key that names the file.
func readSecret(name, path string) (string, error) {
	// Without O_NONBLOCK, opening a pipe would wait for somebody to write.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	stat, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", name, err)
	case !stat.Mode().IsRegular():
		return "", fmt.Errorf("%s %s is no regular file", name, path)
	case stat.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s %s can be read or written by others (mode %04o): chmod 600 %[2]s", name, path, stat.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case secret == "":
		return "", fmt.Errorf("%s %s is empty: write the secret into it", name, path)
	case len(b) > maxSecret || strings.ContainsAny(secret, "\n\x00"):
		return "", fmt.Errorf("%s %s is more than one line: leave the secret alone in it", name, path)
	}
	return secret, nil
}
