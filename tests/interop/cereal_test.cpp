// SPDX-License-Identifier: MIT
#include <aster/executor/process_pool.hpp>
#include <aster/interop/cereal.hpp>

#include <gtest/gtest.h>

#include <cereal/types/memory.hpp>
#include <cereal/types/polymorphic.hpp>
#include <cereal/types/string.hpp>

#include <memory>
#include <string>
#include <vector>

namespace shapes {

struct Shape {
  Shape() = default;
  Shape(const Shape&) = default;
  Shape& operator=(const Shape&) = default;
  virtual ~Shape() = default;
  [[nodiscard]] virtual double area() const = 0;
};

struct Square : Shape {
  double side = 0;
  [[nodiscard]] double area() const override { return side * side; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(side);
  }
};

/// As cereal alone knows them.
struct Named {
  std::string name;
  template <class Archive>
  void save(Archive& archive) const {
    archive(name);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(name);
  }
};

}  // namespace shapes

CEREAL_REGISTER_TYPE(shapes::Square)
CEREAL_REGISTER_POLYMORPHIC_RELATION(shapes::Shape, shapes::Square)

namespace aster {
namespace {

double area_of(const std::shared_ptr<shapes::Shape>& shape) { return shape->area(); }

TEST(Cereal, PolymorphicPointersTravelToWorkers) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}};
  auto square = std::make_shared<shapes::Square>();
  square->side = 3;

  EXPECT_EQ(procs.submit(area_of, std::shared_ptr<shapes::Shape>(square)).result(), 9);
}

TEST(Cereal, ItsTypesGoIntoContainersOfOurs) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}};
  const auto reversed = [](std::vector<shapes::Named> names) {
    return std::vector<shapes::Named>(names.rbegin(), names.rend());
  };

  auto names = procs.submit(reversed, std::vector<shapes::Named>{{"a"}, {"b"}}).result();

  ASSERT_EQ(names.size(), 2U);
  EXPECT_EQ(names[0].name, "b");
}

}  // namespace
}  // namespace aster
