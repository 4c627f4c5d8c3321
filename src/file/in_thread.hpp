// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/executor/executor.hpp>
#include <aster/loop/event_loop.hpp>

#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0::detail {

class FileCore;
class FileState;

/// `call()` in a thread of the running loop's default executor; nothing happens before it is
/// awaited.
template <class Call>
Coroutine<std::invoke_result_t<Call&>> in_thread(Call call) {
  auto future = get_running_loop().run_in_executor(nullptr, std::move(call));
  co_return co_await std::move(future);
}

[[nodiscard]] std::shared_ptr<FileState> make_file_state(std::shared_ptr<FileCore> core,
                                                         std::string mode,
                                                         std::source_location source);

}  // namespace aster::inline v0::detail
