// SPDX-License-Identifier: MIT
// Reads a loop's tasks the way another process would: by the table's offsets, with copies
// of memory as the only means.
#include <aster/aster.hpp>
#include <aster/task/introspection_table.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;
using Address = std::uintptr_t;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// What a reader of another process's memory has.
template <class T>
T read(Address at) {
  T value;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): as if from elsewhere.
  std::memcpy(&value, reinterpret_cast<const void*>(at), sizeof value);
  return value;
}

struct Found {
  std::string name;
  std::vector<std::string> stack;       // "function:line", innermost first.
  std::vector<std::string> awaited_by;  // Names.
};

class Reader {
 public:
  explicit Reader(Address table)
      : t_(read<aster_introspection_table>(table)),
        task_kind_(reinterpret_cast<Address>(t_.task_kind)),
        watch_kind_(reinterpret_cast<Address>(t_.watch_kind)) {}

  [[nodiscard]] std::vector<Address> schedulers() const {
    std::vector<Address> all;
    for (auto at = reinterpret_cast<Address>(t_.schedulers); at != 0;
         at = read<Address>(at + t_.scheduler_next)) {
      all.push_back(at);
    }
    return all;
  }

  /// The tasks of all loops, by name.
  [[nodiscard]] std::map<std::string, Found> tasks() const {
    std::map<std::string, Found> all;
    for (const Address scheduler : schedulers()) {
      for (const Address node : nodes(scheduler + t_.scheduler_tasks)) {
        const Address task = node - t_.task_node;
        Found found{name_of(task), stack_of(task), {}};
        for (const Address waiter : awaiters_of(task)) found.awaited_by.push_back(name_of(waiter));
        all.emplace(found.name, found);
      }
    }
    return all;
  }

  [[nodiscard]] std::optional<std::string> running() const {
    for (const Address scheduler : schedulers()) {
      const Address driver = read<Address>(scheduler + t_.scheduler_current);
      if (driver != 0 && is_task(driver)) return name_of(driver - t_.task_driver);
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::vector<Address> nodes(Address list) const {
    std::vector<Address> all;
    for (Address node = read<Address>(list + t_.node_next); node != list;
         node = read<Address>(node + t_.node_next)) {
      all.push_back(node);
    }
    return all;
  }
  [[nodiscard]] std::vector<Address> links(Address future) const {
    std::vector<Address> all;
    const auto first = read<Address>(future + t_.future_links);
    for (Address link = first == 0 ? 1 : first; link % 2 == 0;
         link = read<Address>(link + t_.link_next)) {
      all.push_back(link);
    }
    return all;
  }
  [[nodiscard]] bool is_task(Address driver) const {
    return read<Address>(driver + t_.runnable_kind) == task_kind_;
  }
  [[nodiscard]] static std::string text_at(Address at) {
    std::string text;
    for (char c = read<char>(at); c != '\0'; c = read<char>(++at)) text += c;
    return text;
  }

  [[nodiscard]] std::string name_of(Address task) const {
    auto name = read<Address>(task + t_.task_details);
    if (name % 2 == 0) name = read<Address>(name + t_.details_name);
    if (name % 2 != 0) return "Task-" + std::to_string(name / 2);
    if (t_.string_size == 0) return "?";
    const auto characters = read<Address>(name + t_.string_data);
    std::string text;
    for (std::size_t i = 0; i < read<std::size_t>(name + t_.string_size); ++i) {
      text += read<char>(characters + i);
    }
    return text;
  }

  [[nodiscard]] std::vector<std::string> stack_of(Address task) const {
    std::vector<std::string> stack;
    Address frame = read<Address>(task + t_.task_driver + t_.driver_frame);
    while (frame != 0) {
      const auto site = read<Address>(frame + t_.frame_site);
      if (site != 0) {
        stack.push_back(detail::shorten_signature(text_at(read<Address>(site + t_.site_function))) +
                        ":" + std::to_string(read<std::uint32_t>(site + t_.site_line)));
      }
      const auto origin = read<Address>(frame + t_.frame_origin);
      frame = origin % 2 != 0 ? 0 : read<Address>(origin - t_.call_size + t_.call_parent);
    }
    return stack;
  }

  void add_task(Address driver, std::vector<Address>& all) const {
    if (driver != 0 && is_task(driver)) all.push_back(driver - t_.task_driver);
  }
  [[nodiscard]] std::vector<Address> awaiters_of(Address future) const {
    std::vector<Address> all;
    for (const Address link : links(future)) {
      const auto target = read<Address>(link + t_.link_target);
      if (target % 2 == 0) {
        add_task(target, all);
      } else if (read<Address>(target - 1 + t_.runnable_kind) == watch_kind_) {
        const auto watch = read<Address>(link + t_.hook_owner);
        const auto owner = read<Address>(watch + t_.watch_owner);
        const auto waiter = read<Address>(owner + t_.owner_waiter);
        const Address who = waiter & ~Address{3};
        if (who == 0) continue;
        if (waiter % 4 == 0) {
          for (const Address other : awaiters_of(who)) all.push_back(other);
        } else if (waiter % 4 == 1) {
          add_task(who, all);
        } else {
          for (const Address node : nodes(who + t_.list_waits)) {
            add_task(read<Address>(node - t_.wait_node + t_.wait_driver), all);
          }
        }
      }
    }
    return all;
  }

  aster_introspection_table t_;
  Address task_kind_;
  Address watch_kind_;
};

Reader reader() { return Reader(reinterpret_cast<Address>(&aster_introspection_v1)); }

constexpr unsigned leaf_line = __LINE__ + 1;
Coroutine<> leaf(Future<> until) { co_await until; }
constexpr unsigned deep_line = __LINE__ + 1;
Coroutine<> deep(Future<> until) { co_await leaf(std::move(until)); }
Coroutine<> join(Task<> task) { co_await task; }
Coroutine<> gathering(Task<> task) { co_await gather(shield(std::move(task)), sleep(1h)); }
Coroutine<> waiting(std::vector<Task<>> tasks) { co_await wait(std::move(tasks)); }
Coroutine<> completing(std::vector<Task<>> tasks) {
  auto each = as_completed(std::move(tasks));
  auto next = co_await each.next();
  static_cast<void>(next);
}
Coroutine<> grouping(Future<> until) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(leaf(until), {.name = "child"});
    co_return;
  };
  co_await with(TaskGroup(), body);
}

TEST(IntrospectionTable, WhoAwaitsTakesNoSpaceOfItsOwn) {  // INT-12
  EXPECT_EQ(sizeof(detail::DoneLink), 3 * sizeof(void*));  // The list's two, and whom to queue.
  EXPECT_EQ(sizeof(detail::ChildWaiter), sizeof(void*));
  EXPECT_EQ(sizeof(detail::PromiseBase), 3 * sizeof(void*));  // One of them for the place.
}

TEST(IntrospectionTable, SaysWhatItIs) {
  EXPECT_STREQ(aster_introspection_v1.magic, "aster");
  EXPECT_EQ(aster_introspection_v1.version, 1U);
  EXPECT_EQ(aster_introspection_v1.size, sizeof(aster_introspection_table));
}

TEST(IntrospectionTable, LeadsToEveryLoop) {
  EXPECT_THAT(reader().schedulers(), IsEmpty());
  {
    testing::SimLoop first;
    auto second = std::make_unique<testing::SimLoop>();
    testing::SimLoop third;
    EXPECT_EQ(reader().schedulers().size(), 3U);
    second.reset();
    EXPECT_EQ(reader().schedulers().size(), 2U);
  }
  EXPECT_THAT(reader().schedulers(), IsEmpty());
}

TEST(IntrospectionTable, LeadsToTasksTheirStacksAndWhoAwaitsThem) {
  testing::SimLoop loop;
  auto never = loop.create_future<>();
  auto task = loop.create_task(deep(never), {.name = "a name that needs memory of its own"});
  auto numbered = loop.create_task(join(task));
  auto gatherer = loop.create_task(gathering(task), {.name = "gather"});
  auto waiter = loop.create_task(waiting({task}), {.name = "wait"});
  auto each = loop.create_task(completing({task}), {.name = "each"});
  auto parent = loop.create_task(grouping(never), {.name = "parent"});
  loop.run_until_idle();
  const auto tasks = reader().tasks();
  const Found& found = tasks.at("a name that needs memory of its own");

  EXPECT_THAT(found.stack, ElementsAre("aster::leaf:" + std::to_string(leaf_line),
                                       "aster::deep:" + std::to_string(deep_line)));
  EXPECT_THAT(found.awaited_by, ElementsAre(numbered.get_name(), "gather", "wait", "each"));
  EXPECT_THAT(tasks.at("child").awaited_by, ElementsAre("parent"));
  EXPECT_THAT(tasks.at("parent").awaited_by, IsEmpty());
  EXPECT_EQ(tasks.size(), all_tasks(loop).size());
  for (AnyTask other : all_tasks(loop)) other.cancel();
  loop.run_until_idle();
}

TEST(IntrospectionTable, LeadsToTheTaskThatRuns) {
  testing::SimLoop loop;
  std::optional<std::string> name;
  auto body = [&]() -> Coroutine<> {
    name = reader().running();
    co_return;
  };
  auto task = loop.create_task(body(), {.name = "running"});
  loop.run_until_idle();

  EXPECT_EQ(name, "running");
  EXPECT_EQ(reader().running(), std::nullopt);
}

}  // namespace
}  // namespace aster
