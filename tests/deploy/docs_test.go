package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDecisionsAreListed looks for each of them in the list of all documents.
func TestDecisionsAreListed(t *testing.T) {
	list, err := os.ReadFile("../../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/decisions/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%v, %v", pages, err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); !strings.Contains(string(list), "](decisions/"+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}
