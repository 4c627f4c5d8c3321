// SPDX-License-Identifier: MIT
// Of a coroutine clang says "Coroutine<int> ns::f(std::vector<U>) const [U = long]", and
// g++, which names the function that it makes of the body, "void ns::f(f(long int) ...)".
// Scopes can be functions ("main()::Local::f") and lambdas: "<lambda(int)>" with g++,
// "(anonymous class)" with clang, followed by "::operator()".
#include <aster/base/function_name.hpp>

#include <cstddef>

namespace aster::inline v0 {
namespace {

constexpr std::string_view lambda = "<lambda>";
constexpr std::string_view operator_word = "operator";

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Shortener {
 public:
  explicit Shortener(std::string_view signature) : text_(signature) {}

  std::string run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '(' || c == '<' || c == '{') {
        if (!bracket()) break;
      } else if (c == ' ') {
        ++at_;
        name_.clear();  // What came before was the result type, or "static".
      } else if (is_word(c)) {
        word();
      } else {
        name_ += c;
        ++at_;
      }
    }
    drop_suffix("::operator()", lambda);
    constexpr std::string_view inline_scope = "aster::v0::";
    if (name_.starts_with(inline_scope)) name_.replace(0, inline_scope.size(), "aster::");
    return std::move(name_);
  }

 private:
  [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }

  void word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    const std::string_view found = text_.substr(begin, at_ - begin);
    name_ += found;
    if (found == operator_word) operator_symbol();
  }

  void operator_symbol() {
    if (rest().starts_with("()")) {
      name_ += "()";
      at_ += 2;
      return;
    }
    constexpr std::string_view symbols = "<>=!+-*/%^&|~,[]";
    while (at_ < text_.size() && symbols.find(text_[at_]) != std::string_view::npos) {
      name_ += text_[at_++];
    }
  }

  /// A pair of brackets; false at the parameters of the function, where its name ends.
  bool bracket() {
    const bool is_round = text_[at_] == '(';
    const std::size_t end = behind_bracket();
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 2);
    at_ = end;
    if (is_round) {
      const std::size_t scope = behind_qualifiers(end);
      const bool is_scope = text_.substr(scope).starts_with("::");
      if (name_ == "decltype") return true;  // Of a result type; a space follows.
      if (!is_scope) return false;
      at_ = scope;
    }
    if (inside == "anonymous namespace" || inside == "anonymous") {
      at_ += 2;  // Its "::" goes too.
    } else if (inside.starts_with("lambda") || inside == "anonymous class") {
      name_ += lambda;
    }
    return true;
  }

  /// The place behind the bracket that closes the one here.
  [[nodiscard]] std::size_t behind_bracket() const {
    std::size_t depth = 0;
    for (std::size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      const bool is_arrow = c == '>' && text_[i - 1] == '-';
      if (c == '(' || c == '<' || c == '{') ++depth;
      if ((c == ')' || c == '>' || c == '}') && !is_arrow && --depth == 0) return i + 1;
    }
    return text_.size();
  }

  [[nodiscard]] std::size_t behind_qualifiers(std::size_t at) const {
    for (bool again = true; again;) {
      again = false;
      for (const std::string_view word : {" const", " volatile", " &&", " &", " noexcept"}) {
        if (!text_.substr(at).starts_with(word)) continue;
        at += word.size();
        again = true;
      }
    }
    return at;
  }

  void drop_suffix(std::string_view suffix, std::string_view behind) {
    const std::string whole = std::string(behind) + std::string(suffix);
    if (name_.ends_with(whole)) name_.resize(name_.size() - suffix.size());
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string name_;
};

}  // namespace

std::string detail::shorten_signature(std::string_view signature) {
  std::string name = Shortener(signature).run();
  return name.empty() ? std::string(signature) : name;
}

std::string short_function_name(const std::source_location& site) {
  return detail::shorten_signature(site.function_name());
}

}  // namespace aster::inline v0
