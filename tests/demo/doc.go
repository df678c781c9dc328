// Package demo does what scripts/demo invites people to do: it starts the
// demonstration, pastes the commands that it prints, and ends it.
package demo
