package job

import "golang.org/x/sys/unix"

// threadNice is the weight of the threads of jobs: a tenth of that of others.
const threadNice = 10

// yieldThread gives the calling thread less weight than others of the process have.
func yieldThread() error {
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), threadNice)
}
