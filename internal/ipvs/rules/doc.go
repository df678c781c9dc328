// Package rules holds what is true of every IPVS kernel, the real one and the
// one in memory: which operations it refuses whatever it holds, what its error
// numbers mean, and in which form it gives back what it was given.
package rules
