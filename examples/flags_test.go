// Package examples tests what all example programs have in common: their command lines, and the
// variables of the environment that they honour.
package examples

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// wrong holds command lines with one mistake each, by program. Lines that would serve do so on
// BUSY, an address in use. So a program that starts before it has checked its flags fails with
// another status than 2.
var wrong = map[string][]string{
	"byhand": {
		"extra", "-nosuchflag", "-addr nonsense", "-addr 127.0.0.1:99999", "-alpn=",
	},
	"cost": {
		"", "-nosuchflag", "nosuchcost", "bytes extra", "-runs 0 bytes", "-parallel 0 bytes", "-rate 1 bytes", "-rtt 0 bytes",
		"-secs 0 goodput", "-secs NaN goodput", "-patience 0 migration", "-svg missing/x bytes",
	},
	"edge": {
		"extra", "-nosuchflag", "-addr nonsense", "-check", "-config missing", "-config program", "-config program -check",
		"-config missing -check", "-config .",
	},
	"h3client": {
		"", "-nosuchflag https://a", "-o x https://BUSY https://BUSY", "-o missing/x https://BUSY", "-o . https://BUSY",
		"http://BUSY", "https:// ", "https://", "ftp://a", "%zz", "-X G(T https://BUSY", "-H nonsense https://BUSY",
		"-ca missing https://BUSY", "-d @missing https://BUSY", "-cc fast https://BUSY", "-versions 3 https://BUSY",
		"-versions= https://BUSY", "-0rtt https://BUSY", "-session-file missing/x https://BUSY", "-key-update -1s https://BUSY",
		"-parallel 0 https://BUSY", "-parallel -1 https://BUSY", "-parallel many https://BUSY",
		"-parallel 2 https://BUSY/a https://BUSY/b", "-parallel 2 -o x -o - -o - https://BUSY/a https://BUSY/b https://BUSY/c",
		"-o x -o y https://BUSY", "-o x -o ./x https://BUSY https://BUSY", "-o= https://BUSY", "-O -o x https://BUSY/a",
		"-O https://BUSY", "-O https://BUSY/a/", "-O https://BUSY/a/..", "-O https://BUSY/a https://BUSY/b/a?c",
		"-output-dir . https://BUSY/a", "-O -output-dir missing https://BUSY/a", "-O -output-dir program https://BUSY/a",
		"-d @- https://BUSY https://BUSY",
		"-migrate -1s https://BUSY", "-rebind -1s https://BUSY", "-qlog program https://BUSY", "-key-update often https://BUSY",
	},
	"h3server": {
		"extra", "-nosuchflag", "-addr nonsense", "-root missing", "-root program", "-loops 0", "-loops -1", "-cc fast",
		"-cert program", "-key program", "-cert missing -key missing", "-versions 3", "-preferred-address nonsense",
		"-preferred-address 0.0.0.0:0", "-debug nonsense", "-key-update -1s", "-qlog program", "-v=perhaps",
	},
	"holb": {
		"extra", "-nosuchflag", "-runs 0", "-runs -1", "-parallel 0", "-parallel -1", "-o missing/x",
	},
	"interop": {
		"extra", "-nosuchflag", "-addr nonsense",
	},
	"lb": {
		"extra", "-nosuchflag", "-check", "-config missing", "-config program", "-config program -check", "-config missing -check",
		"-config .", "-demo -config program", "-demo -check",
	},
	"linklab": {
		"extra", "-nosuchflag", "-seed -1", "-o missing/x", "-o program/x",
		"-trace missing", "-trace program", "-trace program -rtt 0", "-trace program -queue 2999", "-trace program extra",
	},
	"multipath": {
		"extra", "-nosuchflag", "-for 0", "-for soon", "-rate 0", "-rate NaN", "-o missing/x",
	},
	"perf": {
		"", "-nosuchflag", "nosuchrole", "server extra", "server -nosuchflag", "server -listen nonsense", "server -api foo",
		"server -kx foo", "server -cc foo", "server -loops 0", "server -max-streams 0", "server -cert program", "server -cert missing -key missing",
		"server -cpuprofile missing/x", "server -memprofile missing/x", "echo -listen nonsense", "echo extra",
		"client extra", "client -mode foo", "client -api foo", "client -kx foo", "client -cc foo", "client -connect nonsense",
		"client -connect 127.0.0.1", "client -bytes many", "client -bytes 9007199254740992G", "client -ops 0", "client -conns 0",
		"client -concurrency 0", "client -concurrency -1", "client -secs 0", "client -secs NaN", "client -rate -1", "client -warm -1s",
		"client -server-pid -1", "compare extra", "compare -tests foo", "compare -tests download,foo", "compare -only foo",
		"compare -rounds 0", "compare -scale 0", "compare -max-other 0", "compare -server-core -2", "compare -client-core -2",
		"compare -peers missing", "compare -markdown missing/x", "compare -svg missing/x",
	},
	"qlogview": {
		"", "-nosuchflag program", "missing", ".", "-o= program", "-o missing/x program", "-o . program", "-o program program", "-align fast program",
		"-from -1s program", "-to -1s program", "-from 2s -to 1s program", "-to often program", "program program program program program",
	},
	"realtime": {
		"extra", "-nosuchflag", "-addr nonsense", "-page nonsense", "-cert missing/x", "-bots -1", "-bots 5000", "-bots many",
		"-loss -1", "-loss 101", "-loss NaN", "-delay -1s", "-delay soon", "-name= -connect BUSY", "-name aaaaaaaaaaaaaaaaaaaaaaaaa", "-every 0", "-for -1s",
		"-ca program", "-insecure", "-connect nonsense", "-connect BUSY -loss 3", "-connect BUSY -delay 1s", "-connect BUSY -cert x",
		"-connect BUSY -ca missing", "-connect BUSY -ca program -insecure", "-connect BUSY extra",
	},
	"tune": {
		"", "-nosuchflag", "nosuchcommand", "check extra", "check -nosuchflag", "check -root missing", "check -root program", "check -root=",
		"check -root . -interface nosuch", "check -root . -rate -1", "check -root . -rate NaN", "check -root . -pause 0", "check -root . -pause -1s",
		"apply extra", "apply -nosuchflag", "apply -root missing", "apply -root . -pause 0", "apply -root . -file missing/x", "apply -root . -file .",
		"apply -n=perhaps", "watch extra", "watch -nosuchflag", "watch -interval 0", "watch -interval often", "watch -n -1", "watch -root missing",
	},
	"webtransport": {
		"extra", "-nosuchflag", "-addr nonsense", "-page nonsense", "-cert missing/x", "-ca program", "-insecure",
		"-connect nonsense", "-connect http://BUSY/", "-connect https://BUSY/ -n 0", "-connect https://BUSY/ -ca missing",
		"-connect https://BUSY/ -ca program -insecure", "-connect https://BUSY/ extra",
	},
}

// serves has the flags by which a program, or one in a role, serves on BUSY.
var serves = map[string]string{
	"byhand": "-addr BUSY", "edge": "-addr BUSY", "h3server": "-addr BUSY", "interop": "-addr BUSY", "webtransport": "-addr BUSY -page BUSY",
	"realtime":    "-addr BUSY -page BUSY",
	"perf server": "-listen BUSY", "perf echo": "-listen BUSY",
}

// TestExamples builds all programs once, for tests of their command lines and of their environment.
func TestExamples(t *testing.T) {
	bin := build(t)
	t.Run("flags/wrong", func(t *testing.T) { testWrong(t, bin) })
	t.Run("flags/help", func(t *testing.T) { testHelp(t, bin) })
	t.Run("environment", func(t *testing.T) { testEnvironment(t, bin) })
}

func testWrong(t *testing.T, bin string) {
	busy := busy(t)
	for program, lines := range wrong {
		if (program == "cost" || program == "holb") && runtime.GOOS != "linux" {
			continue // -h is the last flag that it looks at
		}
		for _, line := range lines {
			t.Run(program+" "+line, func(t *testing.T) {
				args := strings.Fields(strings.ReplaceAll(serving(program, line), "BUSY", busy))
				dir := t.TempDir()
				require.NoError(t, os.WriteFile(filepath.Join(dir, "program"), nil, 0o600))
				stdout, stderr, status := run(t, dir, filepath.Join(bin, program), args...)
				require.Equal(t, 2, status, "%s", stderr)
				require.Empty(t, stdout)
				require.Regexp(t, "^"+program+": .+\n$", stderr)
				require.Equal(t, 1, strings.Count(stderr, "\n"), "%s", stderr)
				left, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Len(t, left, 1, "it made files")
			})
		}
	}
}

// serving returns the command line with the flags of serves in front. The flags of the line
// override them.
func serving(program, line string) string {
	role := ""
	if program == "perf" {
		role, line, _ = strings.Cut(line, " ")
	}
	flags := serves[strings.TrimSpace(program+" "+role)]
	if strings.Contains(line, "-connect") {
		flags = ""
	}
	return role + " " + flags + " " + line
}

// testHelp checks that -h succeeds and prints the flags.
func testHelp(t *testing.T, bin string) {
	for program := range wrong {
		if (program == "cost" || program == "holb") && runtime.GOOS != "linux" {
			continue
		}
		lines := []string{"-h"}
		switch program {
		case "perf":
			lines = append(lines, "server -h", "client -help", "echo -h", "compare --help")
		case "tune":
			lines = append(lines, "check -h", "apply -help", "watch --help")
		}
		for _, line := range lines {
			stdout, stderr, status := run(t, t.TempDir(), filepath.Join(bin, program), strings.Fields(line)...)
			require.Zero(t, status, "%s %s", program, line)
			require.Empty(t, stderr)
			require.Regexp(t, "^usage: .*"+program, stdout)
			if line != "-h" || program != "perf" && program != "tune" {
				require.Contains(t, stdout, "\n  -")
			}
			if program == "h3server" {
				for _, path := range []string{"/ ", "/bytes/N", "/echo", "/sum", "/headers", "/events"} {
					require.Contains(t, stdout, path)
				}
			}
		}
	}
}

// build builds all programs and returns their directory.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	built, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, built, len(wrong), "a program has no wrong command lines here")
	return dir
}

// busy returns an address that is in use, for UDP and for TCP.
func busy(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	pc, err := net.ListenPacket("udp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { pc.Close() })
	return l.Addr().String()
}

// run runs a program in a directory, until it ends.
func run(t *testing.T, dir, path string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs strings.Builder
	c := exec.CommandContext(ctx, path, args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	c.Env = append(os.Environ(), "ROLE=", "TESTCASE=", "SSLKEYLOGFILE=")
	err := c.Run()
	require.NoError(t, ctx.Err(), "it does not end")
	var exit *exec.ExitError
	if err != nil {
		require.True(t, errors.As(err, &exit), "%v", err)
		status = exit.ExitCode()
	}
	return out.String(), errs.String(), status
}
