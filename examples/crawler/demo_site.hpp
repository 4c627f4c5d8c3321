// SPDX-License-Identifier: MIT
#pragma once

#include <aster/aster.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// A folder in the system's place for temporary files, removed when this goes.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "aster-crawler-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
    }
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Fills a folder with files of 1 B to 2 MiB, the sizes spread evenly by their
/// logarithm, and gives their names.
inline std::vector<std::string> make_files(const std::filesystem::path& folder, int count) {
  std::mt19937 random(1);
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    const auto size = static_cast<std::size_t>(std::exp2(21.0 * i / std::max(count - 1, 1)));
    std::string data(size, '\0');
    std::ranges::generate(data, [&] { return static_cast<char>(random() & 0xff); });
    names.push_back("file-" + std::to_string(i) + ".bin");
    std::ofstream(folder / names.back(), std::ios::binary) << data;
  }
  std::ranges::shuffle(names, random);
  return names;
}

/// Answers one request with a file of `folder`: a web server in a few lines, good
/// enough for a crawler in the same process, and no better. It is slow on purpose:
/// a pause after every 32 KiB lets the progress be seen.
inline aster::Coroutine<> serve_file(std::filesystem::path folder, aster::StreamReader& reader,
                                     aster::StreamWriter& writer) {
  const std::string head = co_await reader.readuntil("\r\n\r\n");
  const std::size_t begin = std::string_view("GET /").size();
  const std::string name = head.substr(begin, head.find(' ', begin) - begin);
  const std::string data = read_file(folder / name);
  writer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
               std::to_string(data.size()) + "\r\n\r\n");
  for (std::string_view rest = data; !rest.empty();) {
    const std::string_view piece = rest.substr(0, 32 * 1024);
    rest.remove_prefix(piece.size());
    writer.write(piece);
    co_await writer.drain();
    co_await aster::sleep(std::chrono::milliseconds(30));
  }
}
