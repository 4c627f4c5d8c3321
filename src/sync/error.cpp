// SPDX-License-Identifier: MIT
#include <aster/sync/error.hpp>

namespace aster::inline v0 {

QueueEmpty::QueueEmpty() : Error("the queue is empty") {}
QueueEmpty::~QueueEmpty() = default;
QueueFull::QueueFull() : Error("the queue is full") {}
QueueFull::~QueueFull() = default;
QueueShutDown::QueueShutDown() : Error("the queue was shut down") {}
QueueShutDown::~QueueShutDown() = default;
BrokenBarrierError::~BrokenBarrierError() = default;

}  // namespace aster::inline v0
