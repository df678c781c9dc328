// Package failpoint lets tests stop the program at a named point, as a crash
// would. In a normal build its only function does nothing; the build tag
// failpoint compiles it in.
//
// With the tag, the environment variable LCMS_FAILPOINT says what happens
// where: NAME=kill kills the program with SIGKILL at the point NAME, NAME=kill:PID
// another process; NAME=sleep:MS lets it wait for so many milliseconds;
// NAME#3=... does so at the third time the point is reached.
// Several are separated by commas.
package failpoint
