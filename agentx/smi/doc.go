// Package smi holds the data types that SNMP management information is made
// of: object identifiers, values, variable bindings (varbinds), the encoding
// of table indexes and the error codes of a SET.
//
// It follows RFC 2578 (SMIv2), RFC 3416 (protocol operations) and uses the
// value type numbers of RFC 2741 section 5.4, which are the BER tags of the
// same types. It depends on the standard library only.
package smi
