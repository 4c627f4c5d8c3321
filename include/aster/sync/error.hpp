// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>

/// What queues and barriers throw, named as in asyncio.
namespace aster::inline v0 {

/// `get_nowait` found nothing in the queue.
class ASTER_API QueueEmpty : public Error {
 public:
  using Error::Error;
  /// With a fixed text.
  QueueEmpty();
  ~QueueEmpty() override;
};

/// `put_nowait` found the queue full.
class ASTER_API QueueFull : public Error {
 public:
  using Error::Error;
  /// With a fixed text.
  QueueFull();
  ~QueueFull() override;
};

/// The queue was shut down: nothing more goes in, or nothing more will come out.
class ASTER_API QueueShutDown : public Error {
 public:
  using Error::Error;
  /// With a fixed text.
  QueueShutDown();
  ~QueueShutDown() override;
};

/// The barrier was aborted, or was reset while the task waited.
class ASTER_API BrokenBarrierError : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
  ~BrokenBarrierError() override;
};

}  // namespace aster::inline v0
