// What the sanitizers' run times are told, compiled in and not in the environment: tests give what they start an
// environment of its own, and the build's test discovery runs instrumented code too.
#include "suppressions.h"

// The names are the run times'; each of them looks for its own. What the environment says (ASAN_OPTIONS and so on) is
// read after this and wins.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
const char* __asan_default_options();
const char* __ubsan_default_options();
const char* __lsan_default_options();
const char* __lsan_default_suppressions();
const char* __tsan_default_options();
const char* __tsan_default_suppressions();

const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1";
}
const char* __ubsan_default_options() { return "print_stacktrace=1"; }
const char* __lsan_default_options() { return "print_suppressions=0"; }
const char* __lsan_default_suppressions() { return kLeakSuppressions; }
// What an uninstrumented library copies is its own affair; what it locks and starts is still seen.
const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1:print_suppressions=0";
}
const char* __tsan_default_suppressions() { return kRaceSuppressions; }
// NOLINTEND(bugprone-reserved-identifier)
}
