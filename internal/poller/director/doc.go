// Package director is one director as its monitor sees it: what LCMS-MIB there
// says is to be watched, and what is reported back to it by SET.
//
// Tables are read many columns side by side: through AgentX one column alone
// costs a round trip for each cell. They are read again when the director says
// that its configuration has changed. Reports are sent when something has
// changed, and again before they grow old; nothing else is ever set but what an
// empty row of a host lacks.
package director
