// The file that remembers which engines of cuDNN were fastest: it survives damage, other machines and attackers.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "cuda/plan_cache.h"
#include "support/process.h"

namespace dcl::cuda {
namespace {

const std::string kMachine = "cudnn 9.19.0, NVIDIA H200, sm_90";

CachedPlans example() {
  return {.chosen = {{"forward n512 h32 bf16", {{62, {{1, 0}, {12, 3}}}, 4096}},
                     {"backward_data n512 add", {{0, {}}, 0}},
                     {"forward n256 bf16", {{4, {{24, 2}}}, 0, true}},
                     {"forward n128 bf16", {{4, {}}, 0, true}},
                     {"forward n256 bias residual relu", {{kNoEngine, {}}, 0}}},
          .barred = {{"forward n512 h32 bf16", {{62, {{1, 1}}}, {3, {}}}}, {"forward n8", {{7, {}}}}}};
}

TEST(PlanCacheText, ComesBackAsItWas) {
  EXPECT_EQ(decode_plans(encode_plans(kMachine, example()), kMachine), example());
  EXPECT_EQ(decode_plans(encode_plans(kMachine, {}), kMachine), CachedPlans{});
}

TEST(PlanCacheText, OfAnotherMachineIsIgnored) {
  EXPECT_FALSE(decode_plans(encode_plans(kMachine, example()), "cudnn 9.20.0, NVIDIA H200, sm_90"));
}

TEST(PlanCacheText, EveryDamagedByteIsSeen) {
  const std::string good = encode_plans(kMachine, example());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(decode_plans(bad, kMachine)) << i;
    EXPECT_FALSE(decode_plans(good.substr(0, i), kMachine)) << i;
  }
  EXPECT_FALSE(decode_plans(good + "x", kMachine));
}

/// With a good checksum, so that the lines themselves are judged.
TEST(PlanCacheText, LinesThatSayNothingValid) {
  const std::string head = "dcl cuDNN plans 7\n" + kMachine + "\n";
  const auto sealed = [&](const std::string& lines) {
    const std::string body = head + lines;
    uint64_t sum = 14695981039346656037u;
    for (const char c : body) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211u;
    char digits[32];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(sum));
    return body + "checksum " + digits + "\n";
  };
  ASSERT_TRUE(decode_plans(sealed("key\t1\t2\t3=4,\nkey\t2\tbarred\t3=4,\n"), kMachine));
  std::string barred;
  for (int i = 0; i <= 100; ++i) barred += "key\t" + std::to_string(i) + "\tbarred\t\n";
  EXPECT_FALSE(decode_plans(sealed(barred), kMachine));
  std::string many = "key\t1\t2\t";
  for (int i = 0; i < 65; ++i) many += "1=1,";
  for (const std::string& line : {std::string("key\n"),
                                  std::string("key\t1\t2\n"),
                                  std::string("\t1\t2\t\n"),
                                  std::string("key\t-1\t2\t\n"),
                                  std::string("key\tnone \t2\t\n"),
                                  std::string("key\t1\t-2\t\n"),
                                  std::string("key\t1\t2\t3\n"),
                                  std::string("key\t1\t2\t3=4\n"),
                                  std::string("key\t1\t2\t=4,\n"),
                                  std::string("key\t99999999999999999999\t2\t\n"),
                                  std::string("key\t1x\t2\t\n"),
                                  std::string("key\t 1\t2\t\n"),
                                  std::string("key\t1\t2\t3=4,5\n"),
                                  std::string("key\t1\t2\t\nkey\t1\t2\t\n"),
                                  many + "\n",
                                  std::string("key\t1\t2\t3=4,"),
                                  std::string("key\tnone\tbarred\t\n"),
                                  std::string("key\t1\tbarred\t\nkey\t1\tbarred\t\n"),
                                  std::string("key\t1\t2\t\tinherit\n"),
                                  std::string("key\t1\t2\t3=4,\t\n"),
                                  std::string("key\t1\tbarred\t\tinherited\n"),
                                  std::string("key\t1\t2\t\tinherited\tinherited\n")})
    EXPECT_FALSE(decode_plans(sealed(line), kMachine)) << line;
}

TEST(PlanCacheText, NoiseNeverHarms) {
  std::mt19937 random(1);
  for (int run = 0; run < 2000; ++run) {
    std::string text = encode_plans(kMachine, example());
    for (int change = 0; change < 4; ++change) text[random() % text.size()] = static_cast<char>(random());
    decode_plans(text, kMachine);
  }
}

TEST(PlanCache, RemembersAcrossProcessesAndMerges) {
  const test::TemporaryFolder folder;
  PlanCache one(folder / "cache", kMachine), two(folder / "cache", kMachine);
  one.store("a", {{1, {}}, 10});
  two.store("b", {{2, {{3, 4}}}, 20});
  EXPECT_EQ(two.find("a"), (CachedPlan{{1, {}}, 10}));
  const PlanCache later(folder / "cache", kMachine);
  EXPECT_EQ(later.find("a"), (CachedPlan{{1, {}}, 10}));
  EXPECT_EQ(later.find("b"), (CachedPlan{{2, {{3, 4}}}, 20}));
  EXPECT_FALSE(later.find("c"));
  EXPECT_FALSE(PlanCache(folder / "cache", "another machine").find("a"));
}

TEST(PlanCache, TheNearestPlanHasAnEngineThatWasChosenForIt) {
  const test::TemporaryFolder folder;
  PlanCache cache(folder / "cache", kMachine);
  const CachedPlan far{{1, {}}, 10}, near{{2, {}}, 20};
  const auto by_length = [](std::string_view key) {
    return key == "other" ? HUGE_VAL : static_cast<double>(key.size());
  };
  cache.store("other", far);
  EXPECT_FALSE(cache.nearest(by_length));
  cache.store("aaa", far);
  cache.store("bb", near);
  cache.store("c", {{kNoEngine, {}}, 0});
  cache.store("d", {{3, {}}, 30, true});
  EXPECT_EQ(cache.nearest(by_length), near);
}

TEST(PlanCache, OfProcessesSideBySideTheFirstToChooseChoosesForAll) {
  const test::TemporaryFolder folder;
  const CachedPlan first{{1, {}}, 10}, second{{2, {}}, 20};
  PlanCache one(folder / "cache", kMachine), two(folder / "cache", kMachine);
  EXPECT_EQ(one.store("a", first), first);
  EXPECT_EQ(two.store("a", second), first);
  EXPECT_EQ(two.find("a"), first);
  EXPECT_EQ(PlanCache(folder / "cache", kMachine).find("a"), first);
  EXPECT_EQ(two.store("a", second, first), second) << "the first cannot be used";
  EXPECT_EQ(PlanCache(folder / "cache", kMachine).find("a"), second);
}

TEST(PlanCache, TwoThatChooseAtTheSameMomentTakeTheSame) {
  constexpr int kSides = 3, kKeys = 40;
  const test::TemporaryFolder folder;
  std::vector<CachedPlan> kept[kSides];
  std::atomic<int> arrived{0};
  std::vector<std::thread> sides;
  for (int side = 0; side < kSides; ++side)
    sides.emplace_back([&, side] {
      PlanCache own(folder / "cache", kMachine);
      for (int key = 0; key < kKeys; ++key) {
        for (++arrived; arrived < (key + 1) * kSides;) std::this_thread::yield();
        kept[side].push_back(own.store("key " + std::to_string(key), {{side, {}}, 10}));
      }
    });
  for (std::thread& side : sides) side.join();
  const PlanCache later(folder / "cache", kMachine);
  for (int key = 0; key < kKeys; ++key)
    for (const auto& of_side : kept)
      EXPECT_EQ(later.find("key " + std::to_string(key)), of_side[static_cast<size_t>(key)]) << key;
}

TEST(PlanCache, ALockThatIsKeptDelaysOnly) {
  const test::TemporaryFolder folder;
  PlanCache cache(folder / "cache", kMachine);
  std::filesystem::create_directory(folder / "cache");
  const int fd = ::open((cache.file().string() + ".lock").c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto start = std::chrono::steady_clock::now();
  for (const char* key : {"a", "b", "c", "d", "e", "f", "g", "h"}) cache.store(key, {{1, {}}, 10});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(12)) << "it waits once";
  EXPECT_TRUE(PlanCache(folder / "cache", kMachine).find("h"));
  ::close(fd);
}

TEST(PlanCache, AnEngineThatEndedAProcessIsRememberedByTheNext) {
  const test::TemporaryFolder folder;
  const EngineChoice bad{78, {{1, 2}}}, good{78, {{1, 3}}};
  PlanCache one(folder / "cache", kMachine), two(folder / "cache", kMachine);
  two.store("b", {{2, {}}, 20});
  EXPECT_TRUE(one.bar("a", bad));
  EXPECT_TRUE(one.bar("a", bad)) << "it was known";
  EXPECT_TRUE(two.bar("a", {5, {}}));
  const PlanCache later(folder / "cache", kMachine);
  EXPECT_TRUE(later.is_barred("a", bad));
  EXPECT_TRUE(later.is_barred("a", {5, {}}));
  EXPECT_FALSE(later.is_barred("a", good)) << "other knobs";
  EXPECT_FALSE(later.is_barred("b", bad)) << "another pattern";
  EXPECT_TRUE(later.find("b"));
}

TEST(PlanCache, ReplacesADamagedFile) {
  const test::TemporaryFolder folder;
  PlanCache cache(folder / "cache", kMachine);
  cache.store("a", {{1, {}}, 10});
  test::write_text(cache.file().string(), "damaged");
  PlanCache next(folder / "cache", kMachine);
  EXPECT_FALSE(next.find("a"));
  next.store("b", {{2, {}}, 0});
  EXPECT_TRUE(PlanCache(folder / "cache", kMachine).find("b"));
}

TEST(PlanCache, WorksWithoutAFile) {
  PlanCache nowhere("", kMachine), unwritable("/proc/none", kMachine);
  for (PlanCache* cache : {&nowhere, &unwritable}) {
    cache->store("a", {{1, {}}, 10});
    EXPECT_TRUE(cache->find("a"));
    EXPECT_FALSE(cache->bar("a", {1, {}})) << "there is nowhere to write it";
    EXPECT_TRUE(cache->is_barred("a", {1, {}}));
  }
}

TEST(PlanCache, FolderFollowsTheEnvironment) {
  ::setenv("HOME", "/home/someone", 1);
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("DCL_PLAN_CACHE");
  EXPECT_EQ(plan_cache_folder(), "/home/someone/.cache/dcl");
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(plan_cache_folder(), "/cache/dcl");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(plan_cache_folder(), "/home/someone/.cache/dcl");
  ::setenv("DCL_PLAN_CACHE", "/plans", 1);
  EXPECT_EQ(plan_cache_folder(), "/plans");
  ::setenv("DCL_PLAN_CACHE", "off", 1);
  EXPECT_EQ(plan_cache_folder(), "");
}

}  // namespace
}  // namespace dcl::cuda
