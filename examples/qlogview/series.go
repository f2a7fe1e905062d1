package main

import "math"

// Bounds of each curve on the page. A curve with more than maxPoints points is made of bins
// instead. Their number then stays between maxBins/2 and maxBins.
const (
	maxPoints = 6000
	maxBins   = 4096
)

// A curve is a value over time. It keeps every point as long as there are few. After that it keeps
// the envelope of each bin of time: how many points there are, the least, the greatest and the
// last. The bins become twice as wide when there would be too many. So the size does not depend on
// the trace.
type curve struct {
	T, V []int64 // µs and values; empty if there are bins

	Width int64 // of a bin, in µs; 0 if there are points
	Bins  []bin // by time
}

// A bin is the envelope of the points in it. N is 0 if there are none.
type bin struct{ N, Min, Max, Last int64 }

func (b *bin) add(v int64) {
	if b.N == 0 {
		b.Min, b.Max = v, v
	}
	b.N++
	b.Min, b.Max, b.Last = min(b.Min, v), max(b.Max, v), v
}

// join adds the points of the next bin.
func (b *bin) join(next bin) {
	switch {
	case next.N == 0:
	case b.N == 0:
		*b = next
	default:
		b.N += next.N
		b.Min, b.Max, b.Last = min(b.Min, next.Min), max(b.Max, next.Max), next.Last
	}
}

// add adds a point.
func (c *curve) add(t, v int64) {
	if c.Width > 0 {
		c.binOf(t).add(v)
		return
	}
	if len(c.T) < maxPoints {
		c.T, c.V = append(c.T, t), append(c.V, v)
		return
	}
	ts, vs := c.T, c.V
	c.T, c.V, c.Width = nil, nil, 1
	for i, t := range ts {
		c.binOf(t).add(vs[i])
	}
	c.binOf(t).add(v)
}

// count returns the number of points.
func (c *curve) count() int64 {
	n := int64(len(c.T))
	for i := range c.Bins {
		n += c.Bins[i].N
	}
	return n
}

// binOf returns the bin of a time, after it has made bins wide enough.
func (c *curve) binOf(t int64) *bin {
	for t/c.Width >= maxBins {
		c.Bins = halve(c.Bins, (*bin).join)
		c.Width *= 2
	}
	return grow(&c.Bins, t/c.Width)
}

// halve joins pairs of bins.
func halve[B any](bins []B, join func(*B, B)) []B {
	for i := range bins {
		if i%2 == 0 {
			bins[i/2] = bins[i]
		} else {
			join(&bins[i/2], bins[i])
		}
	}
	half := (len(bins) + 1) / 2
	clear(bins[half:])
	return bins[:half]
}

// grow returns the bin of an index. It makes that bin and those before it if they do not exist.
func grow[B any](bins *[]B, i int64) *B {
	for int64(len(*bins)) <= i {
		*bins = append(*bins, *new(B))
	}
	return &(*bins)[i]
}

// An encoded is a curve in few characters. Each time is the difference to the time before. Bins
// without points are left out.
type encoded struct {
	Width int64   `json:"w"` // 0 for points
	T     []int64 `json:"t"` // of points in µs, or indices of bins: differences
	V     []int64 `json:"v"` // of points, or the last of bins
	N     []int64 `json:"n,omitempty"`
	Min   []int64 `json:"min,omitempty"`
	Max   []int64 `json:"max,omitempty"`
}

// encode returns the curve with times less from.
func (c *curve) encode() encoded {
	e := encoded{Width: c.Width, T: []int64{}, V: []int64{}}
	last := int64(0)
	for i, t := range c.T {
		e.T, e.V = append(e.T, t-last), append(e.V, c.V[i])
		last = t
	}
	for i, b := range c.Bins {
		if b.N == 0 {
			continue
		}
		e.T, e.V = append(e.T, int64(i)-last), append(e.V, b.Last)
		e.N, e.Min, e.Max = append(e.N, b.N), append(e.Min, b.Min), append(e.Max, b.Max)
		last = int64(i)
	}
	return e
}

// never stands for the time of something that has not happened.
const never = math.MinInt64
