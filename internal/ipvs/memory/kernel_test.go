package memory_test

import (
	"testing"

	"github.com/lcms-project/lcms/internal/ipvs/ipvstest"
	"github.com/lcms-project/lcms/internal/ipvs/memory"
)

func TestConformance(t *testing.T) {
	ipvstest.Run(t, func(*testing.T) ipvstest.Kernel {
		return memory.New(memory.Options{Interfaces: []string{"lo", ipvstest.Interface}})
	})
}
