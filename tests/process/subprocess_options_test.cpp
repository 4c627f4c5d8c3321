// SPDX-License-Identifier: MIT
//
// What children are given besides their arguments and streams.
#include "process/process_fixture.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace aster::process_tests {
namespace {

using SubprocessOption = ProcessTest;
ASTER_ON_ALL_WAYS(SubprocessOption);

TEST(SubprocessConstants, AreAsynciosNumbers) {
  EXPECT_EQ(Redirection(PIPE).value(), -1);  // SP-17
  EXPECT_EQ(Redirection(STDOUT).value(), -2);
  EXPECT_EQ(Redirection(DEVNULL).value(), -3);
}

template <class Options>
concept has_text_options = requires(Options options) { options.text; } ||
                           requires(Options options) { options.encoding; } ||
                           requires(Options options) { options.bufsize; };

TEST(SubprocessConstants, OptionsOfTextAreNotThere) {
  EXPECT_FALSE(has_text_options<SubprocessOptions>);  // SP-4
}

TEST_P(SubprocessOption, CwdAndEnvironmentAreTheChilds) {
  std::pair<std::string_view, std::string_view> env[]{{"PATH", "/usr/bin:/bin"}, {"NAME", "a=b"}};
  SubprocessOptions options{.cwd = "/", .env = env};
  EXPECT_EQ(run(output_of("echo $PWD $NAME $HOME", options)), "/ a=b\n");  // SP-5
}

TEST_P(SubprocessOption, AnEmptyEnvironmentIsNotOurs) {
  auto body = []() -> Coroutine<std::string> {
    SubprocessOptions options{.stdout_ = PIPE};
    options.env.emplace();
    auto starting = create_subprocess_exec(options, "/usr/bin/env");
    Process p = co_await std::move(starting);
    ProcessOutput o = co_await p.communicate();
    co_return std::move(o.stdout_data);
  };

  EXPECT_EQ(run(body()), "");  // SP-5
}

TEST_P(SubprocessOption, WhatViewsNameIsCopiedBeforeTheCallReturns) {
  auto body = []() -> Coroutine<std::string> {
    std::string folder = "/";
    std::string value = "kept";
    std::string command = "echo $PWD $NAME";
    std::optional<Coroutine<std::string>> reading;
    {
      std::pair<std::string_view, std::string_view> env[]{{"PATH", "/usr/bin:/bin"},
                                                          {"NAME", value}};
      SubprocessOptions options{.stdout_ = PIPE, .cwd = folder, .env = env};
      auto read = [](Coroutine<Process> starting) -> Coroutine<std::string> {
        Process p = co_await std::move(starting);
        ProcessOutput o = co_await p.communicate();
        co_return std::move(o.stdout_data);
      };
      reading.emplace(read(create_subprocess_shell(command, options)));
    }
    folder.assign("/nowhere");
    value.assign("lost");
    command.assign("false");
    std::string text = co_await std::move(*reading);
    co_return text;
  };

  EXPECT_EQ(run(body()), "/ kept\n");
}

TEST_P(SubprocessOption, OnlyStandardStreamsAndPassedDescriptorsAreInherited) {
  const int passed = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int leaked = ::open("/dev/null", O_RDONLY);  // Without O_CLOEXEC.
  const std::array<int, 1> pass{passed};
  SubprocessOptions options{.pass_fds = pass};

  const std::string all = run(output_of("LC_ALL=C ls /proc/$$/fd; true", options));

  EXPECT_EQ(all, "0\n1\n2\n" + std::to_string(passed) + "\n");  // SP-5
  ::close(passed);
  ::close(leaked);
}

TEST_P(SubprocessOption, WithoutCloseFdsOthersAreInheritedToo) {
  const int leaked = ::open("/dev/null", O_RDONLY);
  SubprocessOptions options{.close_fds = false};

  const std::string all = run(output_of("LC_ALL=C ls /proc/$$/fd; true", options));

  EXPECT_NE(all.find("\n" + std::to_string(leaked) + "\n"), std::string::npos);  // SP-5
  ::close(leaked);
}

TEST_P(SubprocessOption, SessionsAndGroupsAreMade) {
  const char* show = "cut -d' ' -f1,5,6 /proc/$$/stat";
  const auto fields = [&](SubprocessOptions options) {
    const std::string text = run(output_of(show, options));
    std::vector<std::string> parts(1);
    for (const char c : text) {
      if (c == ' ' || c == '\n') {
        parts.emplace_back();
      } else {
        parts.back() += c;
      }
    }
    return parts;
  };

  const auto session = fields({.start_new_session = true});
  EXPECT_EQ(session[0], session[1]);  // SP-5
  EXPECT_EQ(session[0], session[2]);
  const auto group = fields({.process_group = 0});
  EXPECT_EQ(group[0], group[1]);  // SP-5
  EXPECT_EQ(group[2], std::to_string(::getsid(0)));
}

TEST_P(SubprocessOption, UmaskAndLimitsHoldForTheChildOnly) {
  const std::array limits{ResourceLimit{RLIMIT_NOFILE, 50, 60}};
  SubprocessOptions options{.umask = 027, .limits = limits};

  EXPECT_EQ(run(output_of("umask; ulimit -Sn; ulimit -Hn", options)), "0027\n50\n60\n");  // SP-5

  rlimit ours{};
  ::getrlimit(RLIMIT_NOFILE, &ours);
  EXPECT_GT(ours.rlim_cur, 60U);
}

TEST_P(SubprocessOption, TheUserCanBeChanged) {
  if (::getuid() != 0) GTEST_SKIP() << "only root may";
  const std::array<unsigned, 2> groups{65534, 1000};
  SubprocessOptions options{.user = 65534, .group = 65534, .extra_groups = groups};

  EXPECT_EQ(run(output_of("id -u; id -g; id -G", options)), "65534\n65534\n65534 1000\n");  // SP-5

  EXPECT_EQ(::getuid(), 0U);
}

TEST_P(SubprocessOption, TheExecutableMayDifferFromTheName) {
  auto body = []() -> Coroutine<std::string> {
    SubprocessOptions options{.stdout_ = PIPE, .executable = "/bin/sh"};
    auto starting = create_subprocess_exec(options, "my name", "-c", "echo $0");
    Process p = co_await std::move(starting);
    ProcessOutput o = co_await p.communicate();
    co_return std::move(o.stdout_data);
  };

  EXPECT_EQ(run(body()), "my name\n");
}

TEST_P(SubprocessOption, SignalsAreAtTheirDefaultsInTheChild) {
  struct Restore {
    ~Restore() {
      std::signal(SIGPIPE, SIG_DFL);
      std::signal(SIGUSR1, SIG_DFL);
    }
  } restore;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGUSR1, [](int) {});
  const char* show =
      "sed -n 's/^Sig\\(Blk\\|Ign\\|Cgt\\):.*\\(........\\)$/\\2/p' /proc/self/status";

  EXPECT_EQ(run(output_of(std::string("exec ") + show)), "00000000\n00000000\n00000000\n");

  SubprocessOptions kept{.restore_signals = false};
  EXPECT_EQ(run(output_of(std::string("exec ") + show, kept)), "00000000\n00001000\n00000000\n");
}

TEST_P(SubprocessOption, ImpossibleOptionsAreValueErrors) {
  using namespace std::string_literals;
  const auto refused = [&](std::vector<std::string> argv, SubprocessOptions options) {
    try {
      static_cast<void>(create_subprocess_exec(std::move(argv), options));
    } catch (const ValueError& error) {
      return std::string(error.what());
    }
    return std::string();
  };

  EXPECT_EQ(refused({}, {}), "create_subprocess_exec: there is no program to run");
  EXPECT_EQ(refused({""}, {}), "create_subprocess_exec: there is no program to run");
  EXPECT_EQ(refused({"true", "a\0b"s}, {}),
            "create_subprocess_exec: an argument has a null byte in it: \"a\"");
  EXPECT_EQ(refused({"true"}, {.stdout_ = STDOUT}),
            "create_subprocess_exec: stdout_: STDOUT can only be used for stderr_");
  EXPECT_EQ(refused({"true"}, {.stdin_ = -9}),
            "create_subprocess_exec: stdin_: invalid file descriptor -9");
  std::pair<std::string_view, std::string_view> env[]{{"A=B", "c"}};
  EXPECT_EQ(refused({"true"}, {.env = env}),
            "create_subprocess_exec: illegal environment variable name \"A=B\"");
  const std::array<int, 1> pass{-1};
  EXPECT_EQ(refused({"true"}, {.pass_fds = pass}),
            "create_subprocess_exec: pass_fds: invalid file descriptor -1");
  EXPECT_EQ(refused({"true"}, {.process_group = -1}),
            "create_subprocess_exec: process_group must be 0 or more, not -1");
  EXPECT_EQ(refused({"true"}, {.umask = 010000}),
            "create_subprocess_exec: umask must be 07777 or less");
  EXPECT_EQ(refused({"true"}, {.limit = 0}), "create_subprocess_exec: limit must not be 0");
}

}  // namespace
}  // namespace aster::process_tests
