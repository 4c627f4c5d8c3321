// SPDX-License-Identifier: MIT
// The values of a context are a list sorted by the variables' numbers, shared by all
// copies and never changed while it is shared. Programs set a handful of variables,
// so that finding one is a few comparisons in one or two cache lines, and the copy
// that a first change needs is short; a tree would win from hundreds on.
#include <aster/base/log.hpp>
#include <aster/task/context.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include <pthread.h>

namespace aster::inline v0 {
namespace detail {

class ContextMap {
 public:
  struct Entry {
    std::uint64_t number;
    const ContextVarBase* var;
    StateRef<ContextValue> value;
  };

  ContextMap(const ContextMap&) = delete;
  ContextMap& operator=(const ContextMap&) = delete;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    const std::size_t bytes = bytes_for(size_);
    std::destroy_n(entries(), size_);
    this->~ContextMap();
    release_frame(this, bytes);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] Entry* begin() noexcept { return entries(); }
  [[nodiscard]] Entry* end() noexcept { return entries() + size_; }
  [[nodiscard]] bool is_shared() const noexcept {
    return references_.load(std::memory_order_acquire) != 1;
  }

  [[nodiscard]] Entry* find(const ContextVarBase& var) noexcept {
    Entry* const at = place_of(var);
    return at != end() && at->number == var.number_ ? at : nullptr;
  }

  /// A list of `former`'s values (null: none) and that of `var`, which `former` lacks.
  [[nodiscard]] static StateRef<ContextMap> with(ContextMap* former, const ContextVarBase& var,
                                                 StateRef<ContextValue>&& value) {
    const std::size_t old_size = former != nullptr ? former->size_ : 0;
    StateRef<ContextMap> made = make(old_size + 1);
    Entry* out = made->entries();
    Entry* const place = former != nullptr ? former->place_of(var) : nullptr;
    Entry* in = former != nullptr ? former->begin() : nullptr;
    out = std::uninitialized_copy(in, place, out);
    ::new (static_cast<void*>(out)) Entry{var.number_, &var, std::move(value)};
    std::uninitialized_copy(place, in + old_size, out + 1);
    return made;
  }
  /// A list of `former`'s values but that of `gone`, one of its entries.
  [[nodiscard]] static StateRef<ContextMap> without(ContextMap& former, Entry* gone) {
    if (former.size_ == 1) return {};
    StateRef<ContextMap> made = make(former.size_ - 1);
    Entry* out = std::uninitialized_copy(former.begin(), gone, made->entries());
    std::uninitialized_copy(gone + 1, former.end(), out);
    return made;
  }
  [[nodiscard]] static StateRef<ContextMap> copy_of(ContextMap& former) {
    StateRef<ContextMap> made = make(former.size_);
    std::uninitialized_copy(former.begin(), former.end(), made->entries());
    return made;
  }

 private:
  explicit ContextMap(std::size_t size) noexcept : size_(size) {}
  ~ContextMap() = default;

  static constexpr std::size_t bytes_for(std::size_t size) noexcept {
    return sizeof(ContextMap) + size * sizeof(Entry);
  }
  /// Room for `size` entries, which the caller makes; that must not fail.
  [[nodiscard]] static StateRef<ContextMap> make(std::size_t size) {
    return StateRef<ContextMap>(::new (allocate_frame(bytes_for(size))) ContextMap(size));
  }
  [[nodiscard]] Entry* entries() noexcept {
    static_assert(alignof(Entry) <= alignof(std::uint64_t) && sizeof(ContextMap) % 8 == 0);
    return reinterpret_cast<Entry*>(this + 1);
  }
  [[nodiscard]] Entry* place_of(const ContextVarBase& var) noexcept {
    return std::lower_bound(
        begin(), end(), var.number_,
        [](const Entry& entry, std::uint64_t number) { return entry.number < number; });
  }

  std::atomic<std::uint32_t> references_{1};
  std::size_t size_;
};

namespace {

constinit std::atomic<std::uint64_t> last_variable_number{0};

constinit thread_local ContextSlot* current = nullptr;

// What is set outside of all tasks, callbacks and `Context::run`. No thread-local object:
// the registration of its destructor would end the program when it finds no memory.
alignas(ContextSlot) constinit thread_local std::byte base_storage[sizeof(ContextSlot)]{};
constinit thread_local bool base_is_made = false;

ContextSlot& base_context() noexcept {
  if (!base_is_made) {
    base_is_made = true;
    return *::new (static_cast<void*>(base_storage)) ContextSlot;
  }
  return *std::launder(reinterpret_cast<ContextSlot*>(base_storage));
}

/// Lets go of the values of threads that end.
class BaseCleaner {
 public:
  BaseCleaner() noexcept { is_made_ = ::pthread_key_create(&key_, &end_thread) == 0; }
  BaseCleaner(const BaseCleaner&) = delete;
  BaseCleaner& operator=(const BaseCleaner&) = delete;
  ~BaseCleaner() {
    if (std::exchange(is_made_, false)) ::pthread_key_delete(key_);
    end_thread(nullptr);  // The thread that ends the program.
  }
  void watch(ContextSlot& slot) {
    if (!is_made_ || ::pthread_setspecific(key_, &slot) != 0) throw std::bad_alloc();
  }

 private:
  static void end_thread(void*) noexcept {
    if (std::exchange(base_is_made, false)) {
      std::destroy_at(std::launder(reinterpret_cast<ContextSlot*>(base_storage)));
    }
  }

  ::pthread_key_t key_{};
  bool is_made_ = false;
};

BaseCleaner& base_cleaner() {
  static BaseCleaner cleaner;
  return cleaner;
}

}  // namespace

ContextState::ContextState(StateRef<ContextMap> map) noexcept : map_(std::move(map)) {}
ContextState::~ContextState() = default;

ContextValue* ContextState::find(const ContextVarBase& var) const noexcept {
  if (!map_) return nullptr;
  ContextMap::Entry* const entry = map_->find(var);
  return entry != nullptr ? entry->value.get() : nullptr;
}

void ContextState::set(const ContextVarBase& var, StateRef<ContextValue> value) {
  ContextMap::Entry* entry = map_ ? map_->find(var) : nullptr;
  if (entry == nullptr) {
    if (value) map_ = ContextMap::with(map_.get(), var, std::move(value));
  } else if (!value) {
    map_ = ContextMap::without(*map_, entry);
  } else {
    if (map_->is_shared()) {
      map_ = ContextMap::copy_of(*map_);
      entry = map_->find(var);
    }
    entry->value = std::move(value);
  }
}

ContextSlot::ContextSlot(StateRef<ContextState> state) noexcept
    : bits_(reinterpret_cast<std::uintptr_t>(state.get()) | owns_state) {
  state->add_reference();
}

ContextMap* ContextSlot::map() const noexcept {
  if (has_own_state()) return own_state().map().get();
  // NOLINTNEXTLINE(performance-no-int-to-ptr): marked.
  return reinterpret_cast<ContextMap*>(bits_);
}

void ContextSlot::take_snapshot(const ContextSlot& other) noexcept {
  ContextMap* const values = other.map();
  if (values != nullptr) values->add_reference();
  bits_ = reinterpret_cast<std::uintptr_t>(values);
}

void ContextSlot::release() noexcept {
  if (has_own_state()) {
    own_state().release_reference();
  } else {
    map()->release_reference();
  }
  bits_ = 0;
}

StateRef<ContextMap> ContextSlot::values() const noexcept {
  ContextMap* const values = map();
  return values != nullptr ? StateRef<ContextMap>::share(*values) : StateRef<ContextMap>();
}

ContextState& ContextSlot::state() {
  if (!has_own_state()) {
    if (current == nullptr && this == &base_context()) base_cleaner().watch(*this);
    auto* const made = make_in_frame<ContextState>(values());
    made->entered.store(this == current, std::memory_order_relaxed);
    if (bits_ != 0) release();
    bits_ = reinterpret_cast<std::uintptr_t>(made) | owns_state;
  }
  return own_state();
}

ContextValue* ContextSlot::find(const ContextVarBase& var) const noexcept {
  ContextMap* const values = map();
  ContextMap::Entry* const entry = values != nullptr ? values->find(var) : nullptr;
  return entry != nullptr ? entry->value.get() : nullptr;
}

ContextSlot*& context_cell() noexcept { return current; }

ContextSlot& current_context() noexcept { return current != nullptr ? *current : base_context(); }

void throw_unset(const ContextVarBase& var) {
  throw LookupError("ContextVar '" + std::string(var.name()) + "' has no value here");
}

void check_token(const ContextVarBase& var, const ContextVarBase& of_token,
                 const ContextState* state) {
  const std::string name(var.name());
  if (state == nullptr) {
    throw RuntimeError("reset: the token of '" + name + "' has already been used once");
  }
  if (&var != &of_token) {
    throw ValueError("reset: the token was created by a different ContextVar ('" +
                     std::string(of_token.name()) + "', not '" + name + "')");
  }
  if (state != &current_context().state()) {
    throw ValueError("reset: the token of '" + name + "' was created in a different Context");
  }
}

void end_scope(const ContextVarBase& var, ContextState* state,
               const StateRef<ContextValue>& old) noexcept {
  try {
    if (state == &current_context().state()) state->set(var, old);
  } catch (...) {
    log_error("a context variable keeps the value of a block that has ended: out of memory");
  }
}

}  // namespace detail

ContextVarBase::ContextVarBase(std::string_view name)
    : name_(name),
      number_(detail::last_variable_number.fetch_add(1, std::memory_order_relaxed) + 1) {}
ContextVarBase::~ContextVarBase() = default;

Context::Context()
    : state_(detail::make_in_frame<detail::ContextState>(detail::StateRef<detail::ContextMap>())) {}

Context Context::copy() const {
  return Context(detail::StateRef<detail::ContextState>(
      detail::make_in_frame<detail::ContextState>(state_->map())));
}

std::size_t Context::size() const noexcept { return state_->map() ? state_->map()->size() : 0; }

std::vector<const ContextVarBase*> Context::keys() const {
  std::vector<const ContextVarBase*> keys;
  if (const auto& map = state_->map()) {
    for (const detail::ContextMap::Entry& entry : *map) keys.push_back(entry.var);
  }
  return keys;
}

void detail::throw_entered() {
  throw RuntimeError("Context::run: this context is entered already; run in a copy of it");
}

Context copy_context() {
  return Context(detail::StateRef<detail::ContextState>(
      detail::make_in_frame<detail::ContextState>(detail::current_context().values())));
}

}  // namespace aster::inline v0
