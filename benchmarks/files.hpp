// SPDX-License-Identifier: MIT
#pragma once

#include "measure.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <unistd.h>

/// The files that the file rows read; gone at their end.
namespace files {

/// A folder of its own.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/aster-bench-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    for (const std::string& name : made_) std::remove((path_ + '/' + name).c_str());
    ::rmdir(path_.c_str());
  }
  /// Makes a file of `bytes`, `times` over; its path.
  std::string make(const std::string& name, const std::string& bytes, long times = 1) {
    made_.push_back(name);
    std::FILE* file = std::fopen((path_ + '/' + name).c_str(), "w");
    if (file == nullptr) std::abort();
    for (long i = 0; i < times; ++i) std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    return path_ + '/' + name;
  }

 private:
  std::string path_;
  std::vector<std::string> made_;
};

/// One of 1 GiB times the scale, at most 1 GiB.
class Large {
 public:
  explicit Large(const measure::Bench& bench)
      : mebibytes_(std::min(bench.scaled(1024), 1024L)),
        path_(folder_.make("large", std::string(1 << 20, 'x'), mebibytes_)) {}
  [[nodiscard]] long mebibytes() const { return mebibytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Folder folder_;
  long mebibytes_;
  std::string path_;
};

/// 10,000 of 4 KiB, times the scale.
class Small {
 public:
  explicit Small(const measure::Bench& bench) {
    const long count = bench.scaled(10'000);
    for (long i = 0; i < count; ++i) {
      paths_.push_back(folder_.make(std::to_string(i), std::string(4096, 'y')));
    }
  }
  [[nodiscard]] long count() const { return static_cast<long>(paths_.size()); }
  [[nodiscard]] const std::string& path(long i) const {
    return paths_[static_cast<std::size_t>(i)];
  }

 private:
  Folder folder_;
  std::vector<std::string> paths_;
};

/// Of 2,000,000 lines of 40 bytes, times the scale.
class Lines {
 public:
  explicit Lines(const measure::Bench& bench)
      : path_(folder_.make("lines", std::string(39, 'l') + '\n', bench.scaled(2'000'000))) {}
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Folder folder_;
  std::string path_;
};

}  // namespace files
