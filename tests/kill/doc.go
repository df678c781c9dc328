// Package kill holds the crash matrix: a director is stopped before and after
// every single thing that it does to its kernel and its store in the course of
// a large change, started again, and stopped again while it mends. Whatever
// the moment, the kernel then holds the whole change or nothing of it, the
// store agrees, what belongs to others is as it was, and no counter is lost
// that need not be.
//
// All of it runs in one process on the in-memory kernel and a real store, with
// the time of testing/synctest, so that the steps are few and in order. The
// matrix on the real kernel, with real processes and kill -9, is in tests/lab.
package kill
