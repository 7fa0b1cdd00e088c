package config

import (
	"fmt"
	"reflect"
	"strings"
)

// fieldsOf lists the settings of a struct by what the file calls them, those
// of inlined structs among them.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for f := range t.Fields() {
		switch name := f.Tag.Get("yaml"); name {
		case "", "-":
		case ",inline":
			for name, inner := range fieldsOf(f.Type) {
				inner.Index = append(append([]int{}, f.Index...), inner.Index...)
				fields[name] = inner
			}
		default:
			fields[name] = f
		}
	}
	return fields
}

// alone is the field of a struct that may stand for the whole, as a list.
func alone(t reflect.Type) (reflect.StructField, bool) {
	for _, f := range fieldsOf(t) {
		if f.Tag.Get("alone") != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// fillDefaults sets the defaults of a struct's fields, and of the structs in
// it. Other values are left alone.
func fillDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct || isScalar(v.Type()) {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		field := v.FieldByIndex(f.Index)
		fillDefaults(field)
		text, ok := f.Tag.Lookup("default")
		if !ok {
			continue
		}
		if err := setScalar(field, text, f.Tag); err != nil {
			panic(fmt.Sprintf("config: the default of %s must be %v", f.Name, err))
		}
	}
}

// setting is a single value that can be set from outside of the file.
type setting struct {
	path  string
	value reflect.Value
	tag   reflect.StructTag
}

// settings lists the single values of a struct by the environment variables
// that set them.
func settings(v reflect.Value, path string) map[string]setting {
	all := map[string]setting{}
	for name, f := range fieldsOf(v.Type()) {
		field, at := v.FieldByIndex(f.Index), join(path, name)
		switch {
		case isScalar(f.Type):
			all[variable(at)] = setting{at, field, f.Tag}
		case f.Type.Kind() == reflect.Struct:
			for name, s := range settings(field, at) {
				all[name] = s
			}
		}
	}
	return all
}

// variable is the environment variable of the setting at a path.
func variable(path string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

const prefix = "DROVER_"
