package lua

import (
	"fmt"
	"strconv"
	"time"
)

// decode reads what driver.lua returned for one operation.
func decode(raw any) (Reply, error) {
	if n, ok := raw.(int64); ok {
		switch n {
		case -1:
			return Reply{NoEpoch: true}, nil
		case -2:
			return Reply{Left: true}, nil
		}
		return Reply{Wait: micros(n)}, nil
	}
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		return Reply{}, fmt.Errorf("unexpected %T", raw)
	}
	code, _ := list[0].(int64)
	switch {
	case code == 0 && len(list) == 6:
		return Reply{Refused: true, Module: text(list[1]), Why: text(list[2]), Wait: micros(list[3]), Final: text(list[4]) == "1", Tag: text(list[5])}, nil
	case code == -2 && len(list) == 2:
		return Reply{Fault: text(list[1])}, nil
	case code == 3:
		var r Reply
		for _, c := range list[1:] {
			r.Lapsed = append(r.Lapsed, text(c))
		}
		return r, nil
	}
	return Reply{}, fmt.Errorf("unexpected %v", list)
}

func text(v any) string { return fmt.Sprint(v) }

func micros(v any) time.Duration {
	switch n := v.(type) {
	case int64:
		return time.Duration(n) * time.Microsecond
	case string:
		f, _ := strconv.ParseFloat(n, 64)
		return time.Duration(f) * time.Microsecond
	}
	return 0
}
