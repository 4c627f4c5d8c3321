// SPDX-License-Identifier: MIT
#include <aster/executor/process_pool.hpp>
#include <aster/executor/remote_call.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

namespace aster {
namespace {

using detail::FunctionPlace;
using testing::HasSubstr;

int square(int n) { return n * n; }

const void* address_of(int (*function)(int)) { return reinterpret_cast<const void*>(function); }

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const RuntimeError& e) {
    return e.what();
  }
  return "no error";
}

TEST(FunctionPlace, LeadsBackToTheFunction) {
  const FunctionPlace here = detail::place_of(address_of(&square));
  const FunctionPlace there = detail::place_of(reinterpret_cast<const void*>(&::getppid));

  EXPECT_EQ(here.object, "");  // The program.
  EXPECT_NE(here.build_id, "");
  EXPECT_NE(there.object, "");
  EXPECT_EQ(detail::function_at(here), address_of(&square));
  EXPECT_EQ(detail::function_at(there), reinterpret_cast<const void*>(&::getppid));
}

TEST(FunctionPlace, RefusesAnotherVersionOfTheFileNamingBoth) {
  FunctionPlace place = detail::place_of(address_of(&square));
  const std::string build_id = place.build_id;
  place.build_id = "0123";

  const std::string error = error_of([&] { (void)detail::function_at(place); });

  EXPECT_THAT(error, HasSubstr("the program has changed since it was loaded"));
  EXPECT_THAT(error, HasSubstr("build id 0123 here, " + build_id + " in the worker"));
}

TEST(FunctionPlace, NamesAFileThatCannotBeLoaded) {
  FunctionPlace place = detail::place_of(address_of(&square));
  place.object = "/nowhere/libnothing.so";

  EXPECT_THAT(error_of([&] { (void)detail::function_at(place); }),
              HasSubstr("a worker cannot load /nowhere/libnothing.so"));
}

TEST(FunctionPlace, RefusesWhatLiesInNoFile) {
  const std::vector<char> heap(1);
  EXPECT_THAT(error_of([&] { (void)detail::place_of(heap.data()); }),
              HasSubstr("lies in no file of this program"));
}

TEST(ProcessPoolExecutor, WorkersLoadWhatTheProgramHasLoaded) {  // CF-16
  void* plugin = ::dlopen(ASTER_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << ::dlerror();
  auto* triple = reinterpret_cast<int (*)(int)>(::dlsym(plugin, "plugin_triple"));
  ASSERT_NE(triple, nullptr);
  ProcessPoolExecutor procs{{.max_workers = 1}};

  EXPECT_EQ(procs.submit(triple, 7).result(), 21);
  EXPECT_EQ(procs.submit(square, 7).result(), 49);

  ::dlclose(plugin);
}

TEST(Decoder, RefusesInputThatEndsTooEarly) {
  Encoder out;
  out(std::vector<int>{1, 2, 3});
  std::string bytes = std::move(out).take();
  bytes.resize(bytes.size() - 1);

  EXPECT_THROW((void)Decoder(bytes).get<std::vector<int>>(), ValueError);
  EXPECT_THROW((void)Decoder("").get<int>(), ValueError);
  EXPECT_THROW((void)Decoder("x").get<std::string>(), ValueError);
}

TEST(Decoder, RefusesAVariantWithoutThatAlternative) {
  Encoder out;
  out(std::uint64_t{2}, 1);
  const std::string bytes = std::move(out).take();
  using Either = std::variant<int, char>;

  EXPECT_THROW((void)Decoder(bytes).get<Either>(), ValueError);
}

}  // namespace
}  // namespace aster
