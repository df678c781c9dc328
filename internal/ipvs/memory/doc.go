// Package memory is an IPVS kernel in the process. It refuses what the real
// one refuses, in the same words, and gives back what it was given in the same
// form; package ipvstest holds both to that. What the real kernel cannot be
// made to do at will, it can: traffic that moves the counters by a known
// amount, failures, slow readings.
//
// It serves tests and demonstrations. Foreign edits, as ipvsadm would make
// them, are calls of Apply, Zero and Flush by the test.
package memory
