package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// cell is what one module did in the slices of one row.
type cell struct {
	wall, cpu []float64 // nanoseconds of the clock and of the processor, a call
}

func (c *cell) add(f []float64) {
	c.wall = append(c.wall, f[1]/f[0])
	c.cpu = append(c.cpu, f[2]/f[0])
}

func (c *cell) none() bool { return c == nil || len(c.wall) == 0 }

// row is an operation with a number of threads: a cell for each module.
type row struct {
	op      string
	threads int
	cells   map[string]*cell
}

// ratio says how many times as much of the processor another module needs for a
// call, by p10 or median; 0 without figures.
func (r *row) ratio(other string, of func([]float64) float64) float64 {
	a, b := r.cells["Perilune"], r.cells[other]
	if a.none() || b.none() {
		return 0
	}
	return of(b.cpu) / of(a.cpu)
}

func (r *row) wallRatio(other string, of func([]float64) float64) float64 {
	a, b := r.cells["Perilune"], r.cells[other]
	if a.none() || b.none() {
		return 0
	}
	return of(b.wall) / of(a.wall)
}

func median(v []float64) float64 { return quantile(v, 0.5) }

// p10 is what the quietest tenth of the slices needed at most.
func p10(v []float64) float64 { return quantile(v, 0.1) }

func quantile(v []float64, q float64) float64 {
	v = slices.Sorted(slices.Values(v))
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[i]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// tableHead begins a table with a text column and columns of numbers.
func tableHead(w io.Writer, first string, columns ...string) {
	fmt.Fprintf(w, "\n| %s | %s |\n|---|%s\n", first, strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
}

func tableRow(w io.Writer, cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

// pair shows a figure's median and its p10.
func pair(v []float64, show func(float64) string) string {
	return show(median(v)) + " / " + show(p10(v))
}

func perSecond(ns float64) string {
	switch v := 1e9 / ns; {
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.1f k", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

func duration(ns float64) string {
	switch {
	case ns >= 1e9:
		return fmt.Sprintf("%.3g s", ns/1e9)
	case ns >= 1e6:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.3g us", ns/1e3)
	}
	return fmt.Sprintf("%.0f ns", ns)
}

func times(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
