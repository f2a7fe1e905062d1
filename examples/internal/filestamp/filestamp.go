// Package filestamp tells whether files have changed.
package filestamp

import (
	"fmt"
	"os"
	"strings"
)

// Of returns what tells versions of files apart: a line for each of them, with its size and the
// time of its last change. A file that cannot be seen has a line too.
func Of(names []string) string {
	var b strings.Builder
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintln(&b, info.ModTime().UnixNano(), info.Size())
		} else {
			fmt.Fprintln(&b, "-")
		}
	}
	return b.String()
}
