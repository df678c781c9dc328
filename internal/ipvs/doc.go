// Package ipvs carries the operations of package lvs to the kernel's IP Virtual
// Server over generic netlink, and reads back what it holds.
//
// The kernel has neither transactions nor events: Apply does one operation,
// Read dumps the whole table. Both speak the normal form of package rules, so
// that a specification that was applied is read back equal. Errors carry one
// of the kinds of package lvs; rules.Translate makes them of the kernel's error
// numbers, and nothing else does.
//
// Package memory is a kernel of the same behaviour in the process, package
// ipvstest the suite that both must pass.
package ipvs
