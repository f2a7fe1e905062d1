package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// copyPrograms makes all contenders run from copies in dir. What a linker has written lies in small
// pages of the page cache, and a copy in large ones. Where caches are crowded, that is up to 7 % of
// a program's CPU. Programs must be allowed to run from the folder of temporary files.
func (c *comparison) copyPrograms(dir string) error {
	copies := make(map[string]string)
	replace := func(path *string) error {
		if *path == "" {
			return nil
		}
		to, ok := copies[*path]
		if !ok {
			b, err := os.ReadFile(*path)
			if err != nil {
				return err
			}
			to = filepath.Join(dir, fmt.Sprintf("%d-%s", len(copies), filepath.Base(*path)))
			if err := os.WriteFile(to, b, 0o700); err != nil {
				return err
			}
			copies[*path] = to
		}
		*path = to
		return nil
	}
	paths := []*string{&c.self}
	for i := range c.contenders {
		paths = append(paths, &c.contenders[i].path, &c.contenders[i].clientPath)
	}
	for _, path := range paths {
		if err := replace(path); err != nil {
			return err
		}
	}
	return nil
}
