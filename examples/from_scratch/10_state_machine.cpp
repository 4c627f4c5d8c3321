// SPDX-License-Identifier: MIT
// Step 10: what the compiler makes of a coroutine, written by hand.
#include <aster/coro/generator.hpp>

#include <iostream>
#include <optional>

// The real one.
aster::Generator<int> count_down(int from) {
  std::cout << "  begin\n";
  for (int i = from; i > 0; --i) {
    co_yield i;
    std::cout << "  after " << i << '\n';
  }
  std::cout << "  end\n";
}

// The same: the locals have become members, the place in the body a number, and each
// call of `try_next` jumps to that place.
class CountDown {
 public:
  explicit CountDown(int from) : from_(from) {}

  std::optional<int> try_next() {
    switch (place_) {
      case 0:  // Made, not begun.
        std::cout << "  begin\n";
        i_ = from_;
        break;
      case 1:  // At the co_yield.
        std::cout << "  after " << i_ << '\n';
        --i_;
        break;
      default:  // Ended.
        return std::nullopt;
    }
    if (i_ > 0) {
      place_ = 1;
      return i_;
    }
    std::cout << "  end\n";
    place_ = 2;
    return std::nullopt;
  }

 private:
  int place_ = 0;
  int from_;  // The parameter.
  int i_ = 0;
};

template <class Generator>
void drive(const char* name, Generator generator) {
  std::cout << name << ", "
            << (sizeof generator == sizeof(void*) ? "a pointer to its frame" : "its own frame")
            << '\n';
  while (auto value = generator.try_next()) std::cout << *value << '\n';
}

int main() {
  drive("the compiler's", count_down(3));
  drive("by hand", CountDown(3));
}
