// Package poller is the monitor of real servers: it checks whether they do their
// work, measures how busy they are, advises their weights, and reports all of it
// to the directors.
//
//	directors ──LCMS-MIB──> what to watch ──> check, load ──> judge, weight ──SET──> directors
//
// LCMS-MIB is its only way to a director, so any other program can do the same.
// Nothing that it finds is kept: when it starts again, it begins with what the
// directors were told before.
package poller
