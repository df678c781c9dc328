module github.com/lcms-project/lcms/bench

go 1.26.0

require (
	github.com/gosnmp/gosnmp v1.47.0
	github.com/lcms-project/lcms v0.0.0
	github.com/posteo/go-agentx v0.3.0
	golang.org/x/net v0.59.0
	golang.org/x/sys v0.49.0
)

replace github.com/lcms-project/lcms => ../
