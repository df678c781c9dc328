// Package imports tests who may import whom. The rules and the reason of each
// are one table; a breach is reported with its reason.
package imports
