//go:build !failpoint

package failpoint

// Hit marks a point at which a test may stop the program.
func Hit(string) {}
