package netsnmp

import (
	"os"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

func TestMain(m *testing.M) { os.Exit(director.Main(m)) }
