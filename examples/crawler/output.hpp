// SPDX-License-Identifier: MIT
#pragma once

#include "http.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

/// One URL and what became of it.
struct Download {
  std::string url;
  std::string name;         // Of the local file.
  int status = 0;           // Of HTTP; 0 while there was no answer.
  std::string error;        // Empty: all went well.
  std::uint64_t bytes = 0;  // Of the body.
  double seconds = 0;
  bool done = false;
};

/// A name for the local file: the last part of the URL's path, with nothing in it
/// that a file system or a shell could take amiss.
inline std::string file_name(std::string_view url, std::set<std::string>& taken) {
  const std::size_t scheme = url.find("://");
  if (scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("?#"));
  const std::size_t slash = url.rfind('/');
  std::string name(slash == url.npos ? "" : url.substr(slash + 1, 200));
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '.' || c == '-' || c == '_';
    if (!plain) c = '_';
  }
  if (name.empty()) name = "index.html";
  if (name.front() == '.') name.front() = '_';  // Neither hidden nor "..".
  const std::filesystem::path first = name;
  for (int n = 2; !taken.insert(name).second; ++n) {
    name = first.stem().string() + "-" + std::to_string(n) + first.extension().string();
  }
  return name;
}

/// A file that has its name only once it is whole: until `keep` it is called
/// ".name.part", and it is removed when this goes without `keep`.
///
/// Writes block the loop for as long as the kernel needs to copy a small piece into
/// its cache. On a slow disk write in a thread: `co_await aster::to_thread(…)`.
class PartFile {
 public:
  PartFile(const std::filesystem::path& folder, const std::string& name)
      : path_(folder / name), part_(folder / ("." + name + ".part")) {
    out_.open(part_, std::ios::binary | std::ios::trunc);
    check("open");
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  ~PartFile() {
    if (kept_) return;
    out_.close();
    std::error_code ignored;
    std::filesystem::remove(part_, ignored);
  }

  void write(std::string_view data) {
    out_.write(data.data(), static_cast<std::streamsize>(data.size()));
    check("write");
  }
  void keep() {
    out_.close();
    check("close");
    std::filesystem::rename(part_, path_);
    kept_ = true;
  }

 private:
  void check(const char* call) const {
    if (out_) return;
    throw std::system_error(errno, std::generic_category(), call + (" " + part_.string()));
  }

  std::filesystem::path path_;
  std::filesystem::path part_;
  std::ofstream out_;
  bool kept_ = false;
};

/// "17 B", "1.4 MiB"
inline std::string size_text(double bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

/// Why the first flush of standard output failed; 0 when none has.
inline int output_error = 0;

/// A full disk or a closed pipe is noticed here, not where the text was printed.
inline void flush_output() {
  if (std::fflush(stdout) != 0 && output_error == 0) output_error = errno;
}

/// Tells how the downloads go: on a terminal a bar that is redrawn at most ten times
/// a second, elsewhere a line for each; in the end a table of all.
class Progress {
 public:
  explicit Progress(std::vector<Download>& downloads) : downloads_(downloads) {}

  void received(std::size_t bytes) {
    bytes_ += bytes;
    if (is_terminal_ && Clock::now() >= next_draw_) draw();
  }

  void finished(Download& download) {
    download.done = true;
    ++done_count_;
    if (!download.error.empty()) ++failed_count_;
    if (!is_terminal_) {
      print(download);
    } else if (!download.error.empty()) {
      erase();
      print(download);
      draw();
    } else {
      received(0);
    }
    flush_output();
  }

  /// The table and the totals; returns how many have failed.
  std::size_t finish() {
    erase();
    std::printf("\n%-10s %10s %8s  %s\n", "result", "bytes", "seconds", "URL");
    for (const Download& download : downloads_) {
      const char* result = !download.done ? "not done" : download.error.empty() ? "ok" : "failed";
      std::printf("%-10s %10llu %8.2f  %s%s%s\n", result,
                  static_cast<unsigned long long>(download.bytes), download.seconds,
                  http::printable(download.url, 200).c_str(), download.error.empty() ? "" : "  ",
                  download.error.c_str());
    }
    const double seconds = elapsed();
    std::printf("\n%zu of %zu ok, %zu failed, %s in %.2f s, %s/s\n", done_count_ - failed_count_,
                downloads_.size(), failed_count_, size_text(static_cast<double>(bytes_)).c_str(),
                seconds, size_text(static_cast<double>(bytes_) / std::max(seconds, 1e-3)).c_str());
    flush_output();
    return failed_count_;
  }

  /// Instead of `finish`, when the user has pressed Ctrl-C.
  void interrupted() {
    erase();
    std::printf("interrupted: %zu of %zu done\n", done_count_, downloads_.size());
    flush_output();
  }

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

  static void print(const Download& download) {
    const std::string status = download.status == 0 ? "-" : std::to_string(download.status);
    std::printf("%-6s %3s %10llu %6.2fs  %s%s%s\n", download.error.empty() ? "ok" : "failed",
                status.c_str(), static_cast<unsigned long long>(download.bytes), download.seconds,
                http::printable(download.url, 200).c_str(), download.error.empty() ? "" : "  ",
                download.error.c_str());
  }

  void draw() {
    next_draw_ = Clock::now() + std::chrono::milliseconds(100);
    winsize window{};
    ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    const std::size_t width = window.ws_col > 0 ? window.ws_col : 80;

    const double bytes = static_cast<double>(bytes_);
    std::string text = " " + std::to_string(done_count_) + "/" + std::to_string(downloads_.size()) +
                       "  " + size_text(bytes) + "  " +
                       size_text(bytes / std::max(elapsed(), 1e-3)) + "/s";
    std::string bar;
    if (width > text.size() + 12) {
      const std::size_t size = std::min<std::size_t>(40, width - text.size() - 3);
      const std::size_t filled = size * done_count_ / std::max<std::size_t>(downloads_.size(), 1);
      bar = "[" + std::string(filled, '#') + std::string(size - filled, '.') + "]";
    }
    std::printf("\r\033[K%s", (bar + text).substr(0, width - 1).c_str());
    flush_output();
    drawn_ = true;
  }

  void erase() {
    if (drawn_) std::printf("\r\033[K");
    drawn_ = false;
  }

  std::vector<Download>& downloads_;
  const bool is_terminal_ = ::isatty(STDOUT_FILENO) != 0;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
  bool drawn_ = false;
  std::size_t done_count_ = 0;
  std::size_t failed_count_ = 0;
  std::uint64_t bytes_ = 0;
};
