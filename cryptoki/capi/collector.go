package capi

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// garbage is how much garbage the collector waits for, in bytes, where Go would
// wait for as much as lives. With the megabyte or two that lives in a small
// HSM it would run hundreds of times a second under load, and each run visits
// every one of procs.
const garbage = 16 << 20

var startCollector sync.Once

// collectLess makes the collector wait, and after each of its runs adapts the
// wait to what lives by then. It works by a percentage: from the minimal heap
// of 4 MiB, 400 gives the 16 MiB.
func collectLess() {
	percent := 400
	debug.SetGCPercent(percent)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var adapt func()
	adapt = func() {
		metrics.Read(live)
		want := max(100, min(400, 100*garbage/max(1, int(live[0].Value.Uint64()))))
		if want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		afterCollection(adapt)
	}
	afterCollection(adapt)
}

// afterCollection runs f once, when the collector has next run.
func afterCollection(f func()) {
	type canary struct{ _ *int } // with a pointer, so that it is not merged with other small objects
	runtime.AddCleanup(&canary{new(int)}, func(f func()) { f() }, f)
}
