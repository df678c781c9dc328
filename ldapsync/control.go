package ldapsync

import (
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// What we ask of servers beyond RFC 4511.
const (
	oidAssertion = "1.3.6.1.1.12"             // RFC 4528
	oidStartTxn  = "1.3.6.1.1.21.1"           // RFC 5805
	oidTxnSpec   = "1.3.6.1.1.21.2"           // RFC 5805
	oidEndTxn    = "1.3.6.1.1.21.3"           // RFC 5805
	oidSync      = "1.3.6.1.4.1.4203.1.9.1.1" // RFC 4533
)

// assertion lets an update fail with assertionFailed (122) unless the entry has
// the value, or, if value is empty, unless it has no such attribute (RFC 4528).
type assertion struct{ attribute, value string }

// GetControlType returns the OID of the control.
func (assertion) GetControlType() string { return oidAssertion }

// String returns what is asserted.
func (a assertion) String() string {
	if a.value == "" {
		return fmt.Sprintf("assertion (!(%s=*))", a.attribute)
	}
	return fmt.Sprintf("assertion (%s=%s)", a.attribute, ldap.EscapeFilter(a.value))
}

// Encode returns the control, whose value is a Filter (RFC 4511 section 4.5.1).
func (a assertion) Encode() *ber.Packet {
	const not, equalityMatch, present = 2, 3, 7
	var filter *ber.Packet
	if a.value == "" {
		filter = ber.Encode(ber.ClassContext, ber.TypeConstructed, not, nil, "not")
		filter.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, present, a.attribute, "present"))
	} else {
		filter = ber.Encode(ber.ClassContext, ber.TypeConstructed, equalityMatch, nil, "equalityMatch")
		filter.AppendChild(octetString(a.attribute, "attributeDesc"))
		filter.AppendChild(octetString(a.value, "assertionValue"))
	}
	return criticalControl(oidAssertion, string(filter.Bytes()))
}

// txnSpec makes an update part of a transaction (RFC 5805 section 2.2). It is
// the identifier of the transaction, which OpenLDAP leaves empty.
type txnSpec string

// GetControlType returns the OID of the control.
func (txnSpec) GetControlType() string { return oidTxnSpec }

// String returns the identifier.
func (s txnSpec) String() string { return fmt.Sprintf("transaction %x", string(s)) }

// Encode returns the control. Its value is there also if it is empty.
func (s txnSpec) Encode() *ber.Packet { return criticalControl(oidTxnSpec, string(s)) }

// criticalControl returns a Control (RFC 4511 section 4.1.11) that the server
// must not pass over.
func criticalControl(oid, value string) *ber.Packet {
	c := ber.NewSequence("Control")
	c.AppendChild(octetString(oid, "controlType"))
	// TRUE is 255 (RFC 4511 section 5.1), which ber.NewBoolean does not write.
	c.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, "\xff", "criticality"))
	c.AppendChild(octetString(value, "controlValue"))
	return c
}

func octetString(value, what string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, what)
}

// startTxn asks for a transaction (RFC 5805 section 2.1).
func startTxn() *ldap.ExtendedRequest { return ldap.NewExtendedRequest(oidStartTxn, nil) }

// endTxn ends a transaction (RFC 5805 section 2.3).
func endTxn(id txnSpec, commit bool) *ldap.ExtendedRequest {
	value := ber.NewSequence("txnEndReq")
	if !commit { // the default is left out
		value.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, "\x00", "commit"))
	}
	value.AppendChild(octetString(string(id), "identifier"))
	return ldap.NewExtendedRequest(oidEndTxn, value)
}

// failedMessage returns, of a refused endTxn, which message before it was at
// fault: 1 is the last one. It is 0 if the answer does not tell.
func failedMessage(response *ber.Packet) int {
	if response == nil || len(response.Children) < 2 {
		return 0
	}
	end, ok := response.Children[0].Value.(int64)
	if !ok {
		return 0
	}
	for _, field := range response.Children[1].Children {
		const responseValue = 11
		if field.ClassType != ber.ClassContext || field.Tag != responseValue || field.Data == nil {
			continue
		}
		value, err := ber.DecodePacketErr(field.Data.Bytes()) // txnEndRes
		if err != nil || len(value.Children) == 0 {
			return 0
		}
		failed, ok := value.Children[0].Value.(int64)
		if !ok || value.Children[0].Tag != ber.TagInteger || failed >= end || end-failed > 1<<20 {
			return 0
		}
		return int(end - failed)
	}
	return 0
}
