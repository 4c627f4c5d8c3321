// SPDX-License-Identifier: MIT
// The selectors, each kind alike. SEL-1 to SEL-11
#include <aster/base/error.hpp>
#include <aster/io/selectors.hpp>
#include <aster/io/socket.hpp>
#include <aster/testing/faults.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/socket_pair.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::Faults;
using ::testing::HasSubstr;
using testing::SysCall;

using Pair = support::SocketPair;

// The text of the error that `call` throws; "" without one.
template <class E, class Call>
std::string error(Call call) {
  try {
    call();
  } catch (const E& failure) {
    return failure.what();
  }
  return "";
}

template <class S>
class Selectors : public ::testing::Test {
 protected:
  S selector_;
  Pair pair_;
};

using Kinds = ::testing::Types<
#if ASTER_HAS_EPOLL
    EpollSelector,
#endif
#if ASTER_HAS_KQUEUE
    KqueueSelector,
#endif
    PollSelector, SelectSelector, DefaultSelector>;

struct Names {
  template <class T>
  static std::string GetName(int) {
    if (std::is_same_v<T, PollSelector>) return "poll";
    if (std::is_same_v<T, SelectSelector>) return "select";
    if (std::is_same_v<T, DefaultSelector>) return "default";
    return "system";
  }
};
TYPED_TEST_SUITE(Selectors, Kinds, Names);

TYPED_TEST(Selectors, TheMasksArePythons) {  // SEL-1
  EXPECT_EQ(EVENT_READ, 1U);
  EXPECT_EQ(EVENT_WRITE, 2U);
}

TYPED_TEST(Selectors, RegisteringGivesTheKey) {  // SEL-2, SEL-3
  const int fd = this->pair_.ours;
  const SelectorKey key = this->selector_.register_(fd, EVENT_READ, std::string("mine"));

  EXPECT_EQ(key.fd, fd);
  EXPECT_EQ(key.events, EVENT_READ);
  EXPECT_EQ(std::any_cast<std::string>(key.data), "mine");
  EXPECT_EQ(std::any_cast<std::string>(this->selector_.get_key(fd).data), "mine");  // SEL-7
}

TYPED_TEST(Selectors, TellsWhatIsReady) {  // SEL-6
  auto& selector = this->selector_;
  selector.register_(this->pair_.ours, EVENT_READ | EVENT_WRITE, 7);

  auto ready = selector.select(0s);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].events, EVENT_WRITE);
  EXPECT_EQ(std::any_cast<int>(ready[0].key.data), 7);

  this->pair_.send();
  ready = selector.select(0s);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].events, EVENT_READ | EVENT_WRITE);
  EXPECT_EQ(selector.select(0s).size(), 1U);  // Level-triggered.
}

TYPED_TEST(Selectors, WaitsAtMostTheTimeout) {  // SEL-6, SEL-10
  this->selector_.register_(this->pair_.ours, EVENT_READ);
  for (const Duration wait : {Duration(1ns), Duration(300us), Duration(2500us)}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(this->selector_.select(wait).empty());
    EXPECT_GE(std::chrono::steady_clock::now() - start, wait);
  }
  EXPECT_TRUE(this->selector_.select(0s).empty());
  EXPECT_TRUE(this->selector_.select(-1s).empty());
}

TYPED_TEST(Selectors, WithoutATimeoutItWaitsUntilSomethingIsReady) {  // SEL-6
  this->selector_.register_(this->pair_.ours, EVENT_READ);
  this->pair_.send();

  EXPECT_EQ(this->selector_.select().size(), 1U);
  EXPECT_EQ(this->selector_.select(Delay::infinite()).size(), 1U);
}

TYPED_TEST(Selectors, WithNothingRegisteredItOnlyWaits) {  // SEL-6
  EXPECT_TRUE(this->selector_.select(1ms).empty());
}

TYPED_TEST(Selectors, ASignalGivesNothing) {  // SEL-6
  this->selector_.register_(this->pair_.ours, EVENT_WRITE);
  Faults faults;
  for (const SysCall call : {SysCall::epoll_wait, SysCall::poll, SysCall::select}) {
    faults.fail(call, {.error = EINTR});
  }

  EXPECT_TRUE(this->selector_.select().empty());
  EXPECT_EQ(this->selector_.select().size(), 1U);
}

TYPED_TEST(Selectors, AnyOtherErrorOfTheWaitIsThrown) {  // SEL-6
  this->selector_.register_(this->pair_.ours, EVENT_WRITE);
  Faults faults;
  for (const SysCall call : {SysCall::epoll_wait, SysCall::poll, SysCall::select}) {
    faults.fail(call, {.error = ENOMEM});
  }

  EXPECT_NE(error<std::system_error>([&] { static_cast<void>(this->selector_.select(0s)); }), "");
}

TYPED_TEST(Selectors, BadMasksAndDescriptorsAreValueErrors) {  // SEL-3
  auto& selector = this->selector_;
  for (const unsigned mask : {0U, 4U, 7U, ~0U}) {
    EXPECT_EQ(error<ValueError>([&] { selector.register_(this->pair_.ours, mask); }),
              "register: invalid events " + std::to_string(mask));
  }
  EXPECT_EQ(error<ValueError>([&] { selector.register_(-1, EVENT_READ); }),
            "register: invalid file descriptor -1");
  EXPECT_EQ(error<ValueError>([&] { selector.unregister(-5); }),
            "unregister: invalid file descriptor -5");
  selector.register_(this->pair_.ours, EVENT_READ);
  EXPECT_EQ(error<ValueError>([&] { selector.modify(this->pair_.ours, 0); }),
            "modify: invalid events 0");
  EXPECT_EQ(selector.get_key(this->pair_.ours).events, EVENT_READ);
}

TYPED_TEST(Selectors, AKeyIsThereOnceOrItIsAKeyError) {  // SEL-3, SEL-4, SEL-5, SEL-7
  auto& selector = this->selector_;
  const std::string number = std::to_string(this->pair_.ours);
  EXPECT_EQ(error<KeyError>([&] { selector.unregister(this->pair_.ours); }),
            "unregister: " + number + " is not registered");
  EXPECT_EQ(error<KeyError>([&] { selector.modify(this->pair_.ours, EVENT_READ); }),
            "modify: " + number + " is not registered");
  EXPECT_EQ(error<KeyError>([&] { static_cast<void>(selector.get_key(this->pair_.ours)); }),
            "get_key: " + number + " is not registered");

  selector.register_(this->pair_.ours, EVENT_READ, 1);
  EXPECT_EQ(error<KeyError>([&] { selector.register_(this->pair_.ours, EVENT_WRITE, 2); }),
            "register: " + number + " is already registered");
  EXPECT_EQ(std::any_cast<int>(selector.get_key(this->pair_.ours).data), 1);
}

TYPED_TEST(Selectors, WhatIsUnregisteredIsNotTold) {  // SEL-4
  auto& selector = this->selector_;
  selector.register_(this->pair_.ours, EVENT_WRITE, 1);

  EXPECT_EQ(std::any_cast<int>(selector.unregister(this->pair_.ours).data), 1);

  EXPECT_TRUE(selector.select(0s).empty());
  selector.register_(this->pair_.ours, EVENT_WRITE);
  EXPECT_EQ(selector.select(0s).size(), 1U);
}

TYPED_TEST(Selectors, AClosedDescriptorCanBeUnregistered) {  // SEL-4
  auto& selector = this->selector_;
  const int fd = this->pair_.ours;
  selector.register_(fd, EVENT_READ);
  this->pair_.close_ours();

  EXPECT_EQ(selector.unregister(fd).fd, fd);
  EXPECT_TRUE(selector.select(0s).empty());
}

TYPED_TEST(Selectors, ModifyChangesMaskAndData) {  // SEL-5
  auto& selector = this->selector_;
  selector.register_(this->pair_.ours, EVENT_READ, 1);

  EXPECT_EQ(selector.modify(this->pair_.ours, EVENT_WRITE, 2).events, EVENT_WRITE);
  auto ready = selector.select(0s);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(std::any_cast<int>(ready[0].key.data), 2);

  selector.modify(this->pair_.ours, EVENT_READ, 3);
  EXPECT_TRUE(selector.select(0s).empty());
  EXPECT_EQ(std::any_cast<int>(selector.get_key(this->pair_.ours).data), 3);
}

TYPED_TEST(Selectors, ModifyOfTheDataAloneAsksNobody) {  // SEL-5
  auto& selector = this->selector_;
  selector.register_(this->pair_.ours, EVENT_READ, 1);
  Faults faults;

  selector.modify(this->pair_.ours, EVENT_READ, 2);

  EXPECT_EQ(faults.calls(SysCall::epoll_ctl), 0U);
  EXPECT_EQ(std::any_cast<int>(selector.get_key(this->pair_.ours).data), 2);
}

TYPED_TEST(Selectors, AHangUpIsReadyForWhatIsWaitedFor) {  // SEL-11
  auto& selector = this->selector_;
  selector.register_(this->pair_.ours, EVENT_READ);
  this->pair_.close_peer();

  auto ready = selector.select(0s);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].events, EVENT_READ);  // Limited to what is registered.
  selector.modify(this->pair_.ours, EVENT_WRITE);
  ready = selector.select(0s);
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].events, EVENT_WRITE);
}

TYPED_TEST(Selectors, ObjectsWithADescriptorWillDo) {  // SEL-3
  Socket socket{AF_INET, SOCK_DGRAM};

  EXPECT_EQ(this->selector_.register_(socket, EVENT_WRITE).fd, socket.fileno());
  EXPECT_EQ(this->selector_.select(0s).size(), 1U);
  EXPECT_EQ(this->selector_.get_key(socket).events, EVENT_WRITE);
  this->selector_.modify(socket, EVENT_READ);
  this->selector_.unregister(socket);
  EXPECT_TRUE(this->selector_.get_map()->empty());
}

TYPED_TEST(Selectors, AClosedSelectorSaysSo) {  // SEL-7
  auto& selector = this->selector_;
  selector.register_(this->pair_.ours, EVENT_READ);
  EXPECT_EQ(selector.get_map()->size(), 1U);

  selector.close();
  selector.close();

  EXPECT_EQ(selector.get_map(), nullptr);
  const int fd = this->pair_.ours;
  EXPECT_EQ(error<RuntimeError>([&] { static_cast<void>(selector.get_key(fd)); }),
            "get_key: Selector is closed");
  EXPECT_NE(error<RuntimeError>([&] { selector.register_(fd, EVENT_READ); }), "");
  EXPECT_NE(error<RuntimeError>([&] { selector.unregister(fd); }), "");
  EXPECT_NE(error<RuntimeError>([&] { selector.modify(fd, EVENT_READ); }), "");
  EXPECT_NE(error<RuntimeError>([&] { static_cast<void>(selector.select()); }), "");
}

TYPED_TEST(Selectors, ManyDescriptorsAtOnce) {  // SEL-6
  std::vector<Pair> pairs(100);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    this->selector_.register_(pairs[i].ours, EVENT_READ, static_cast<int>(i));
    if (i % 3 == 0) pairs[i].send();
  }

  const auto ready = this->selector_.select(0s);

  EXPECT_EQ(ready.size(), 34U);
  for (const SelectorEvent& event : ready) EXPECT_EQ(std::any_cast<int>(event.key.data) % 3, 0);
  for (const Pair& one : pairs) this->selector_.unregister(one.ours);
  EXPECT_TRUE(this->selector_.select(0s).empty());
}

TYPED_TEST(Selectors, ANumberThatComesBackCanBeRegisteredAgain) {  // SEL-3, SEL-4
  for (int i = 0; i < 5; ++i) {
    Pair fresh;
    this->selector_.register_(fresh.ours, EVENT_READ);
    fresh.send();
    EXPECT_EQ(this->selector_.select(0s).size(), 1U);
    const int fd = fresh.ours;
    fresh.close_ours();
    this->selector_.unregister(fd);
  }
}

TEST(SelectSelector, RefusesDescriptorsThatAreTooLarge) {  // SEL-8
  SelectSelector selector;

  EXPECT_THAT(error<ValueError>([&] { selector.register_(FD_SETSIZE, EVENT_READ); }),
              HasSubstr("is too large for select"));
  EXPECT_TRUE(selector.get_map()->empty());
}

TEST(PollSelector, TellsThatADescriptorIsClosed) {  // SEL-11
  PollSelector selector;
  Pair pair;
  selector.register_(pair.ours, EVENT_READ);
  pair.close_ours();

  EXPECT_EQ(selector.select(0s).size(), 1U);
}

#if ASTER_HAS_EPOLL
TEST(EpollSelector, HasADescriptorOfItsOwn) {  // SEL-8
  EpollSelector selector;
  const int fd = selector.fileno();
  EXPECT_GE(fd, 0);

  selector.close();

  EXPECT_NE(error<RuntimeError>([&] { static_cast<void>(selector.fileno()); }), "");
  EXPECT_EQ(::close(fd), -1);  // Closed already.
}

TEST(EpollSelector, RefusesRegularFiles) {  // SEL-3
  EpollSelector selector;
  char name[] = "/tmp/aster-selectors-XXXXXX";
  const int file = ::mkstemp(name);
  ASSERT_GE(file, 0);
  ::unlink(name);

  EXPECT_THAT(
      error<std::system_error>([&] { selector.register_(file, EVENT_READ); }),
      HasSubstr("register descriptor " + std::to_string(file) + ": Operation not permitted"));
  EXPECT_TRUE(selector.get_map()->empty());
  ::close(file);
}

TEST(EpollSelector, AChangeThatIsRefusedEndsTheRegistration) {  // SEL-5
  EpollSelector selector;
  Pair pair;
  selector.register_(pair.ours, EVENT_READ);
  Faults faults;
  faults.fail(SysCall::epoll_ctl, {.error = ENOMEM});

  EXPECT_NE(error<std::system_error>([&] { selector.modify(pair.ours, EVENT_WRITE); }), "");

  EXPECT_TRUE(selector.get_map()->empty());
  selector.register_(pair.ours, EVENT_WRITE);
  EXPECT_EQ(selector.select(0s).size(), 1U);
}

TEST(DefaultSelector, TakesWhatWorks) {  // SEL-9
  Faults faults;
  faults.fail(SysCall::epoll_create, {.error = ENOSYS});
  DefaultSelector selector;  // On poll.
  Pair pair;
  selector.register_(pair.ours, EVENT_WRITE);

  EXPECT_EQ(selector.select(0s).size(), 1U);
  EXPECT_EQ(faults.calls(SysCall::poll), 1U);
}
#endif

}  // namespace
}  // namespace aster
