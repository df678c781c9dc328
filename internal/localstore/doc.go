// Package localstore keeps the desired state of a director in one file, for
// directors that have no directory, and as the last known good copy for those
// that have one.
//
// The file is a bbolt database. Every row is one JSON value under its
// canonical key, so that it can be read with the bbolt command line tool. A
// change and its journal are written in one transaction, which is on the disk
// when Save returns. What lies over a directory that is away is kept beside the
// rows: overrides, and changes that wait to be written there.
package localstore
