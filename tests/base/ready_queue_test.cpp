// SPDX-License-Identifier: MIT
#include <aster/base/ready_queue.hpp>

#include <gtest/gtest.h>

#include <string>

namespace aster {
namespace {

using detail::ReadyQueue;
using detail::Runnable;
using detail::RunnableOps;

// Writes its name into a log when it runs, in capitals when it is dropped.
class Node : public Runnable {
 public:
  Node(char letter, std::string& to) : Runnable(&table), name_(letter), log_(to) {}

 private:
  static void on_run(Runnable& self) {
    auto& node = static_cast<Node&>(self);
    node.log_ += node.name_;
  }
  static void on_drop(Runnable& self) noexcept {
    auto& node = static_cast<Node&>(self);
    node.log_ += static_cast<char>(node.name_ - 'a' + 'A');
  }
  static constexpr RunnableOps table{&Node::on_run, &Node::on_drop};

  char name_;
  std::string& log_;
};

struct Fixture : ::testing::Test {
  std::string log;
  Node a{'a', log}, b{'b', log}, c{'c', log}, d{'d', log};
  ReadyQueue queue;
  std::string run_all() {
    while (!queue.empty()) queue.pop().run();
    return log;
  }
};
using ReadyQueueTest = Fixture;

TEST_F(ReadyQueueTest, RunsFirstInFirstOut) {
  queue.push(a);
  queue.push(b);
  queue.push(c);

  EXPECT_EQ(run_all(), "abc");
}

TEST_F(ReadyQueueTest, ANodeMayQueueItselfAgainOnceItIsOut) {
  queue.push(a);
  queue.push(b);

  queue.push(queue.pop());

  EXPECT_EQ(run_all(), "ba");
}

TEST_F(ReadyQueueTest, DropsGoToTheNodesDrop) {
  queue.push(a);

  queue.pop().drop();

  EXPECT_EQ(log, "A");
}

TEST_F(ReadyQueueTest, AppendTakesTheOthersNodesBehindOurs) {
  ReadyQueue other;
  queue.push(a);
  other.push(b);
  other.push(c);

  queue.append(other);
  queue.push(d);

  EXPECT_TRUE(other.empty());
  EXPECT_EQ(run_all(), "abcd");
}

TEST_F(ReadyQueueTest, PrependTakesTheOthersNodesBeforeOurs) {
  ReadyQueue other;
  queue.push(c);
  other.push(a);
  other.push(b);

  queue.prepend(other);
  queue.push(d);

  EXPECT_EQ(run_all(), "abcd");
}

TEST_F(ReadyQueueTest, AQueueThatWasTakenFromCanBeUsedAgain) {
  ReadyQueue other;
  other.push(a);
  queue.append(other);

  other.push(b);
  queue.append(other);

  EXPECT_EQ(run_all(), "ab");
}

TEST_F(ReadyQueueTest, TakingAnEmptyQueueChangesNothing) {
  ReadyQueue other;
  queue.push(a);

  queue.append(other);
  queue.prepend(other);

  EXPECT_EQ(run_all(), "a");
}

TEST_F(ReadyQueueTest, RemovesFirstMiddleAndLast) {
  for (Node* node : {&a, &b, &c, &d}) queue.push(*node);

  queue.remove(b);
  queue.remove(d);
  queue.remove(a);
  queue.push(a);  // The end is where it should be.

  EXPECT_EQ(run_all(), "ca");
}

TEST_F(ReadyQueueTest, RemovingTheOnlyNodeLeavesItEmpty) {
  queue.push(a);

  queue.remove(a);
  EXPECT_TRUE(queue.empty());

  queue.push(b);
  EXPECT_EQ(run_all(), "b");
}

TEST_F(ReadyQueueTest, RemovingANodeThatIsNotThereDoesNothing) {
  queue.push(a);

  queue.remove(b);

  EXPECT_EQ(run_all(), "a");
}

}  // namespace
}  // namespace aster
