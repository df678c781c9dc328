// Package ldaptest runs private OpenLDAP servers: a real slapd with a database
// of its own in a temporary folder, on loopback and on a Unix socket, with the
// schema and the access rules of LCMS. What tests and demonstrations do to the
// tree they do with ldapadd, ldapmodify, ldapdelete and ldapsearch, as a user
// would.
package ldaptest
