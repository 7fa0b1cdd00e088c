package jobs

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// USD is an amount of money in millionths of a US dollar.
type USD int64

// Dollar is one US dollar.
const Dollar USD = 1_000_000

// Dollars converts a decimal number of dollars, rounding to the nearest
// millionth.
func Dollars(d float64) USD { return USD(math.Round(d * float64(Dollar))) }

// ParseUSD reads an amount such as "2.50" or "$2.50". It accepts at most six
// decimals and no negative amounts.
func ParseUSD(s string) (USD, error) {
	text := strings.TrimPrefix(strings.TrimSpace(s), "$")
	whole, frac, _ := strings.Cut(text, ".")
	if whole == "" {
		whole = "0"
	}
	if len(frac) > 6 {
		return 0, fmt.Errorf("%q has more than six decimals", s)
	}
	w, err := strconv.ParseUint(whole, 10, 42)
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount in dollars such as 2.50", s)
	}
	f, err := strconv.ParseUint((frac + "000000")[:6], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount in dollars such as 2.50", s)
	}
	return USD(w)*Dollar + USD(f), nil
}

// String prints the amount with as many decimals as it needs, at least two:
// $2.50, $0.000125.
func (u USD) String() string {
	sign := ""
	if u < 0 {
		sign, u = "-", -u
	}
	frac := strings.TrimRight(fmt.Sprintf("%06d", u%Dollar), "0")
	for len(frac) < 2 {
		frac += "0"
	}
	return fmt.Sprintf("%s$%d.%s", sign, u/Dollar, frac)
}

// Short is the amount as precisely as a person reads along: four decimals below
// a dollar, else two.
func (u USD) Short() string {
	decimals := 2
	if 0 < u && u < Dollar {
		decimals = 4
	}
	return fmt.Sprintf("$%.*f", decimals, float64(u)/float64(Dollar))
}

// Price is what a model charges per million tokens.
type Price struct {
	Input       USD `json:"input"`
	CachedInput USD `json:"cached_input"`          // input the provider had cached
	CacheWrite  USD `json:"cache_write,omitempty"` // input it puts into its cache; 0 is as Input
	Output      USD `json:"output"`                // answer and reasoning tokens alike

	// UpTo is the most tokens of a call that the rates hold for; 0 is any number.
	UpTo int `json:"up_to,omitempty"`

	// AsOf is the day the price was looked up, as 2006-01-02; it is stamped
	// on every cost.
	AsOf string `json:"as_of,omitempty"`
}

// Cost is what the usage costs, rounded up to the next millionth.
func (p Price) Cost(u Usage) USD {
	cached := min(u.CachedInput, u.Input)
	written := min(u.CacheWrite, u.Input-cached)
	sum := (u.Input-cached-written)*int64(p.Input) + cached*int64(p.CachedInput) +
		written*int64(cmp.Or(p.CacheWrite, p.Input)) + u.Output*int64(p.Output)
	return USD((sum + 999_999) / 1_000_000)
}

// Worst is the most a call can cost that sends at most input tokens and is
// answered with at most output tokens, at the dearest rate there is for input.
func (p Price) Worst(input, output int64) USD {
	in := max(p.Input, p.CachedInput, p.CacheWrite)
	return USD((input*int64(in) + output*int64(p.Output) + 999_999) / 1_000_000)
}
