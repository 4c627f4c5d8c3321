// SPDX-License-Identifier: MIT

// The rows of core_bench.cpp for Go. One goroutine runs at a time, as the rows are
// those of an event loop; only the posts of another thread have two. Awaiting a
// coroutine is a plain call in Go, so the depth rows are calls.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	rows   = ""
	scale  = 1.0
	memory = false
)

func cpuNanoseconds() float64 {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		panic("getrusage")
	}
	return float64(use.Utime.Nano() + use.Stime.Nano())
}

func wants(row string) bool {
	return rows == "" || strings.Contains(","+rows+",", ","+row+",")
}

func scaled(count, unit int) int {
	units := int(float64(count)*scale) / unit
	if units < 1 {
		units = 1
	}
	return units * unit
}

// Runs `body` for a tenth of `count` to warm up, then measures `count` of it.
func measure(row string, count, unit int, body func(int)) {
	if !wants(row) {
		return
	}
	count = scaled(count, unit)
	warmUp := count / 10 / unit * unit
	if warmUp == 0 {
		warmUp = unit
	}
	body(warmUp)
	cpu, wall := cpuNanoseconds(), time.Now()
	body(count)
	cpu = cpuNanoseconds() - cpu
	each := float64(count)
	fmt.Printf("{\"library\": \"go\", \"row\": %q, \"operations\": %d, \"cpu_ns\": %.2f, \"wall_ns\": %.2f}\n",
		row, count, cpu/each, float64(time.Since(wall))/each)
}

func reportValue(row string, value float64) {
	fmt.Printf("{\"library\": \"go\", \"row\": %q, \"value\": %.1f}\n", row, value)
}

// Starts `count` goroutines and waits for all.
func runAll(count int, body func()) {
	var group sync.WaitGroup
	group.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			defer group.Done()
			body()
		}()
	}
	group.Wait()
}

// Tasks

func nothing() {}

func createJoin(count int) {
	for i := 0; i < count; i++ {
		runAll(1, nothing)
	}
}

const batchSize = 10000

func createJoinBatch(count int) {
	for i := 0; i < count/batchSize; i++ {
		runAll(batchSize, nothing)
	}
}

func switches(taskCount int) func(int) {
	return func(count int) {
		runAll(taskCount, func() {
			for i := 0; i < count/taskCount; i++ {
				runtime.Gosched()
			}
		})
	}
}

var kept int // Its computation stays.

//go:noinline
func chain(depth int) int {
	if depth <= 1 {
		return 1
	}
	return chain(depth-1) + 1
}

func awaitChains(depth int) func(int) {
	return func(count int) {
		for i := 0; i < count/depth; i++ {
			kept += chain(depth)
		}
	}
}

// Futures, locks, semaphores and queues

func futureHandover(count int) {
	slots := make(chan chan int, 1)
	go func() {
		for i := 0; i < count; i++ {
			slot := <-slots
			slot <- i
		}
	}()
	for i := 0; i < count; i++ {
		slot := make(chan int, 1)
		slots <- slot
		kept += <-slot
	}
}

func lockFree(count int) {
	var lock sync.Mutex
	for i := 0; i < count; i++ {
		lock.Lock()
		lock.Unlock()
	}
}

// A channel of one place as lock: a sync.Mutex lets the one that unlocks lock again
// before the waiting one runs.
func lockHandover(count int) {
	lock := make(chan struct{}, 1)
	runAll(2, func() {
		for i := 0; i < count/2; i++ {
			lock <- struct{}{}
			runtime.Gosched()
			<-lock
		}
	})
}

// As a semaphore a channel has as many places as there are permits; this one's only
// place is taken until all wait.
func semaphore100(count int) {
	permits := make(chan struct{}, 1)
	permits <- struct{}{}
	asked := 0
	var group sync.WaitGroup
	group.Add(100)
	for i := 0; i < 100; i++ {
		go func() {
			asked++
			for i := 0; i < count/100; i++ {
				permits <- struct{}{}
				<-permits
			}
			group.Done()
		}()
	}
	for asked < 100 {
		runtime.Gosched()
	}
	<-permits
	group.Wait()
}

func queueRoundTrip(count int) {
	asked, answered := make(chan int, 1), make(chan int, 1)
	go func() {
		for i := 0; i < count; i++ {
			answered <- <-asked
		}
	}()
	for i := 0; i < count; i++ {
		asked <- i
		kept += <-answered
	}
}

// Timers

func timerStartCancel(count int) {
	for i := 1; i <= count; i++ {
		time.AfterFunc(time.Hour, nothing).Stop()
		if i%1000 == 0 {
			runtime.Gosched()
		}
	}
}

func sleeps(count int) {
	random := rand.New(rand.NewSource(1))
	var group sync.WaitGroup
	group.Add(count)
	for i := 0; i < count; i++ {
		delay := time.Millisecond + time.Duration(random.Intn(100_000_000))
		go func() {
			time.Sleep(delay)
			group.Done()
		}()
	}
	group.Wait()
}

// Other threads

func threadPost(count int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	posts := make(chan func(), 1024)
	go func() {
		runtime.LockOSThread()
		called := 0
		for i := 0; i < count; i++ {
			posts <- func() { called++ }
		}
		close(posts)
	}()
	for post := range posts {
		post()
	}
}

func threadPostLatency(row string) {
	if !wants(row) {
		return
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	posts := make(chan func(), 1024)
	times := make([]float64, scaled(10000, 1))
	go func() {
		runtime.LockOSThread()
		var called int64
		for i := range times {
			start := time.Now()
			posts <- func() { atomic.AddInt64(&called, 1) }
			for atomic.LoadInt64(&called) <= int64(i) {
			}
			times[i] = float64(time.Since(start))
			time.Sleep(20 * time.Microsecond)
		}
		close(posts)
	}()
	for post := range posts {
		post()
	}
	sort.Float64s(times)
	reportValue(row, times[len(times)/2])
}

// Memory

func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		panic(err)
	}
	return float64(pages * os.Getpagesize())
}

func memoryPerTask() {
	const taskCount = 100000
	never := make(chan struct{})
	before := residentBytes()
	for i := 0; i < taskCount; i++ {
		go func() { <-never }()
	}
	runtime.Gosched() // All of them have run, and wait.
	reportValue("memory_per_task", (residentBytes()-before)/taskCount)
}

func main() {
	for arguments := os.Args[1:]; len(arguments) > 0; arguments = arguments[1:] {
		switch {
		case arguments[0] == "--memory":
			memory = true
		case len(arguments) > 1 && arguments[0] == "--rows":
			rows, arguments = arguments[1], arguments[1:]
		case len(arguments) > 1 && arguments[0] == "--scale":
			scale, _ = strconv.ParseFloat(arguments[1], 64)
			arguments = arguments[1:]
		default:
			fmt.Fprintln(os.Stderr, "usage: core_go [--rows NAME,NAME] [--scale FACTOR] [--memory]")
			os.Exit(2)
		}
	}
	runtime.GOMAXPROCS(1)
	if memory {
		memoryPerTask()
		return
	}
	measure("create_join", 1_000_000, 1, createJoin)
	measure("create_join_batch", 1_000_000, batchSize, createJoinBatch)
	for _, taskCount := range []int{1, 100, 10000} {
		measure(fmt.Sprintf("switch_%d", taskCount), 2_000_000, taskCount, switches(taskCount))
	}
	for _, depth := range []int{1, 10, 100, 1000} {
		measure(fmt.Sprintf("await_depth_%d", depth), 2_000_000, depth, awaitChains(depth))
	}
	measure("future_handover", 1_000_000, 1, futureHandover)
	measure("lock_free", 5_000_000, 1, lockFree)
	measure("lock_handover", 1_000_000, 2, lockHandover)
	measure("semaphore_100", 1_000_000, 100, semaphore100)
	measure("queue_round_trip", 1_000_000, 1, queueRoundTrip)
	measure("timer_start_cancel", 1_000_000, 1, timerStartCancel)
	measure("sleep_100k", 100_000, 1, sleeps)
	measure("thread_post", 500_000, 1, threadPost)
	threadPostLatency("thread_post_latency")
}
