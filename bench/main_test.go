package main

import (
	"io"
	"strings"
	"testing"
)

func TestWrongFlagsAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"-only peers,rates", `there is no section "rates": choose from rate, peers`},
		{"-repeat 0", "usage"},
		{"more", "usage"},
		{"-jobs -1", "usage"},
	} {
		b := &bench{}
		if err := b.flags(strings.Fields(test.args), io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.args, err, test.want)
		}
	}
}

func TestTenMillionJobsHaveTheTimeTheyNeed(t *testing.T) {
	t.Parallel()
	b := &bench{}
	if err := b.flags([]string{"-only", "scale", "-jobs", "10000000"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	few, many := (&task{Jobs: 1000}).patience().Hours(), (&task{Jobs: b.jobs}).patience().Hours()
	if few > 0.5 || many < 10 {
		t.Errorf("%.1f h for a thousand jobs, %.1f h for ten million", few, many)
	}
}
