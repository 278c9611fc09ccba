package chaos

// Stroke is one fault of a plan.
type Stroke struct {
	Fault Fault
	// Number counts the strokes of this fault, from 0.
	Number int
	// At is the share of all keys that begins before it.
	At float64
	// Seed is of what is drawn besides: whom it befalls, for how long.
	Seed uint64
}

// Plan returns the faults in their order, in two lanes that run side by side:
// what takes one server out for a time, and what kills a server or befalls Redis.
// With more at once hardly a request would get as far as the moments that matter,
// and a server that is killed while Redis stands still takes too many claims with
// it.
//
// The plan follows from the configuration alone. Not in it are replies that get
// lost and clients that hang up, of whom there is a share.
func (c Config) Plan() [][]Stroke {
	return [][]Stroke{c.lane(0, outages()), c.lane(1, blows())}
}

// lane draws the order of some faults: each as often as the run's size demands,
// spread over the run.
func (c *Config) lane(number uint64, faults []Fault) []Stroke {
	d := newDice(c.Seed, laneDice, number)
	var strokes []Stroke
	for _, f := range faults {
		for range c.times(f) {
			strokes = append(strokes, Stroke{Fault: f})
		}
	}
	d.Shuffle(len(strokes), func(i, k int) { strokes[i], strokes[k] = strokes[k], strokes[i] })
	keepApart(strokes, MemoryLoss)
	count := make(map[Fault]int)
	for i := range strokes {
		s := &strokes[i]
		s.Number = count[s.Fault]
		s.At = (float64(i) + d.Float64()) / float64(len(strokes))
		s.Seed = d.Uint64()
		count[s.Fault]++
	}
	return strokes
}

// keepApart spreads the strokes of a fault evenly among the others. Two losses of
// memory at short distance would leave nothing in between that could be lost.
func keepApart(strokes []Stroke, f Fault) {
	n := 0
	others := make([]Stroke, 0, len(strokes))
	for _, s := range strokes {
		if s.Fault == f {
			n++
			continue
		}
		others = append(others, s)
	}
	for i, spread := 0, 0; i < len(strokes); i++ {
		if spread < n && i >= (2*spread+1)*len(strokes)/(2*n) {
			strokes[i] = Stroke{Fault: f}
			spread++
			continue
		}
		strokes[i], others = others[0], others[1:]
	}
}
