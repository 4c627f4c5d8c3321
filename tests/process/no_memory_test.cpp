// SPDX-License-Identifier: MIT
//
// Whichever request for memory is refused while a process is started, used and ended: no
// child and no descriptor is left.
#include "process/process_fixture.hpp"
#include "support/allocations.hpp"

#include <cstdlib>
#include <new>

namespace aster::process_tests {
namespace {

// Frames come from malloc here, one by one, so that each can be refused.
const bool frames_can_be_refused = [] {
  set_frame_allocator(
      [](std::size_t size) {
        void* memory = std::malloc(size);
        if (memory == nullptr) throw std::bad_alloc();
        return memory;
      },
      [](void* memory, std::size_t) noexcept { std::free(memory); });
  return true;
}();

using SubprocessMemory = ProcessTest;
ASTER_ON_ALL_WAYS(SubprocessMemory);

// Runs `body()` on one loop after the other, refusing its first request, then its second,
// and so on until it gets all it asks for; how many were refused.
template <class Body>
std::uint64_t refuse_each_request(const System& system, Body body) {
  for (std::uint64_t granted = 0; granted < 1000; ++granted) {
    auto loop = new_event_loop({.backend = system.backend});
    loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    support::refuse_one_after(granted);
    try {
      loop->run_until_complete(body());
    } catch (const std::exception&) {  // As it should be.
    }
    const bool is_done = support::stop_refusing();
    loop->close();
    EXPECT_TRUE(has_no_child()) << granted;
    if (is_done) return granted;
  }
  ADD_FAILURE() << "more than 1000 requests";
  return 0;
}

TEST_P(SubprocessMemory, WithStreamsNothingIsLeft) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  ASSERT_TRUE(frames_can_be_refused);
  const Logged logged;
  const std::size_t fds = open_fd_count();
  auto body = []() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE};
    auto starting = create_subprocess_exec(options, "/bin/cat");
    Process p = co_await std::move(starting);
    ProcessOutput o = co_await p.communicate("some input");
    EXPECT_EQ(o.stdout_data, "some input");
  };

  const auto refused = refuse_each_request(GetParam().system, body);

  EXPECT_GT(refused, 20U);
  EXPECT_EQ(open_fd_count(), fds);
}

TEST_P(SubprocessMemory, WithProtocolsNothingIsLeft) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  const Logged logged;
  const std::size_t fds = open_fd_count();
  struct Ends : SubprocessProtocol {
    void connection_lost(std::exception_ptr) override { lost.set_result(); }
    Future<> lost = get_running_loop().create_future<>();
  };
  auto body = []() -> Coroutine<> {
    auto starting = get_running_loop().subprocess_exec([] { return std::make_unique<Ends>(); }, {},
                                                       "/bin/true");
    auto link = co_await std::move(starting);
    co_await link.protocol().lost;
  };

  const auto refused = refuse_each_request(GetParam().system, body);

  EXPECT_GT(refused, 20U);
  EXPECT_EQ(open_fd_count(), fds);
}

}  // namespace
}  // namespace aster::process_tests
