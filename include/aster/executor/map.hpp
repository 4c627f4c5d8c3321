// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>
#include <aster/executor/concurrent_future.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace aster::inline v0 {

/// Options of `Executor::map`.
struct MapOptions {
  /// How long all results may take together, from the call of `map` on; then TimeoutError.
  Delay timeout = Delay::infinite();
  /// How many calls go to a worker process at a time; threads take no notice.
  std::size_t chunksize = 1;
  /// How many calls may be under way or wait to be looked at; none: all are submitted at once.
  std::optional<std::size_t> buffersize = {};
};

namespace detail {

ASTER_API TimePoint check_map(const MapOptions& options);

/// What one future of a map brings: a result or, with `Chunked`, several.
template <class R, bool Chunked>
struct MapBatch {
  using Value = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
  using type = std::conditional_t<Chunked, std::vector<Value>, R>;
};

/// Where a `MapResults` gets its futures from.
template <class Batch>
class MapSource {
 public:
  MapSource() noexcept = default;
  MapSource(const MapSource&) = delete;
  MapSource& operator=(const MapSource&) = delete;
  virtual ~MapSource() = default;
  /// Submits the next one; nothing when the input has ended.
  [[nodiscard]] virtual std::optional<ConcurrentFuture<Batch>> submit() = 0;
};

/// The elements of several ranges side by side, up to the end of the shortest.
template <class... Views>
class Zip {
 public:
  explicit Zip(Views... views) : views_(std::move(views)...) {}
  Zip(const Zip&) = delete;
  Zip& operator=(const Zip&) = delete;

  /// `use(elements...)` for the next ones; false at the end.
  template <class Use>
  bool next(Use&& use) {
    if (!at_) {
      at_.emplace(
          std::apply([](auto&... v) { return Positions(std::ranges::begin(v)...); }, views_));
    }
    return next_of(use, std::index_sequence_for<Views...>());
  }

 private:
  using Positions = std::tuple<std::ranges::iterator_t<Views>...>;

  template <class Use, std::size_t... I>
  bool next_of(Use& use, std::index_sequence<I...>) {
    if (((std::get<I>(*at_) == std::ranges::end(std::get<I>(views_))) || ...)) return false;
    use(*std::get<I>(*at_)...);
    (static_cast<void>(++std::get<I>(*at_)), ...);
    return true;
  }

  std::tuple<Views...> views_;
  std::optional<Positions> at_;  // In `views_`, so this object stays where it is.
};

}  // namespace detail

/// The results of `Executor::map`, in the order of the input.
///
///     for (int square : pool.map(square_of, numbers)) use(square);
///
/// `next` and the steps of the iterator wait for the result; what its call has thrown they
/// throw, and the next step goes on behind it. TimeoutError when the time for all of them is
/// over. An error of the input or of submitting comes from `map` itself; after that (with a
/// `buffersize`) once, behind the results of all that was submitted before it, and ends the
/// map. Dropped early, it cancels the calls that have not begun. Movable; one thread at a
/// time; may block, so no loop's thread.
template <class R, bool Chunked = false>
class MapResults {
  using Batch = typename detail::MapBatch<R, Chunked>::type;

 public:
  using value_type = typename detail::MapBatch<R, Chunked>::Value;

  /// As `map` makes it.
  MapResults(std::unique_ptr<detail::MapSource<Batch>> source, const MapOptions& options)
      : source_(std::move(source)),
        deadline_(detail::check_map(options)),
        in_flight_max_(options.buffersize) {
    refill();
  }
  MapResults(MapResults&&) noexcept = default;
  MapResults& operator=(MapResults&&) = delete;
  ~MapResults() {
    for (ConcurrentFuture<Batch>& future : futures_) future.cancel();
  }

  /// The next result, nothing at the end; `std::monostate` for functions that give none.
  [[nodiscard]] std::optional<value_type> next() {
    if constexpr (Chunked) {
      while (chunk_.empty() && !futures_.empty()) {
        chunk_ = next_batch().take();
        std::reverse(chunk_.begin(), chunk_.end());
      }
      if (chunk_.empty()) return end_of_input();
      std::optional<value_type> value(std::in_place, std::move(chunk_.back()));
      chunk_.pop_back();
      return value;
    } else {
      if (futures_.empty()) return end_of_input();
      ConcurrentFuture<R> future = next_batch();
      if constexpr (std::is_void_v<R>) {
        future.result();
        return std::monostate();
      } else {
        return std::optional<value_type>(std::in_place, future.take());
      }
    }
  }

  /// An input iterator over what is left.
  class iterator {
   public:
    using value_type = MapResults::value_type;
    using difference_type = std::ptrdiff_t;
    /// Of no results.
    iterator() = default;
    /// At the next result of `results`.
    explicit iterator(MapResults& results) : results_(&results) { ++*this; }
    /// The result it is at.
    [[nodiscard]] value_type& operator*() const { return *results_->current_; }
    /// Waits for the next result, and throws what `next` throws.
    iterator& operator++() {
      results_->current_ = results_->next();
      return *this;
    }
    /// The same.
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& a, std::default_sentinel_t) { return a.is_at_end(); }

   private:
    [[nodiscard]] bool is_at_end() const noexcept { return !results_->current_; }

    MapResults* results_ = nullptr;
  };
  /// Waits for the first of what is left.
  [[nodiscard]] iterator begin() { return iterator(*this); }
  /// Behind the last result.
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  /// The oldest future once it is done; it stays here when the time is over before.
  ConcurrentFuture<Batch> next_batch() {
    try {
      static_cast<void>(futures_.front().exception(left()));
    } catch (const CancelledError&) {  // So it is done.
    }
    ConcurrentFuture<Batch> future = std::move(futures_.front());
    futures_.pop_front();
    try {
      refill();
    } catch (...) {  // Not in the place of this result.
      input_error_ = std::current_exception();
      source_.reset();
    }
    return future;
  }
  std::nullopt_t end_of_input() {
    if (input_error_) std::rethrow_exception(std::exchange(input_error_, nullptr));
    return std::nullopt;
  }
  void refill() {
    while (source_ && (!in_flight_max_ || futures_.size() < *in_flight_max_)) {
      if (auto future = source_->submit()) {
        try {
          futures_.push_back(*future);
        } catch (...) {
          future->cancel();  // As nobody will ask for it.
          throw;
        }
      } else {
        source_.reset();
      }
    }
  }
  [[nodiscard]] Delay left() const noexcept {
    if (deadline_ == TimePoint::max()) return Delay::infinite();
    return deadline_ - std::chrono::steady_clock::now();
  }

  std::unique_ptr<detail::MapSource<Batch>> source_;  // Null when the input has ended.
  std::exception_ptr input_error_;                    // What has ended it, until thrown.
  TimePoint deadline_;
  std::optional<std::size_t> in_flight_max_;
  std::deque<ConcurrentFuture<Batch>> futures_;
  std::conditional_t<Chunked, Batch, std::monostate> chunk_;  // The last first.
  std::optional<value_type> current_;                         // Of the iterator.
};

}  // namespace aster::inline v0
