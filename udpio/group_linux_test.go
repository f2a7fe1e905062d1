package udpio

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// otherUsers returns the users as whom a test can run processes.
func otherUsers() []*syscall.SysProcAttr {
	users := []*syscall.SysProcAttr{nil}
	if os.Geteuid() == 0 {
		users = append(users, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	}
	return users
}

const groupAddress = "UDPIO_TEST_GROUP_ADDRESS"

// TestGroupOtherProcess runs itself in other processes: one of this user, and one of another user.
func TestGroupOtherProcess(t *testing.T) {
	if address := os.Getenv(groupAddress); address != "" {
		_, err := ListenGroup("udp4", address, 3, nil)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		return
	}
	address := mustListenGroup(t, "udp4", "127.0.0.1:0", 3, nil)[0].LocalAddr().String()
	for _, user := range otherUsers() {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestGroupOtherProcess$", "-test.v")
		cmd.Env = append(os.Environ(), groupAddress+"="+address)
		cmd.SysProcAttr, cmd.Dir = user, "/"
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestGroupOtherProcess")
	}
}
