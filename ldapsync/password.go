package ldapsync

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxPassword is more than any server takes, in octets.
const maxPassword = 4096

// readPassword returns the first line of a file that nobody else can read.
func readPassword(path string) (string, error) {
	// Without O_NONBLOCK, opening a pipe would wait for somebody to write.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return "", unusable("directory.password-file: %v: give it to the user that the agent runs as (chown)", err)
	}
	if err != nil {
		return "", unusable("directory.password-file: %v", err)
	}
	defer f.Close()
	stat, err := f.Stat() // of what was opened, not of what is there by now
	switch {
	case err != nil:
		return "", unusable("directory.password-file: %v", err)
	case !stat.Mode().IsRegular():
		return "", unusable("directory.password-file %s is no regular file", path)
	case stat.Mode().Perm()&0o077 != 0:
		return "", unusable("directory.password-file %s can be read or written by others (mode %04o): chmod 600 %[1]s", path, stat.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", unusable("directory.password-file: %v", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case strings.TrimSpace(password) == "":
		// A bind with an empty password succeeds as nobody (RFC 4513 section 5.1.2).
		return "", unusable("directory.password-file %s is empty: write the password into it", path)
	case len(b) > maxPassword || strings.ContainsAny(password, "\n\x00"):
		return "", unusable("directory.password-file %s is more than one line: leave the password alone in it", path)
	}
	return password, nil
}
