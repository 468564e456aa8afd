// For tests that need what this machine may lack: without it they fail, because a jail that is not tested must not look
// like one that passed. Who knows better says so by name, and then they are skipped, with the reason in the log:
//   CARREL_TEST_WITHOUT_ROOT=1        the tests run as an ordinary user (./dev test sets it for one, and says so)
//   CARREL_TEST_WITHOUT_CGROUP=1      no control group can be had
//   CARREL_TEST_WITHOUT_LANDLOCK=1    the kernel has no Landlock
#pragma once

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

namespace carrel {

// `layer` in capitals: ROOT, CGROUP, LANDLOCK.
inline bool SaidToBeMissing(const std::string& layer) {
  const char* value = std::getenv(("CARREL_TEST_WITHOUT_" + layer).c_str());  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr && std::string(value) == "1";
}

}  // namespace carrel

// At the beginning of a test or of its SetUp, which it ends when `there` is false. A macro, because gtest's skipping
// and failing return from the function in which they stand.
#define CARREL_NEED(layer, there, why)                              \
  switch (0)                                                        \
  case 0:                                                           \
  default:                                                          \
    if (there) {                                                    \
    } else if (::carrel::SaidToBeMissing(layer)) {                  \
      GTEST_SKIP() << "CARREL_TEST_WITHOUT_" layer "=1: " << (why); \
    } else                                                          \
      FAIL() << (why) << ". If this machine cannot have it, CARREL_TEST_WITHOUT_" layer "=1 skips this test"
