// Package config reads the configuration file of the subagent into a checked
// value. What is wrong is reported with file, line, cause and mend; nothing is
// guessed.
package config
