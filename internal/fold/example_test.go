package fold_test

import (
	"fmt"

	"github.com/drover-batch/drover/internal/fold"
)

func Example() {
	text := fold.Small("“Term” means the time until this agree-\nment ends. The\n\f[page 2]\n“Term” is two years.")
	for place := range text.All(text.Phrase(`the "term"`)) {
		fmt.Printf("%d: %q\n", place.From, text.At(place))
	}
	place, found := text.Find(text.Phrase("this agreement"))
	fmt.Printf("%q %t\n", text.At(place), found)
	// Output:
	// 55: "The\n\f[page 2]\n“Term”"
	// "this agree-\nment" true
}
