// Which backends there are, and what is said of those that do not work.
#include "core/registry.h"

#include <gtest/gtest.h>

namespace dcl {
namespace {

ErrorKind kind_of(const std::string& name) {
  try {
    make_backend(name);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << name << " was made";
  return ErrorKind::internal;
}

TEST(Registry, ListsTheBackendsInTheOrderOfAuto) {
  const std::vector<BackendStatus> all = list_backends();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "cuda");
  EXPECT_EQ(all[1].name, "onednn");
  EXPECT_EQ(all[2].name, "eigen");
  EXPECT_TRUE(all[2].available);
  for (const BackendStatus& status : all) EXPECT_EQ(status.available, status.reason.empty()) << status.name;
}

TEST(Registry, AutoTakesTheFirstThatWorks) {
  for (const BackendStatus& status : list_backends())
    if (status.available) {
      EXPECT_EQ(make_backend("auto")->info().name, status.name);
      return;
    }
}

TEST(Registry, UnavailableIsAnErrorOfTheEnvironment) {
  for (const BackendStatus& status : list_backends())
    if (!status.available) {
      EXPECT_EQ(kind_of(status.name), ErrorKind::environment) << status.name;
    }
}

TEST(Registry, UnknownNamesAreErrorsOfUsage) {
  for (const char* name : {"", "none", "../eigen", "cuda emulated"}) EXPECT_EQ(kind_of(name), ErrorKind::usage) << name;
}

TEST(Registry, AModuleOfAnotherInterfaceIsRefused) {
  try {
    make_backend("outdated");
    FAIL() << "it was opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::environment);
    EXPECT_NE(std::string(error.what()).find("dcl_outdated.so was built for another version"), std::string::npos)
        << error.what();
  }
}

TEST(Registry, FurtherModulesAreFoundByName) {
  const char* more = std::getenv("DCL_TEST_BACKEND");
  if (!more) GTEST_SKIP() << "DCL_TEST_BACKEND names no further module";
  EXPECT_EQ(make_backend(more)->info().name, more);
  for (const BackendStatus& status : list_backends()) EXPECT_NE(status.name, more);
}

}  // namespace
}  // namespace dcl
