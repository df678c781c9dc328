// Package weight advises the weights of the servers of a virtual service by
// their load.
//
// The scheduler of the kernel, such as wlc, reacts to connections in flight
// within milliseconds. Weights only correct, over a minute or so, what it
// cannot see: that one machine can do more than another, or is busy with
// something else. The load that they follow is an average over the past, so
// everything here is made to be slow and calm: loads are smoothed, small
// differences are ignored, steps are short, and who knows too little does
// nothing.
//
// Of two monitors of one service each goes on from what the other has advised last
// (Server.Advised), so both advise the same.
//
// A Balancer is a pure function of what it is given and what it was given
// before: no clock, no network, no goroutine.
package weight
