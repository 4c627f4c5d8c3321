// SPDX-License-Identifier: MIT
#pragma once

#include "net/net_fixture.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace aster::net_tests {

/// A suite that runs programs of others beside a loop, with a folder of its own.
class Programs : public NetTest {
 protected:
  Programs() {
    std::string made = ::testing::TempDir() + "aster_programs_XXXXXX";
    EXPECT_NE(::mkdtemp(made.data()), nullptr);
    directory = made;
  }
  ~Programs() override { std::filesystem::remove_all(directory); }

  static bool has(const std::string& program) {
    return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
  }
  /// What a shell command writes, once it has ended; it runs beside the loop.
  static Coroutine<std::string> shell(std::string command) {
    const auto output_of = [](const std::string& line) {
      std::string output;
      std::FILE* const pipe = ::popen((line + " 2>&1").c_str(), "r");
      char piece[4096];
      while (const std::size_t count = std::fread(piece, 1, sizeof piece, pipe)) {
        output.append(piece, count);
      }
      const int status = ::pclose(pipe);
      return status == 0 ? output : output + "[status " + std::to_string(status) + "]";
    };
    ThreadPoolExecutor thread{{.max_workers = 1}};  // Ends here: it holds a descriptor.
    auto running = get_running_loop().run_in_executor(&thread, output_of, command);
    std::string output = co_await std::move(running);
    co_return output;
  }
  /// A file of the folder.
  std::string write_file(const char* name, const std::string& text) const {
    std::ofstream(directory / name, std::ios::binary) << text;
    return path(name);
  }
  [[nodiscard]] std::string path(const char* name) const { return (directory / name).string(); }
  std::filesystem::path directory;
};

}  // namespace aster::net_tests
