// Package ldapsync keeps the directory and the director the same: an adapter
// between LDAP and the domain of package lvs.
package ldapsync
