package netsnmp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/tests/director"
)

// image is all that a refused SET must leave as it is.
type image struct {
	objects []string // of the MIB, but for those that tell of time and of requests
	store   *director.Store
	rules   []string
}

func capture(t *testing.T, d *director.Director) image {
	t.Helper()
	i := image{store: d.SettledStore(), rules: d.Rules()}
	vbs, err := d.BulkWalk("lcmsObjects")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vbs {
		if strings.HasPrefix(v.Name, "lcmsAgent") || strings.HasPrefix(v.Name, "lcmsRequest") || v.Name == "lcmsDirectorKernelReadAge.0" {
			continue
		}
		i.objects = append(i.objects, v.String())
	}
	if len(i.objects) < 20 {
		t.Fatalf("a walk gives %d objects", len(i.objects))
	}
	return i
}

// sameFile fails if anything differs, a single octet of the store too.
func (i image) sameFile(t *testing.T, d *director.Director) {
	t.Helper()
	if now := i.same(t, d); now.store.Sum != i.store.Sum {
		t.Error("the store's file has been written")
	}
}

// same fails if anything but the layout of the store's file differs. It
// returns what is there now.
func (i image) same(t *testing.T, d *director.Director) image {
	t.Helper()
	now := capture(t, d)
	for what, pair := range map[string][2][]string{
		"MIB":    {i.objects, now.objects},
		"kernel": {i.rules, now.rules},
		"store":  {lines(i.store.Rows), lines(now.store.Rows)},
	} {
		if difference := diff(pair[0], pair[1]); difference != "" {
			t.Errorf("the %s has changed:\n%s", what, difference)
		}
	}
	return now
}

func lines(rows map[string]string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, fmt.Sprintf("%s: %q", key, rows[key]))
	}
	return out
}

// diff lists the lines that only one of two lists has.
func diff(before, after []string) string {
	var b strings.Builder
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&b, "+ %s\n", line)
		}
	}
	if b.Len() == 0 && !slices.Equal(before, after) {
		return "the order differs"
	}
	return b.String()
}
