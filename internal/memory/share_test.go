package memory

import "testing"

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		most, least int
		used        int64
		want        int
	}{
		{1000, 10, 0, 1000},
		{1000, 10, 100, 1000},
		{1000, 10, 125, 750},
		{1000, 10, 199, 10},
		{1000, 10, 200, 10},
		{1000, 10, 10_000, 10},
		{1000, 0, 10_000, 0},
		{5, 10, 10_000, 5},
		{5, 10, 0, 5},
	} {
		if got := Share(tt.most, tt.least, tt.used, 400); got != tt.want {
			t.Errorf("Share(%d, %d, %d, 400) = %d, want %d", tt.most, tt.least, tt.used, got, tt.want)
		}
	}
}
