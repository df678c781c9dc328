// Package lcmsmib serves LCMS-MIB: it declares its tables over the snapshots of
// package control, and turns a SET into one lvs.Change.
//
// The file of each group of the MIB has its name. What the objects mean stands
// in mibs/LCMS-MIB.txt and only there; a test holds the two against each other.
package lcmsmib
