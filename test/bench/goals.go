package main

import (
	"fmt"
	"strings"
)

// goal is a ratio that is aimed at: how many times as much of the processor
// another needs for a call. The clock counts where the goal is a rate.
type goal struct {
	op      string
	threads int
	against string
	least   float64
	wall    bool
}

var ratioGoals = []goal{
	{"rsa2048-sign", 1, "OpenSSL", 1.7, false}, {"rsa2048-sign", 16, "OpenSSL", 2.3, false},
	{"rsa2048-sign", 1, "SoftHSM2", 3, false}, {"rsa2048-sign", 16, "SoftHSM2", 5, false},
	{"rsa3072-sign", 1, "OpenSSL", 3.5, false}, {"rsa3072-sign", 16, "OpenSSL", 5, false},
	{"rsa4096-sign", 1, "OpenSSL", 3.5, false}, {"rsa4096-sign", 16, "OpenSSL", 5, false},
	{"rsa2048-verify", 1, "OpenSSL", 2, false}, {"rsa2048-keygen", 1, "OpenSSL", 4, false},
	{"p256-sign", 1, "OpenSSL", 1, false}, {"p256-verify", 1, "OpenSSL", 0.95, false}, {"p256-ecdh", 1, "OpenSSL", 0.95, false},
	{"p256-sign", 1, "SoftHSM2", 2, false}, {"p256-verify", 1, "SoftHSM2", 2, false}, {"p256-ecdh", 1, "SoftHSM2", 2, false},
	{"p384-sign", 1, "OpenSSL", 3, false},
	{"brainpool256-sign", 1, "OpenSSL", 3, false}, {"brainpool384-sign", 1, "OpenSSL", 3, false}, {"brainpool512-sign", 1, "OpenSSL", 3, false},
	{"aes256-gcm-16", 1, "SoftHSM2", 10, false}, {"aes256-gcm-1024", 1, "SoftHSM2", 10, false}, {"aes256-gcm-16384", 1, "SoftHSM2", 3, false},
	{"aes256-gcm-16384", 1, "OpenSSL", 1, false},
	{"create-token-object", 1, "SoftHSM2", 10, true},
}

// goals writes what was aimed at beside what was measured, of what ran.
func (b *bench) goals() {
	tableHead(b.out, "goal", "aimed at", "measured: median / p10", "met")
	for _, g := range ratioGoals {
		if r := b.row(g.op, g.threads); r != nil {
			g.write(b, r)
		}
	}
	b.rateGoals()
	b.objectGoals()
	b.slower()
}

func (b *bench) row(op string, threads int) *row {
	for _, r := range b.rows {
		if r.op == op && r.threads == threads && !r.cells["Perilune"].none() {
			return r
		}
	}
	return nil
}

func (g *goal) write(b *bench, r *row) {
	ratio, kind := r.ratio, "processor"
	if g.wall {
		ratio, kind = r.wallRatio, "clock"
	}
	m, q := ratio(g.against, median), ratio(g.against, p10)
	if m == 0 {
		return
	}
	name := fmt.Sprintf("%s, %d thread%s, of %s, by the %s", g.op, g.threads, plural(g.threads), g.against, kind)
	tableRow(b.out, name, fmt.Sprintf("%.2f", g.least), times(m)+" / "+times(q), met(m >= g.least, q >= g.least))
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func met(median, p10 bool) string {
	switch {
	case median && p10:
		return "yes"
	case median || p10:
		return "nearly"
	}
	return "no"
}

func (b *bench) rateGoals() {
	for _, g := range []struct {
		op      string
		threads int
		least   float64
	}{{"create-token-object", 64, 4000}, {"rsa2048-sign", 16, 10000}} {
		if r := b.row(g.op, g.threads); r != nil {
			w := r.cells["Perilune"].wall
			tableRow(b.out, fmt.Sprintf("%s, %d threads, calls a second", g.op, g.threads), perSecond(1e9/g.least),
				pair(w, perSecond), met(1e9/median(w) >= g.least, 1e9/p10(w) >= g.least))
		}
	}
}

func (b *bench) objectGoals() {
	const many, some = 100000, 50000
	atMost := func(title, aim string, least float64, values []float64, show func(float64) string) {
		if values != nil {
			tableRow(b.out, title, aim, pair(values, show), met(median(values) <= least, p10(values) <= least))
		}
	}
	atMost("find-by-id among 100,000, by the clock", "50 us", 50e3, b.figure("find-by-id", "Perilune", many), duration)
	atMost("find-by-id among 100,000, by the processor", "50 us", 50e3, b.figure("find-by-id"+processorsTime, "Perilune", many), duration)
	if ours, theirs := b.figure("find-by-id", "Perilune", many), b.figure("find-by-id", "SoftHSM2", some); ours != nil && theirs != nil {
		m, q := median(theirs)/median(ours), p10(theirs)/p10(ours)
		tableRow(b.out, "find-by-id among 100,000, of SoftHSM2 among 50,000", "10000", times(m)+" / "+times(q), met(m >= 10000, q >= 10000))
	}
	for _, name := range []string{"C_Initialize", "C_OpenSession and C_Login"} {
		if full, empty := b.figure(name, "Perilune", many), b.figure(name, "Perilune", 0); full != nil && empty != nil {
			m, q := median(full)/median(empty), p10(full)/p10(empty)
			tableRow(b.out, name+" with 100,000 objects, of an empty store", "at most 2", times(m)+" / "+times(q), met(m <= 2, q <= 2))
		}
	}
	atMost(smallGCM+"with 100,000 objects: "+beyond, "2 us", 2e3, b.figure(smallGCM+beyond, "Perilune", many), duration)
}

// slower names what SoftHSM2 does with less of the processor, or sooner.
func (b *bench) slower() {
	var list []string
	for _, r := range b.rows {
		m, q := r.ratio("SoftHSM2", median), r.ratio("SoftHSM2", p10)
		if m > 0 && m < 1 && q < 1 {
			list = append(list, fmt.Sprintf("%s (%d thread%s: %s / %s)", r.op, r.threads, plural(r.threads), times(m), times(q)))
		}
	}
	if !b.has("SoftHSM2") || len(b.rows) == 0 {
		return
	}
	text := "none"
	if len(list) > 0 {
		text = strings.Join(list, ", ")
	}
	fmt.Fprintf(b.out, "\nSlower than SoftHSM2, by the processor's time: %s.\n", text)
}
