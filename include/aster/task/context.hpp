// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/task/context_slot.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Context variables: values that belong to a line of work and follow it through
/// tasks, callbacks and threads without being passed along. The counterpart of
/// Python's contextvars.
///
///     inline ContextVar<int> request_id{"request_id", 0};
///     Coroutine<> handle(int id) {
///       request_id.set(id);
///       co_await query();      // Sees it, and so does every task made in here.
///     }
///
/// Every task, and every callback given to a loop, runs in a copy of the context it
/// was made in: what it sets is seen by what it awaits and starts, never by its
/// creator or siblings. A copy costs a reference count, and nothing while no
/// variable is set. Values are found by a search of the (few) variables that are set;
/// setting one copies that list.
///
/// Thread rule: a context is used by one thread at a time; another thread that
/// wants the values takes `copy_context()` (as `to_thread` does). Values are shared
/// by all copies and must be safe to read from the threads that hold one.
namespace aster::inline v0 {

class Context;

namespace detail {

class TaskBase;

template <class T>
class TypedContextValue final : public ContextValue {
 public:
  explicit TypedContextValue(T&& value) : value_(std::move(value)) {}
  [[nodiscard]] const T& get() const noexcept { return value_; }

 private:
  ~TypedContextValue() = default;
  void destroy() noexcept override { destroy_in_frame(this); }
  friend void destroy_in_frame<TypedContextValue>(TypedContextValue*) noexcept;
  const T value_;
};

[[noreturn]] ASTER_API void throw_unset(const ContextVarBase& var);
[[noreturn]] ASTER_API void throw_entered();
ASTER_API void end_scope(const ContextVarBase& var, ContextState* state,
                         const StateRef<ContextValue>& old) noexcept;

}  // namespace detail

/// What all context variables have: a name. See `ContextVar`.
class ASTER_API ContextVarBase {
 public:
  ContextVarBase(const ContextVarBase&) = delete;
  ContextVarBase& operator=(const ContextVarBase&) = delete;
  /// The name it was made with, for people.
  [[nodiscard]] std::string_view name() const noexcept { return name_; }

 protected:
  explicit ContextVarBase(std::string_view name);
  ~ContextVarBase();

 private:
  friend class detail::ContextMap;
  std::string name_;
  std::uint64_t number_;  // Never reused.
};

template <class T>
class Token;

/// A variable with a value in each context: the counterpart of
/// contextvars.ContextVar. Make it a static or `inline` global: contexts that hold a
/// value refer to it.
///
///     inline ContextVar<std::string> user{"user", "nobody"};
///     auto token = user.set("ada");
///     user.get();          // "ada", here and in what is started from here
///     user.reset(token);   // "nobody"
///
/// `T` must be copyable.
template <class T>
class ContextVar final : public ContextVarBase {
  static_assert(std::copy_constructible<T>, "aster: the value of a ContextVar is given as a copy");

 public:
  /// A variable that has no value where none is set.
  explicit ContextVar(std::string_view name) : ContextVarBase(name) {}
  /// A variable that has the value `otherwise` where none is set.
  ContextVar(std::string_view name, T otherwise)
      : ContextVarBase(name), default_(std::move(otherwise)) {}

  /// A copy of its value in the current context, else the default; LookupError when
  /// there is neither.
  [[nodiscard]] T get() const {
    if (const T* value = find()) return *value;
    if (!default_) detail::throw_unset(*this);
    return *default_;
  }
  /// A copy of its value in the current context, else `otherwise`.
  [[nodiscard]] T get(T otherwise) const {
    const T* value = find();
    return value != nullptr ? *value : std::move(otherwise);
  }

  /// Gives it a value in the current context; the token undoes that.
  Token<T> set(T value);

  /// Brings back what the `set` that gave `token` replaced. RuntimeError for a token
  /// that was used before; ValueError for one of another variable or context.
  void reset(Token<T>& token);
  /// The same, for a token at hand.
  void reset(Token<T>&& token) { reset(token); }

  /// Undoes a `set` at the end of the block.
  class [[nodiscard]] Scope {
   public:
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    /// Nothing is undone in a context other than the one that was changed. A copy of
    /// the context taken inside the block makes this need memory; when there is none
    /// the value stays, and the log is told.
    ~Scope() { token_.var_->end_scope(token_); }

   private:
    friend class ContextVar;
    explicit Scope(Token<T>&& token) noexcept : token_(std::move(token)) {}
    Token<T> token_;
  };

  /// `set` until the end of the block; the counterpart of `with var.set(value):`.
  ///
  ///     auto as_root = user.scoped("root");
  Scope scoped(T value) { return Scope(set(std::move(value))); }

 private:
  friend class Context;
  [[nodiscard]] static const T* value_in(detail::ContextValue* value) noexcept {
    return value != nullptr ? &static_cast<detail::TypedContextValue<T>*>(value)->get() : nullptr;
  }
  [[nodiscard]] const T* find() const noexcept {
    return value_in(detail::current_context().find(*this));
  }
  void end_scope(Token<T>& token) noexcept {
    detail::end_scope(*this, token.state_.get(), token.old_);
  }

  std::optional<T> default_;
};

/// What `ContextVar::set` replaced, for one `ContextVar::reset`: the counterpart of
/// contextvars.Token. Thread rule: that of the context it was made in.
template <class T>
class Token {
 public:
  Token(Token&&) noexcept = default;
  Token& operator=(Token&&) noexcept = default;

  /// The variable whose `set` gave it.
  [[nodiscard]] const ContextVar<T>& var() const noexcept { return *var_; }
  /// The value before; nothing when there was none.
  [[nodiscard]] std::optional<T> old_value() const {
    if (!old_) return {};
    return static_cast<detail::TypedContextValue<T>*>(old_.get())->get();
  }

 private:
  friend class ContextVar<T>;
  Token(ContextVar<T>& var, detail::StateRef<detail::ContextState> state,
        detail::StateRef<detail::ContextValue> old) noexcept
      : var_(&var), state_(std::move(state)), old_(std::move(old)) {}

  ContextVar<T>* var_;
  detail::StateRef<detail::ContextState> state_;  // Null once used.
  detail::StateRef<detail::ContextValue> old_;
};

/// A set of values of context variables: the counterpart of contextvars.Context. A
/// handle; copies of it refer to the same context (`copy` gives another one).
///
///     Context context = copy_context();
///     context.run([] { request_id.set(7); });  // Seen in `context` only.
class ASTER_API Context {
 public:
  /// A new, empty context.
  Context();

  /// Runs `function()` with this context current; what it sets stays in here. Gives
  /// its result. RuntimeError when the context is current already, in any thread.
  template <std::invocable F>
  std::invoke_result_t<F> run(F&& function) const {
    detail::ContextSlot slot(state_);
    const detail::ContextEntry entry(detail::context_cell(), slot);
    if (entry.is_nested()) detail::throw_entered();
    return std::invoke(std::forward<F>(function));
  }

  /// Another context with the same values.
  [[nodiscard]] Context copy() const;

  /// The value that is set here; nothing when none is (a default does not count).
  template <class T>
  [[nodiscard]] std::optional<T> get(const ContextVar<T>& var) const {
    const T* value = ContextVar<T>::value_in(state_->find(var));
    return value != nullptr ? std::optional<T>(*value) : std::nullopt;
  }
  /// The value that is set here; LookupError when none is.
  template <class T>
  [[nodiscard]] T operator[](const ContextVar<T>& var) const {
    const T* value = ContextVar<T>::value_in(state_->find(var));
    if (value == nullptr) detail::throw_unset(var);
    return *value;
  }
  /// Whether a value of `var` is set here.
  [[nodiscard]] bool contains(const ContextVarBase& var) const noexcept {
    return state_->find(var) != nullptr;
  }
  /// How many variables are set here.
  [[nodiscard]] std::size_t size() const noexcept;
  /// The variables that are set here, in the order in which they were made.
  [[nodiscard]] std::vector<const ContextVarBase*> keys() const;

  /// For what the library makes to run in this context.
  [[nodiscard]] detail::ContextSlot slot() const noexcept { return detail::ContextSlot(state_); }

  /// Equal when both are the same context, not only of the same values.
  friend bool operator==(const Context& a, const Context& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

 private:
  friend class detail::TaskBase;
  friend class Handle;
  friend Context copy_context();
  explicit Context(detail::StateRef<detail::ContextState> state) noexcept
      : state_(std::move(state)) {}
  explicit Context(detail::ContextSlot& slot)
      : state_(detail::StateRef<detail::ContextState>::share(slot.state())) {}

  detail::StateRef<detail::ContextState> state_;
};

/// A copy of the current context; costs a reference count whatever it holds. The
/// counterpart of contextvars.copy_context.
[[nodiscard]] ASTER_API Context copy_context();

// Bodies ---------------------------------------------------------------------------

namespace detail {

/// Throws RuntimeError for a token that is used up, ValueError for one of another
/// variable or context.
ASTER_API void check_token(const ContextVarBase& var, const ContextVarBase& of_token,
                           const ContextState* state);

}  // namespace detail

template <class T>
Token<T> ContextVar<T>::set(T value) {
  using Value = detail::TypedContextValue<T>;
  detail::StateRef<detail::ContextValue> fresh(detail::make_in_frame<Value>(std::move(value)));
  detail::ContextState& state = detail::current_context().state();
  detail::StateRef<detail::ContextValue> old;
  if (detail::ContextValue* found = state.find(*this)) {
    old = detail::StateRef<detail::ContextValue>::share(*found);
  }
  state.set(*this, std::move(fresh));
  return Token<T>(*this, detail::StateRef<detail::ContextState>::share(state), std::move(old));
}

template <class T>
void ContextVar<T>::reset(Token<T>& token) {
  detail::check_token(*this, *token.var_, token.state_.get());
  token.state_->set(*this, token.old_);
  token.state_ = {};
}

}  // namespace aster::inline v0
