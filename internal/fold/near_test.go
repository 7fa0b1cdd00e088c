package fold

import "testing"

func TestNearestPassageIsTold(t *testing.T) {
	t.Parallel()
	text := Of("1. The agreement begins on 1 March.\n2. Either party may terminate it with ninety\ndays' notice in writing.\n3. German law applies.")
	place, _ := text.Near(text.Phrase("Either party may terminate it with thirty days' notice"))
	if near, want := text.At(place), "Either party may terminate it with ninety\ndays' notice"; near != want {
		t.Errorf("the nearest passage is %q, want %q", near, want)
	}
	if place, found := text.Near(text.Phrase("The supplier guarantees continuous availability")); found {
		t.Errorf("%q is like nothing that was asked for", text.At(place))
	}
}
