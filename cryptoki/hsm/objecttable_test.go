package hsm

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestObjectTable compares the table with a map, through lives of objects that
// begin in the order of their handles and end in any.
func TestObjectTable(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, begin := range []ck.ObjectHandle{firstSessionObject, firstSessionObject + 12345, lastSessionObject - 60000} {
		var table objectTable
		want := map[ck.ObjectHandle]*object{}
		next, most := begin, 0
		for step := range 30000 {
			switch random.IntN(4) {
			case 0, 1:
				if step%5000 > 4000 { // times in which more ends than begins
					break
				}
				o := &object{handle: next}
				next += 1 + ck.ObjectHandle(random.IntN(2))
				if random.IntN(500) == 0 {
					next += 5 * objectsOnPage // those of another HSM of the process
				}
				table.put(o)
				want[o.handle] = o
			case 2:
				for handle := range want {
					table.put(&object{handle: handle})
					want[handle] = table.get(handle)
					break
				}
			case 3:
				for handle, o := range want {
					if got := table.remove(handle); got != o {
						t.Fatalf("removed %p, want %p", got, o)
					}
					delete(want, handle)
					break
				}
			}
			handle := begin + ck.ObjectHandle(random.IntN(int(next-begin)+1000))
			if table.get(handle) != want[handle] || table.n != len(want) {
				t.Fatalf("step %d, handle %d: %p, want %p; %d objects, want %d", step, handle, table.get(handle), want[handle], table.n, len(want))
			}
			most = max(most, len(want))
		}
		for handle := range want {
			table.remove(handle)
		}
		left := 0
		for i := range table.pages.Load().list {
			if table.pages.Load().list[i].Load() != nil {
				left++
			}
		}
		if left > 1 || table.remove(begin) != nil {
			t.Errorf("%d pages are left of %d objects", left, most)
		}
	}
}

// TestObjectTableReaders: who looks up while the table grows and shrinks finds
// what is there, and nothing else.
func TestObjectTableReaders(t *testing.T) {
	var (
		table   objectTable
		readers sync.WaitGroup
		done    = make(chan struct{})
		stays   = &object{handle: firstSessionObject + 7}
	)
	table.put(stays)
	for range 2 {
		readers.Go(func() {
			for i := ck.ObjectHandle(0); ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if table.get(stays.handle) != stays {
					t.Error("an object is gone that nobody removed")
					return
				}
				handle := firstSessionObject + i%20000
				if o := table.get(handle); o != nil && o.handle != handle {
					t.Errorf("%d under the handle %d", o.handle, handle)
					return
				}
			}
		})
	}
	for i := range ck.ObjectHandle(20000) {
		table.put(&object{handle: firstSessionObject + 100 + i})
		if i >= 1000 {
			table.remove(firstSessionObject + 100 + i - 1000)
		}
	}
	close(done)
	readers.Wait()
}

func BenchmarkSessionObject(b *testing.B) {
	var objects sessionObjects
	owner := new(session)
	objects.byOwner = map[*session]map[ck.ObjectHandle]*object{}
	handles := make([]ck.ObjectHandle, 100_000)
	for i := range handles {
		handles[i] = firstSessionObject + ck.ObjectHandle(i)
		objects.put(&object{handle: handles[i], owner: owner})
	}
	random := rand.New(rand.NewPCG(5, 6))
	random.Shuffle(len(handles), func(i, j int) { handles[i], handles[j] = handles[j], handles[i] })
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if objects.get(handles[i%len(handles)]) == nil {
				b.Fatal("not found")
			}
		}
	})
}
