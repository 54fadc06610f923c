package hsm

import (
	"bytes"
	"reflect"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
)

// cloneParam copies a mechanism's parameter with everything that it points to:
// an operation outlives the request, whose bytes belong to the caller.
func cloneParam(param any) any {
	switch p := param.(type) {
	case nil:
		return nil
	case []byte:
		return bytes.Clone(p)
	}
	v := reflect.ValueOf(param)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return param
	}
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	detach(c.Elem())
	return c.Interface()
}

// detach replaces what v points to by copies.
func detach(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				detach(f)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			detach(c.Elem())
			v.Set(c)
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(bytes.Clone(v.Bytes()))
			return
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(c, v)
		for i := range c.Len() {
			detach(c.Index(i))
		}
		v.Set(c)
	}
}

// paramHandles lists the handles of keys that a parameter names, in the order
// of the fields. A pointer that is nil counts as handles that are 0, so that
// each has its place.
func paramHandles(param any) []ck.ObjectHandle {
	if handle, ok := param.(ck.ObjectHandle); ok {
		return []ck.ObjectHandle{handle}
	}
	v := reflect.ValueOf(param)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	var list []ck.ObjectHandle
	for _, path := range handlePaths(v.Elem().Type()) {
		list = append(list, handleAt(v.Elem(), path))
	}
	return list
}

var handleType = reflect.TypeFor[ck.ObjectHandle]()

// knownPaths remembers what findHandlePaths found, by type.
var knownPaths sync.Map

// handlePaths lists where a structure has handles: the field's index, and from
// there on, through structures and pointers to structures.
func handlePaths(t reflect.Type) [][]int {
	if paths, ok := knownPaths.Load(t); ok {
		return paths.([][]int)
	}
	paths := findHandlePaths(t)
	knownPaths.Store(t, paths)
	return paths
}

func findHandlePaths(t reflect.Type) (paths [][]int) {
	for i := range t.NumField() {
		ft := t.Field(i).Type
		if ft == handleType {
			paths = append(paths, []int{i})
			continue
		}
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct {
			for _, rest := range findHandlePaths(ft) {
				paths = append(paths, append([]int{i}, rest...))
			}
		}
	}
	return paths
}

func handleAt(v reflect.Value, path []int) ck.ObjectHandle {
	for _, i := range path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return 0
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return ck.ObjectHandle(v.Uint())
}
