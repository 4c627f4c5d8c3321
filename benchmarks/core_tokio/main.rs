// SPDX-License-Identifier: MIT
//! The rows of core_bench.cpp for tokio, on its runtime of one thread, which is the one
//! to compare with an event loop.
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, Mutex, Notify, Semaphore};
use tokio::task::{spawn, yield_now};
use tokio::time::{sleep, Sleep};

/// The value is used: its computation stays. (Debian's rustc has no stable `black_box`.)
fn keep<T>(value: T) {
    unsafe { std::arch::asm!("/* {0} */", in(reg) &value, options(nostack)) };
}

fn cpu_ns() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// The rows that were asked for, and how they are printed; as in measure.hpp.
struct Bench {
    rows: Option<Vec<String>>,
    scale: f64,
    memory: bool,
}

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench { rows: None, scale: 1.0, memory: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            match (option.as_str(), arguments.len()) {
                ("--memory", _) => bench.memory = true,
                ("--rows", 1..) => {
                    let names = arguments.next().unwrap();
                    bench.rows = Some(names.split(',').map(String::from).collect());
                }
                ("--scale", 1..) => bench.scale = arguments.next().unwrap().parse().unwrap(),
                _ => {
                    eprintln!("usage: core_tokio [--rows NAME,NAME] [--scale FACTOR] [--memory]");
                    std::process::exit(2);
                }
            }
        }
        bench
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.as_ref().map_or(true, |rows| rows.iter().any(|one| one == row))
    }

    fn scaled(&self, count: usize, unit: usize) -> usize {
        ((count as f64 * self.scale) as usize / unit).max(1) * unit
    }

    /// Runs `body` for a tenth of `count` to warm up, then measures `count` of it.
    async fn measure<F, B>(&self, row: &str, count: usize, unit: usize, body: B)
    where
        F: Future<Output = ()>,
        B: Fn(usize) -> F,
    {
        if !self.wants(row) {
            return;
        }
        let count = self.scaled(count, unit);
        body((count / 10 / unit).max(1) * unit).await;
        let (cpu, wall) = (cpu_ns(), Instant::now());
        body(count).await;
        let (cpu, wall) = (cpu_ns() - cpu, wall.elapsed().as_nanos() as f64);
        println!(
            "{{\"library\": \"tokio\", \"row\": \"{row}\", \"operations\": {count}, \
             \"cpu_ns\": {:.2}, \"wall_ns\": {:.2}}}",
            cpu / count as f64,
            wall / count as f64
        );
    }

    fn report_value(&self, row: &str, value: f64) {
        println!("{{\"library\": \"tokio\", \"row\": \"{row}\", \"value\": {value:.1}}}");
    }
}

// Tasks ---------------------------------------------------------------------------------

async fn nothing() {}

async fn create_join(count: usize) {
    for _ in 0..count {
        spawn(nothing()).await.unwrap();
    }
}

const BATCH_SIZE: usize = 10_000;

async fn create_join_batch(count: usize) {
    let mut tasks = Vec::with_capacity(BATCH_SIZE);
    for _ in 0..count / BATCH_SIZE {
        tasks.extend((0..BATCH_SIZE).map(|_| spawn(nothing())));
        for task in tasks.drain(..) {
            task.await.unwrap();
        }
    }
}

async fn switches(task_count: usize, count: usize) {
    let each = count / task_count;
    let tasks: Vec<_> = (0..task_count)
        .map(|_| {
            spawn(async move {
                for _ in 0..each {
                    yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

// A recursion of asynchronous functions needs a box for each level.
fn chain(depth: usize) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        if depth <= 1 {
            1
        } else {
            chain(depth - 1).await + 1
        }
    })
}

async fn await_chains(depth: usize, count: usize) {
    for _ in 0..count / depth {
        keep(chain(depth).await);
    }
}

// Futures, locks, semaphores and queues ---------------------------------------------------

async fn future_handover(count: usize) {
    let (slots, mut givers) = mpsc::unbounded_channel::<oneshot::Sender<usize>>();
    let giver = spawn(async move {
        for i in 0..count {
            let slot = givers.recv().await.unwrap();
            slot.send(i).unwrap();
        }
    });
    for _ in 0..count {
        let (give, take) = oneshot::channel();
        slots.send(give).unwrap();
        keep(take.await.unwrap());
    }
    giver.await.unwrap();
}

async fn lock_free(count: usize) {
    let lock = Mutex::new(());
    for _ in 0..count {
        keep(lock.lock().await);
    }
}

async fn hold(lock: Arc<Mutex<()>>, count: usize) {
    for _ in 0..count {
        let held = lock.lock().await;
        yield_now().await;
        drop(held);
    }
}

async fn lock_handover(count: usize) {
    let lock = Arc::new(Mutex::new(()));
    let one = spawn(hold(lock.clone(), count / 2));
    let other = spawn(hold(lock, count / 2));
    one.await.unwrap();
    other.await.unwrap();
}

async fn semaphore_100(count: usize) {
    let permits = Arc::new(Semaphore::new(0));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let permits = permits.clone();
            spawn(async move {
                for _ in 0..count / 100 {
                    drop(permits.acquire().await.unwrap());
                }
            })
        })
        .collect();
    yield_now().await;
    permits.add_permits(1);
    for task in tasks {
        task.await.unwrap();
    }
}

async fn queue_round_trip(count: usize) {
    let (ask, mut asked) = mpsc::unbounded_channel();
    let (answer, mut answered) = mpsc::unbounded_channel();
    let other = spawn(async move {
        for _ in 0..count {
            let item: usize = asked.recv().await.unwrap();
            answer.send(item).unwrap();
        }
    });
    for i in 0..count {
        ask.send(i).unwrap();
        keep(answered.recv().await.unwrap());
    }
    other.await.unwrap();
}

// Timers ------------------------------------------------------------------------------------

/// Polls a timer, which starts it, and is ready; dropping the timer then cancels it.
struct Start(Pin<Box<Sleep>>);

impl Future for Start {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        assert!(self.0.as_mut().poll(context).is_pending());
        Poll::Ready(())
    }
}

async fn timer_start_cancel(count: usize) {
    for i in 1..=count {
        Start(Box::pin(sleep(Duration::from_secs(3600)))).await;
        if i % 1000 == 0 {
            yield_now().await;
        }
    }
}

async fn sleeps(count: usize) {
    let mut random = 1u64; // As std::minstd_rand.
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            random = random * 48271 % 2147483647;
            let delay = Duration::from_nanos(1_000_000 + random % 100_000_000);
            spawn(sleep(delay))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

// Other threads -------------------------------------------------------------------------------

async fn thread_post(count: usize) {
    let all = Arc::new(Notify::new());
    let called = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Handle::current();
    let over = all.clone();
    let poster = thread::spawn(move || {
        for _ in 0..count {
            let (all, called) = (all.clone(), called.clone());
            runtime.spawn(async move {
                if called.fetch_add(1, Ordering::Relaxed) + 1 == count {
                    all.notify_one();
                }
            });
        }
    });
    over.notified().await;
    poster.join().unwrap();
}

async fn thread_post_latency(bench: &Bench, row: &str) {
    if !bench.wants(row) {
        return;
    }
    let count = bench.scaled(10_000, 1);
    let runtime = tokio::runtime::Handle::current();
    let (over, end) = oneshot::channel();
    thread::spawn(move || {
        let called = Arc::new(AtomicUsize::new(0));
        let mut times = Vec::with_capacity(count);
        for i in 0..count {
            let start = Instant::now();
            let seen = called.clone();
            runtime.spawn(async move {
                seen.fetch_add(1, Ordering::Release);
            });
            while called.load(Ordering::Acquire) <= i {}
            times.push(start.elapsed().as_nanos() as f64);
            thread::sleep(Duration::from_micros(20));
        }
        over.send(times).unwrap();
    });
    let mut times = end.await.unwrap();
    times.sort_by(f64::total_cmp);
    bench.report_value(row, times[times.len() / 2]);
}

// Memory ----------------------------------------------------------------------------------------

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

async fn memory(bench: &Bench) {
    const TASK_COUNT: usize = 100_000;
    let never = Arc::new(Notify::new());
    let before = resident_bytes();
    for _ in 0..TASK_COUNT {
        let never = never.clone();
        spawn(async move { never.notified().await });
    }
    yield_now().await; // All of them have been polled once, and wait.
    bench.report_value("memory_per_task", (resident_bytes() - before) / TASK_COUNT as f64);
    std::process::exit(0);
}

async fn rows(bench: &Bench) {
    bench.measure("create_join", 1_000_000, 1, create_join).await;
    bench.measure("create_join_batch", 1_000_000, BATCH_SIZE, create_join_batch).await;
    for task_count in [1, 100, 10_000] {
        let row = format!("switch_{task_count}");
        bench.measure(&row, 2_000_000, task_count, |count| switches(task_count, count)).await;
    }
    for depth in [1, 10, 100, 1000] {
        let row = format!("await_depth_{depth}");
        bench.measure(&row, 2_000_000, depth, |count| await_chains(depth, count)).await;
    }
    bench.measure("future_handover", 1_000_000, 1, future_handover).await;
    bench.measure("lock_free", 5_000_000, 1, lock_free).await;
    bench.measure("lock_handover", 1_000_000, 2, lock_handover).await;
    bench.measure("semaphore_100", 1_000_000, 100, semaphore_100).await;
    bench.measure("queue_round_trip", 1_000_000, 1, queue_round_trip).await;
    bench.measure("timer_start_cancel", 1_000_000, 1, timer_start_cancel).await;
    bench.measure("sleep_100k", 100_000, 1, sleeps).await;
    bench.measure("thread_post", 500_000, 1, thread_post).await;
    thread_post_latency(bench, "thread_post_latency").await;
}

fn main() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // What runs in `block_on` itself is woken in another way than tasks are.
    runtime.block_on(async {
        spawn(async move {
            if bench.memory {
                memory(&bench).await
            } else {
                rows(&bench).await
            }
        })
        .await
        .unwrap();
    });
}
