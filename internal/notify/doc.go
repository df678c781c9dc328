// Package notify sends the events of a director to its master agent as
// notifications.
//
// Add never waits, whatever the master does. A Queue holds what waits by row:
// of each kind about one row only the newest state is kept, so that whoever
// receives everything ends in the true state, and a flood costs no more memory
// than there are rows, of which it holds a bounded number. Run sends a few
// notifications at a time and waits for the answers before the next: that is a
// pace at which net-snmp loses none and repeats none.
//
// While the master is away everything waits. A notification that was on its way
// when the master went is sent again, since nobody can know whether it had gone
// out: at least once is better than not at all. It keeps its sequence number,
// so that a receiver can tell. One that was answered is not sent again.
//
// At a clean stop Run stays for a moment to send what waits. What is left in the
// queue then, or by a crash, is lost: the next start tells the state by alarms.
package notify
