// Package ipvstest is what every IPVS kernel must do, as a test suite: the one
// in memory passes it with the unit tests, the real one in the lab. So tests
// against the former say something about the latter.
package ipvstest
