package script

import (
	"fmt"
	"go/format"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Source writes v, a script, as a Go expression. Fields with their zero value are left out. Types
// of the package pkg have no package in front of their name.
func Source(v any, pkg string) string {
	p := printer{pkg: pkg + "."}
	p.value(reflect.ValueOf(v), true)
	src, err := format.Source([]byte(p.b.String()))
	if err != nil {
		return p.b.String() // it can be read, at least
	}
	return string(src)
}

type printer struct {
	b   strings.Builder
	pkg string
}

// value writes v. The name of its type is needed if typed is set.
func (p *printer) value(v reflect.Value, typed bool) {
	switch v.Kind() {
	case reflect.Struct:
		p.typeName(v, typed)
		p.fields(v)
	case reflect.Slice, reflect.Array:
		p.typeName(v, typed)
		p.elements(v)
	case reflect.Int64:
		if v.Type() == reflect.TypeFor[time.Duration]() {
			p.b.WriteString(duration(time.Duration(v.Int())))
			return
		}
		fmt.Fprint(&p.b, v.Int())
	case reflect.String:
		p.b.WriteString(strconv.Quote(v.String()))
	default:
		fmt.Fprintf(&p.b, "%v", v)
	}
}

func (p *printer) typeName(v reflect.Value, typed bool) {
	if typed {
		p.b.WriteString(strings.ReplaceAll(v.Type().String(), p.pkg, ""))
	}
}

// fields writes the fields of a struct, in one line if none of them holds others.
func (p *printer) fields(v reflect.Value) {
	var set []int
	flat := true
	for i := range v.NumField() {
		if f := v.Field(i); v.Type().Field(i).IsExported() && plain(f.Kind()) && !f.IsZero() {
			set = append(set, i)
			flat = flat && f.Kind() != reflect.Struct && f.Kind() != reflect.Slice
		}
	}
	p.list(len(set), flat, func(i int) {
		p.b.WriteString(v.Type().Field(set[i]).Name + ": ")
		p.value(v.Field(set[i]), true)
	})
}

func (p *printer) elements(v reflect.Value) {
	flat := v.Type().Elem().Kind() != reflect.Struct
	p.list(v.Len(), flat, func(i int) { p.value(v.Index(i), false) })
}

// list writes n things in braces, in one line if flat is set.
func (p *printer) list(n int, flat bool, one func(i int)) {
	p.b.WriteByte('{')
	for i := range n {
		if !flat {
			p.b.WriteByte('\n')
		} else if i > 0 {
			p.b.WriteByte(' ')
		}
		one(i)
		if !flat || i < n-1 {
			p.b.WriteByte(',')
		}
	}
	if !flat && n > 0 {
		p.b.WriteByte('\n')
	}
	p.b.WriteByte('}')
}

// plain reports whether values of a kind can stand in a script.
func plain(k reflect.Kind) bool {
	switch k {
	case reflect.Func, reflect.Interface, reflect.Pointer, reflect.Map, reflect.Chan, reflect.UnsafePointer:
		return false
	}
	return true
}

// duration writes d in the largest unit in which it is whole.
func duration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "Second"}, {time.Millisecond, "Millisecond"}, {time.Microsecond, "Microsecond"}, {1, "Nanosecond"}} {
		if d != 0 && d%u.unit == 0 {
			return fmt.Sprintf("%d * time.%s", d/u.unit, u.name)
		}
	}
	return "0"
}

// Size counts the values of a script that are not zero.
func Size(v any) int { return size(reflect.ValueOf(v)) }

func size(v reflect.Value) (n int) {
	switch {
	case v.IsZero() || !plain(v.Kind()):
		return 0
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			n += size(v.Field(i))
		}
		return n
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for i := range v.Len() {
			n += size(v.Index(i))
		}
	}
	return max(n, 1)
}
