// SPDX-License-Identifier: MIT
// The thread and file rows of executor_bench.cpp in libuv: uv_queue_work and uv_fs_*.
#include "files.hpp"
#include "measure.hpp"

#include <uv.h>

#include <fcntl.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

using measure::Bench;

struct Work {
  uv_work_t request{};
  long left = 0;
  int result = 0;
};

void add_one(uv_work_t* request) { ++static_cast<Work*>(request->data)->result; }
void next_work(uv_work_t* request, int) {
  if (--static_cast<Work*>(request->data)->left > 0) {
    uv_queue_work(request->loop, request, add_one, next_work);
  }
}

void threads(const Bench& bench, uv_loop_t* loop, const char* row, long count, long batch) {
  if (!bench.wants(row)) return;
  std::vector<Work> work(static_cast<std::size_t>(batch));
  const measure::Stopwatch watch;
  for (Work& each : work) {
    each.request.data = &each;
    each.left = count / batch;
    uv_queue_work(loop, &each.request, add_one, next_work);
  }
  uv_run(loop, UV_RUN_DEFAULT);
  bench.report(row, count, watch);
}

/// Opens, reads to the end in pieces and closes files, one after the other.
class Reader {
 public:
  Reader(uv_loop_t* loop, std::size_t piece) : loop_(loop), buffer_(piece, '\0') {
    request_.data = this;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() = default;
  void add(const std::string& path) { paths_.push_back(&path); }
  void start() { open(); }

 private:
  static Reader& of(uv_fs_t* request) {
    uv_fs_req_cleanup(request);
    return *static_cast<Reader*>(request->data);
  }
  void open() {
    if (next_ == paths_.size()) return;
    uv_fs_open(loop_, &request_, paths_[next_++]->c_str(), O_RDONLY, 0, [](uv_fs_t* request) {
      Reader& self = of(request);
      self.file_ = static_cast<uv_file>(request->result);
      self.read();
    });
  }
  void read() {
    const uv_buf_t piece = uv_buf_init(buffer_.data(), static_cast<unsigned>(buffer_.size()));
    uv_fs_read(loop_, &request_, file_, &piece, 1, -1, [](uv_fs_t* request) {
      Reader& self = of(request);
      if (request->result > 0) {
        measure::keep(self.buffer_);
        self.read();
      } else {
        self.close();
      }
    });
  }
  void close() {
    uv_fs_close(loop_, &request_, file_, [](uv_fs_t* request) { of(request).open(); });
  }

  uv_loop_t* loop_;
  uv_fs_t request_{};
  uv_file file_ = -1;
  std::string buffer_;
  std::vector<const std::string*> paths_;
  std::size_t next_ = 0;
};

void read_file(const Bench& bench, uv_loop_t* loop, const char* row, std::size_t piece) {
  if (!bench.wants(row)) return;
  const files::Large large(bench);
  for (const bool is_measured : {false, true}) {
    Reader reader(loop, piece);
    reader.add(large.path());
    const measure::Stopwatch watch;
    reader.start();
    uv_run(loop, UV_RUN_DEFAULT);
    if (is_measured) bench.report(row, large.mebibytes(), watch);
  }
}

void small_files(const Bench& bench, uv_loop_t* loop, const char* row, std::size_t readers) {
  if (!bench.wants(row)) return;
  const files::Small small(bench);
  for (const bool is_measured : {false, true}) {
    std::vector<std::unique_ptr<Reader>> all;
    for (std::size_t i = 0; i < readers; ++i) {
      all.push_back(std::make_unique<Reader>(loop, 65536));
    }
    for (long i = 0; i < small.count(); ++i) {
      all[static_cast<std::size_t>(i) % readers]->add(small.path(i));
    }
    const measure::Stopwatch watch;
    for (auto& reader : all) reader->start();
    uv_run(loop, UV_RUN_DEFAULT);
    if (is_measured) bench.report(row, small.count(), watch);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("libuv", argc, argv);
  uv_loop_t* loop = uv_default_loop();
  threads(bench, loop, "thread_round_trip", bench.scaled(50'000), 1);
  threads(bench, loop, "threads_100", bench.scaled(200'000, 100), 100);
  read_file(bench, loop, "read_64k", 65536);
  read_file(bench, loop, "read_1m", 1 << 20);
  small_files(bench, loop, "small_files", 1);
  small_files(bench, loop, "small_files_50", 50);
}
