package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of the times in /proc on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time that a process and its children have used so far, in
// user and kernel.
func cpuOf(pid int) (time.Duration, bool) {
	own, ok := statOf(strconv.Itoa(pid))
	if !ok {
		return 0, false
	}
	used := own.used + own.reaped
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, false
	}
	for _, e := range all {
		if e.Name()[0] < '1' || e.Name()[0] > '9' {
			continue
		}
		if child, ok := statOf(e.Name()); ok && child.parent == pid { // unless it has ended meanwhile
			used += child.used + child.reaped
		}
	}
	return used, true
}

// stat is what /proc says of a process.
type stat struct {
	parent       int
	used, reaped time.Duration // by itself, by children it has waited for
}

func statOf(pid string) (stat, bool) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(text)
}

// parseStat reads the 4th field and the 14th to 17th. The second, the
// program's name, is in parentheses and may contain anything.
func parseStat(text []byte) (s stat, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	fields := bytes.Fields(text[end+1:])
	if end < 0 || len(fields) < 15 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return stat{}, false
	}
	var ticks [4]int64
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(string(fields[11+i]), 10, 64); err != nil {
			return stat{}, false
		}
	}
	return stat{parent, time.Duration(ticks[0]+ticks[1]) * tick, time.Duration(ticks[2]+ticks[3]) * tick}, true
}

// residentOf is the memory of a process that is in RAM, in bytes.
func residentOf(pid int) (uint64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return pages * uint64(os.Getpagesize()), err == nil
}

// meter reads the CPU of this process and of those that work for it.
type meter struct {
	pids  map[string]int
	began time.Time
	start map[string]time.Duration
}

func newMeter(others map[string]int) *meter {
	pids := map[string]int{"worker": os.Getpid()}
	for name, pid := range others {
		pids[name] = pid
	}
	return &meter{pids: pids}
}

func (m *meter) begin() {
	m.start = map[string]time.Duration{}
	for name, pid := range m.pids {
		if used, ok := cpuOf(pid); ok {
			m.start[name] = used
		}
	}
	m.began = time.Now()
}

// end is the stage since begin, in which so many jobs were done.
func (m *meter) end(jobs int) stage {
	s := stage{Jobs: jobs, Took: time.Since(m.began), CPU: map[string]time.Duration{}}
	for name, before := range m.start {
		if used, ok := cpuOf(m.pids[name]); ok {
			s.CPU[name] = used - before
		}
	}
	return s
}

func (m *meter) resident() map[string]uint64 {
	sizes := map[string]uint64{}
	for name, pid := range m.pids {
		if n, ok := residentOf(pid); ok {
			sizes[name] = n
		}
	}
	return sizes
}
