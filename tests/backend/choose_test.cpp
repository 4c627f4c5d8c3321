// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/loop/backend.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace aster {
namespace {

// Sets ASTER_BACKEND for the length of a case.
class Environment {
 public:
  explicit Environment(const char* value) {
    if (const char* before = std::getenv("ASTER_BACKEND")) before_ = before;
    ::setenv("ASTER_BACKEND", value, 1);
  }
  ~Environment() { ::setenv("ASTER_BACKEND", before_.c_str(), 1); }  // Empty: as if unset.

 private:
  std::string before_;
};

TEST(MakeBackend, GivesTheOneAskedFor) {
  const Environment other("poll");

  EXPECT_EQ(make_backend(Backend::select)->name(), "select");
}

TEST(MakeBackend, AutomaticObeysTheEnvironment) {
  for (const char* name : {"poll", "select"}) {
    const Environment forced(name);
    EXPECT_EQ(make_backend()->name(), name);
  }
}

#if defined(__linux__)
TEST(MakeBackend, EmptyAndAutomaticEnvironmentLeaveTheChoice) {
  for (const char* value : {"", "automatic"}) {
    const Environment open(value);
    EXPECT_EQ(make_backend()->name(), "epoll");
  }
}
#endif

TEST(MakeBackend, UnknownNameInTheEnvironmentIsNamedWithTheValidOnes) {
  const Environment wrong("epol");

  try {
    static_cast<void>(make_backend());
    FAIL();
  } catch (const ValueError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("'epol'"), std::string::npos) << text;
    EXPECT_NE(text.find("epoll, poll, select"), std::string::npos) << text;
  }
}

TEST(MakeBackend, FacilityThatIsNotBuiltInIsAValueError) {
  try {
    static_cast<void>(make_backend(Backend::iocp));
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_STREQ(error.what(), "back end iocp is not built in");
  }
}

}  // namespace
}  // namespace aster
