// Package mibs holds LCMS-MIB, the contract between the director and its
// managers, as text in SMIv2 (RFC 2578 to 2580), written to RFC 4181.
//
// LCMS-MIB.txt is the source; the Go tables of the agent are tested against
// it. LCMS-AGENT-CAP-MIB.txt states what the agents support. `make mib-check`
// and the tests here run smilint over both, which has to print nothing.
//
// The root stands in one line of the module, so that an organisation can move
// it below an enterprise number of its own; Text prints the module so.
package mibs
