# The tests of package faults, which are the arguments: they make what they need.
set -eu
modprobe ip_vs
exec "$@"
