package director

import (
	"errors"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	const out = `lcmsServerWeight."tcp:192.0.2.1:80"."10.0.0.11:80" = Gauge32: 300
lcmsServiceName."fwm4:7" = STRING: a = b: c
lcmsServiceName."fwm4:8" = STRING: 
lcmsServiceSchedulerFlags."fwm4:7" = BITS: C0 0 1 
lcmsServerAddress."fwm6:7"."[::1]:80" = Hex-STRING: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 
lcmsRequestNewValue.1 = Hex-STRING: 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 
10 11 
.1.3.6.1.2.1.1.6.0 = ""
lcmsServiceName."fwm4:9" = No Such Instance currently exists at this OID
lcmsNotifications = No Such Object available on this agent at this OID
lcmsAgentReconnects.0 = No more variables left in this MIB View (It is past the end of the MIB tree)
`
	want := []Varbind{
		{`lcmsServerWeight."tcp:192.0.2.1:80"."10.0.0.11:80"`, "Gauge32", "300"},
		{`lcmsServiceName."fwm4:7"`, "STRING", "a = b: c"},
		{`lcmsServiceName."fwm4:8"`, "STRING", ""},
		{`lcmsServiceSchedulerFlags."fwm4:7"`, "BITS", "C0 0 1"},
		{`lcmsServerAddress."fwm6:7"."[::1]:80"`, "Hex-STRING", "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"},
		{`lcmsRequestNewValue.1`, "Hex-STRING", "00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11"},
		{`.1.3.6.1.2.1.1.6.0`, "STRING", ""},
		{`lcmsServiceName."fwm4:9"`, NoSuchInstance, ""},
		{`lcmsNotifications`, NoSuchObject, ""},
		{`lcmsAgentReconnects.0`, EndOfMibView, ""},
	}
	got, err := Parse(out)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("parse: %v\ngot  %v\nwant %v", err, got, want)
	}
	if _, err := Parse("what is this\n"); err == nil {
		t.Error("a line that is no varbind is taken for one")
	}
}

func TestRefusal(t *testing.T) {
	for _, tc := range []struct{ out, status, object string }{
		{"Error in packet.\nReason: wrongValue (The set value is illegal or unsupported in some way)\nFailed object: lcmsServerWeight.\"a\".\"b\"\n\n", "wrongValue", `lcmsServerWeight."a"."b"`},
		{"Error in packet.\nReason: (genError) A general failure occured\nFailed object: x.0\n", "genError", "x.0"},
		{"Error in packet\nReason: (tooBig) Response message would have been too large.\n", "tooBig", ""},
		{"Timeout: No Response from udp:127.0.0.1:1.\n", "timeout", ""},
	} {
		var r *Refusal
		if err := refusal(tc.out); !errors.As(err, &r) || r.Status != tc.status || r.Object != tc.object {
			t.Errorf("%q is read as %v, want %s of %q", tc.out, err, tc.status, tc.object)
		}
	}
	var r *Refusal
	if err := refusal("lcmsNothing: Unknown Object Identifier\n"); errors.As(err, &r) {
		t.Errorf("a fault of the caller is read as an answer: %v", err)
	}
}
