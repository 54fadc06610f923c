package hsm

import (
	"reflect"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
)

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
