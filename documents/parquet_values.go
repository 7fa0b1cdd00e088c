package documents

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	pqformat "github.com/parquet-go/parquet-go/format"
)

// fieldText is a value as a template prints it: text bare, times in ISO 8601,
// lists and groups as JSON, null as nothing.
func fieldText(node parquet.Node, v any) string {
	switch v := plainValue(node, v).(type) {
	case nil:
		return ""
	case string:
		return v
	case []any, map[string]any:
		return string(encode(v))
	default:
		return fmt.Sprint(v)
	}
}

// plainValue makes a value into what JSON can tell, by the type of its column.
func plainValue(node parquet.Node, v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainValue(element(node), v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = plainValue(child(node, name), v[name])
		}
		return out
	case []byte:
		return textOfBytes(node, string(v))
	case string:
		return textOfBytes(node, v)
	case float32:
		return number(float64(v), 32)
	case float64:
		return number(v, 64)
	case int32:
		return moment(node, int64(v), v)
	case int64:
		return moment(node, v, v)
	case deprecated.Int96:
		const julian1970 = 2_440_588
		day, nanos := int64(v[2])-julian1970, int64(v[1])<<32|int64(v[0])
		return time.Unix(day*86_400, nanos).UTC().Format("2006-01-02T15:04:05.999999999")
	case fmt.Stringer:
		return v.String()
	}
	return v
}

// number is written as in JSON: with all its digits, and with an exponent only
// where it is very large or small. What JSON has no number for is text.
func number(f float64, bits int) any {
	form := byte('f')
	if size := math.Abs(f); size != 0 && size < 1e-6 || size >= 1e21 {
		form = 'g'
	}
	text := strconv.FormatFloat(f, form, -1, bits)
	if strings.ContainsAny(text, "IN") { // NaN and the infinities
		return text
	}
	return json.Number(text)
}

// textOfBytes is a column of bytes as text, in hexadecimal if it is none.
func textOfBytes(node parquet.Node, s string) string {
	if t, ok := logical(node).(*pqformat.DecimalType); ok && len(s) <= mostDecimal {
		n := new(big.Int).SetBytes([]byte(s))
		if s != "" && s[0]&0x80 != 0 { // it is negative
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(s))))
		}
		return pointed(n, t.Scale)
	}
	if utf8.ValidString(s) {
		return s
	}
	return hex.EncodeToString([]byte(s))
}

func logical(node parquet.Node) any {
	if node == nil || !node.Leaf() || node.Type() == nil || node.Type().LogicalType() == nil {
		return nil
	}
	return node.Type().LogicalType().Value
}

// Bounds of decimals: those of 256 bits have 32 bytes and 76 places.
const (
	mostDecimal = 64
	mostPlaces  = 100
)

// pointed is a whole number with some of its digits behind the point.
func pointed(n *big.Int, places int32) string {
	if places < 0 || places > mostPlaces {
		return fmt.Sprintf("%de%d", n, -int64(places))
	}
	one := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)
	return new(big.Rat).SetFrac(n, one).FloatString(int(places))
}

// undivided is a node whose decimals are read as the whole numbers they are
// stored as. The library would divide them by whatever power of ten the file
// says, for as long as that takes, and those of 32 and 64 bits as floating-point
// numbers of as many bits, which have fewer digits.
type undivided struct{ parquet.Node }

func (u undivided) Type() parquet.Type      { return storedAs(u.Node) }
func (u undivided) Fields() []parquet.Field { return undividedFields(u.Node) }

type undividedField struct{ parquet.Field }

func (u undividedField) Type() parquet.Type      { return storedAs(u.Field) }
func (u undividedField) Fields() []parquet.Field { return undividedFields(u.Field) }

func undividedFields(node parquet.Node) []parquet.Field {
	fields := slices.Clone(node.Fields())
	for i, f := range fields {
		fields[i] = undividedField{f}
	}
	return fields
}

func storedAs(node parquet.Node) parquet.Type {
	t := node.Type()
	if _, ok := logical(node).(*pqformat.DecimalType); !ok {
		return t
	}
	switch t.Kind() {
	case parquet.Int32:
		return parquet.Int32Type
	case parquet.Int64:
		return parquet.Int64Type
	case parquet.ByteArray:
		return parquet.ByteArrayType
	case parquet.FixedLenByteArray:
		return parquet.FixedLenByteArrayType(t.Length())
	}
	return t
}

// moment is a whole number as the date, the time or the decimal it stands for,
// if it does.
func moment(node parquet.Node, n int64, otherwise any) any {
	switch t := logical(node).(type) {
	case *pqformat.DecimalType:
		return pointed(big.NewInt(n), t.Scale)
	case *pqformat.DateType:
		return time.Unix(n*86_400, 0).UTC().Format(time.DateOnly)
	case *pqformat.TimestampType:
		text := instant(t.Unit, n).Format("2006-01-02T15:04:05.999999999")
		if t.IsAdjustedToUTC {
			text += "Z"
		}
		return text
	case *pqformat.TimeType:
		return instant(t.Unit, n).Format("15:04:05.999999999")
	}
	return otherwise
}

func instant(unit pqformat.TimeUnit, n int64) time.Time {
	switch unit.Value.(type) {
	case *pqformat.MilliSeconds:
		return time.UnixMilli(n).UTC()
	case *pqformat.MicroSeconds:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}

// element is what a list's column holds: lists are groups of one repeated
// group of one element.
func element(node parquet.Node) parquet.Node {
	for node != nil && !node.Leaf() {
		fields := node.Fields()
		if len(fields) != 1 {
			return node
		}
		repeated := fields[0].Repeated()
		if node = fields[0]; repeated && (node.Leaf() || len(node.Fields()) != 1) {
			return node
		}
		if !repeated {
			return node
		}
	}
	return node
}

func child(node parquet.Node, name string) parquet.Node {
	if node == nil || node.Leaf() {
		return nil
	}
	for _, f := range node.Fields() {
		if f.Name() == name {
			return f
		}
	}
	return nil
}
