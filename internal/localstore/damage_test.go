package localstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lcms-project/lcms/internal/lvs"
)

// TestDamaged cuts the file short and garbles it, page after page. It is loaded, if
// what was lost held nothing, or refused with what to do about it.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "whole.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	record := everything(t)
	service := record.Change.PutServices[0]
	const rows = 60
	for i := range rows {
		if service.Key, err = lvs.ParseServiceKey(fmt.Sprintf("fwm4:%d", i+1)); err != nil {
			t.Fatal(err)
		}
		record.Change.PutServices = append(record.Change.PutServices, service)
	}
	if err := errors.Join(s.Save(record), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	try := func(name string, damaged []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err == nil {
			defer s.Close()
			_, err = s.Load()
		}
		if err == nil {
			return
		}
		refused++
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), mend) {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, used := os.Getpagesize(), 0
	for at := 0; at < len(whole); at += page {
		if !bytes.ContainsFunc(whole[at:at+page], func(r rune) bool { return r != 0 }) {
			continue
		}
		used++
		try(fmt.Sprintf("cut at %d", at), whole[:at])
		for _, octet := range []byte{0xff, 'x'} {
			garbled := bytes.Clone(whole)
			copy(garbled[at:at+page], bytes.Repeat([]byte{octet}, page))
			try(fmt.Sprintf("%#x from %d on", octet, at), garbled)
			garbled = bytes.Clone(whole)
			copy(garbled[at+16:at+page], bytes.Repeat([]byte{octet}, page/2)) // not the head of the page
			try(fmt.Sprintf("%#x from %d on, after the head", octet, at), garbled)
		}
	}
	if used < 10 || refused < used {
		t.Errorf("of %d pages, damage is found %d times", used, refused)
	}
}
