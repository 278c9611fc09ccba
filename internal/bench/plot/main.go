// Command plot draws what a request costs against callers and body size, from the
// output of the benchmarks:
//
//	go test -run '^$' -bench . -benchtime 1x . | go run ./plot > ../../idempotency/docs/performance.svg
//
// The costs are in times of a bare GET of the same size with as many callers, in the
// same run, since absolute figures say more about the machine.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	costs, err := read(in)
	if err != nil {
		return err
	}
	byCallers, err := panel("1 KiB", "callers", costs, func(c place) (float64, bool) { return float64(c.callers), c.size == 1<<10 })
	if err != nil {
		return err
	}
	bySize, err := panel("64 callers", "bytes of body", costs, func(c place) (float64, bool) { return float64(c.size), c.callers == 64 })
	if err != nil {
		return err
	}
	canvas := vgsvg.New(22*vg.Centimeter, 9*vg.Centimeter)
	tiles := draw.Tiles{Rows: 1, Cols: 2, PadX: vg.Centimeter, PadTop: vg.Millimeter * 3, PadRight: vg.Millimeter * 5}
	plots := [][]*plot.Plot{{byCallers, bySize}}
	for i, c := range plot.Align(plots, tiles, draw.New(canvas))[0] {
		plots[0][i].Draw(c)
	}
	_, err = canvas.WriteTo(out)
	return err
}

// place is what was measured: which case, with how large a body and how many callers.
type place struct {
	name          string
	size, callers int
}

// result is a line of a benchmark's output, such as
// "BenchmarkReplay/1024B/64callers/plain-2  1  17407 ns/op".
var result = regexp.MustCompile(`^Benchmark(Replay|ReplayTogether|First)/(\d+)B/(\d+)callers/([^ ]+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op`)

// drawn returns the name of what is drawn of a benchmark's ways.
func drawn(benchmark, way string) (name string, ok bool) {
	switch benchmark + " " + way {
	case "Replay plain":
		return "replay", true
	case "ReplayTogether together":
		return "replay, AutoPipeline", true
	case "First plain":
		return "first execution", true
	}
	return "", false
}

// read returns the costs in times of a GET.
func read(in io.Reader) (map[place]float64, error) {
	took, get := make(map[place]float64), make(map[place]float64)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		m := result.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		size, err1 := strconv.Atoi(m[2])
		callers, err2 := strconv.Atoi(m[3])
		nanoseconds, err3 := strconv.ParseFloat(m[5], 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, err
		}
		if m[1] == "Replay" && m[4] == "GET" {
			get[place{"", size, callers}] = nanoseconds
		}
		if name, ok := drawn(m[1], m[4]); ok {
			took[place{name, size, callers}] = nanoseconds
		}
	}
	for at := range took {
		over, ok := get[place{"", at.size, at.callers}]
		if !ok {
			delete(took, at)
			continue
		}
		took[at] /= over
	}
	if len(took) == 0 {
		return nil, errors.New("no results of BenchmarkReplay in the input")
	}
	return took, lines.Err()
}

// panel draws a line for each case, over what x takes of a place.
func panel(title, label string, costs map[place]float64, x func(place) (at float64, drawn bool)) (*plot.Plot, error) {
	lines := make(map[string]plotter.XYs)
	var marks []plot.Tick
	for at, cost := range costs {
		if value, here := x(at); here {
			lines[at.name] = append(lines[at.name], plotter.XY{X: value, Y: cost})
			marks = append(marks, plot.Tick{Value: value, Label: amount(int(value))})
		}
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, label, "times a bare GET"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(marks)
	p.Y.Min, p.Legend.Top = 0, true
	p.Add(plotter.NewGrid())
	for i, name := range slices.Sorted(maps.Keys(lines)) {
		slices.SortFunc(lines[name], func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		line, points, err := plotter.NewLinePoints(lines[name])
		if err != nil {
			return nil, err
		}
		line.Color, points.Color = colorOf(i), colorOf(i)
		p.Add(line, points)
		p.Legend.Add(name, line, points)
	}
	p.Y.Max *= 1.3 // room for the legend
	return p, nil
}

// colorOf returns a colour for each of the lines.
func colorOf(line int) color.Color {
	return [...]color.RGBA{
		{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff}, {R: 0x2c, G: 0x3e, B: 0x9e, A: 0xff}, {R: 0x1e, G: 0x8f, B: 0x5a, A: 0xff},
	}[line%3]
}

func amount(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprint(n>>20, "Mi")
	case n >= 1<<10:
		return fmt.Sprint(n>>10, "Ki")
	}
	return strconv.Itoa(n)
}
