// Shows ThreadSanitizer what absl::Mutex, absl::CondVar and absl::Notification order. Debian's libabsl is not
// instrumented, so without this every use of them, ours and gRPC's, would look like no lock at all.
//
// Each function here stands in front of the library's of the same name (an executable's symbols are found first, by the
// libraries too) and says what is given and what is taken: what a thread did before it let a mutex go is seen by who
// locks it next. Conditions (Await, LockWhen) are evaluated by whichever thread unlocks the mutex, in the library's
// midst; they hold the lock, and what they read is not looked at.
#if defined(__SANITIZE_THREAD__)

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

// Of the run time, in no header.
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

namespace {

// The library's own, by its mangled name.
template <typename Function>
Function* Real(const char* name) {
  void* const symbol = ::dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) {
    std::fprintf(stderr, "absl_mutex.cc: libabsl_synchronization has no %s\n", name);
    std::abort();
  }
  return reinterpret_cast<Function*>(symbol);
}

class ReadsIgnored final {
 public:
  ReadsIgnored() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ReadsIgnored(const ReadsIgnored&) = delete;
  ReadsIgnored& operator=(const ReadsIgnored&) = delete;
  ~ReadsIgnored() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

void Take(const volatile void* mutex) { __tsan_acquire(const_cast<void*>(mutex)); }
void Give(const volatile void* mutex) { __tsan_release(const_cast<void*>(mutex)); }

// The inline HasBeenNotified reads the flag, which lies behind the mutex.
const char* FlagOf(const absl::Notification* notification) {
  return reinterpret_cast<const char*>(notification) + sizeof(absl::Mutex);
}

}  // namespace

// NOLINTBEGIN(readability-identifier-naming): the names are the library's
#define CARREL_ABSL(name) "_ZN4absl7debian3" name
#define CARREL_ABSL_CONST(name) "_ZNK4absl7debian3" name

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static auto* const real = Real<void(Mutex*)>(CARREL_ABSL("5Mutex4LockEv"));
  real(this);
  Take(this);
}
void Mutex::Unlock() {
  static auto* const real = Real<void(Mutex*)>(CARREL_ABSL("5Mutex6UnlockEv"));
  Give(this);
  const ReadsIgnored ignored;
  real(this);
}
bool Mutex::TryLock() {
  static auto* const real = Real<bool(Mutex*)>(CARREL_ABSL("5Mutex7TryLockEv"));
  const bool locked = real(this);
  if (locked) Take(this);
  return locked;
}
void Mutex::ReaderLock() {
  static auto* const real = Real<void(Mutex*)>(CARREL_ABSL("5Mutex10ReaderLockEv"));
  real(this);
  Take(this);
}
void Mutex::ReaderUnlock() {
  static auto* const real = Real<void(Mutex*)>(CARREL_ABSL("5Mutex12ReaderUnlockEv"));
  Give(this);
  const ReadsIgnored ignored;
  real(this);
}
bool Mutex::ReaderTryLock() {
  static auto* const real = Real<bool(Mutex*)>(CARREL_ABSL("5Mutex13ReaderTryLockEv"));
  const bool locked = real(this);
  if (locked) Take(this);
  return locked;
}
void Mutex::Await(const Condition& condition) {
  static auto* const real = Real<void(Mutex*, const Condition&)>(CARREL_ABSL("5Mutex5AwaitERKNS0_9ConditionE"));
  Give(this);
  {
    const ReadsIgnored ignored;
    real(this, condition);
  }
  Take(this);
}
bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static auto* const real = Real<bool(Mutex*, const Condition&, Duration)>(
      CARREL_ABSL("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"));
  Give(this);
  bool holds = false;
  {
    const ReadsIgnored ignored;
    holds = real(this, condition, timeout);
  }
  Take(this);
  return holds;
}
bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static auto* const real =
      Real<bool(Mutex*, const Condition&, Time)>(CARREL_ABSL("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"));
  Give(this);
  bool holds = false;
  {
    const ReadsIgnored ignored;
    holds = real(this, condition, deadline);
  }
  Take(this);
  return holds;
}
void Mutex::LockWhen(const Condition& condition) {
  static auto* const real = Real<void(Mutex*, const Condition&)>(CARREL_ABSL("5Mutex8LockWhenERKNS0_9ConditionE"));
  {
    const ReadsIgnored ignored;
    real(this, condition);
  }
  Take(this);
}
bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  static auto* const real = Real<bool(Mutex*, const Condition&, Duration)>(
      CARREL_ABSL("5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE"));
  bool holds = false;
  {
    const ReadsIgnored ignored;
    holds = real(this, condition, timeout);
  }
  Take(this);
  return holds;
}
bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  static auto* const real = Real<bool(Mutex*, const Condition&, Time)>(
      CARREL_ABSL("5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE"));
  bool holds = false;
  {
    const ReadsIgnored ignored;
    holds = real(this, condition, deadline);
  }
  Take(this);
  return holds;
}

void CondVar::Wait(Mutex* mutex) {
  static auto* const real = Real<void(CondVar*, Mutex*)>(CARREL_ABSL("7CondVar4WaitEPNS0_5MutexE"));
  Give(mutex);
  {
    const ReadsIgnored ignored;
    real(this, mutex);
  }
  Take(mutex);
}
bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static auto* const real =
      Real<bool(CondVar*, Mutex*, Duration)>(CARREL_ABSL("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
  Give(mutex);
  bool late = false;
  {
    const ReadsIgnored ignored;
    late = real(this, mutex, timeout);
  }
  Take(mutex);
  return late;
}
bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const real =
      Real<bool(CondVar*, Mutex*, Time)>(CARREL_ABSL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
  Give(mutex);
  bool late = false;
  {
    const ReadsIgnored ignored;
    late = real(this, mutex, deadline);
  }
  Take(mutex);
  return late;
}

void Notification::Notify() {
  static auto* const real = Real<void(Notification*)>(CARREL_ABSL("12Notification6NotifyEv"));
  Give(FlagOf(this));
  real(this);
}
void Notification::WaitForNotification() const {
  static auto* const real = Real<void(const Notification*)>(CARREL_ABSL_CONST("12Notification19WaitForNotificationEv"));
  real(this);
  Take(FlagOf(this));
}
bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const real = Real<bool(const Notification*, Duration)>(
      CARREL_ABSL_CONST("12Notification30WaitForNotificationWithTimeoutENS0_8DurationE"));
  const bool notified = real(this, timeout);
  if (notified) Take(FlagOf(this));
  return notified;
}
bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static auto* const real = Real<bool(const Notification*, Time)>(
      CARREL_ABSL_CONST("12Notification31WaitForNotificationWithDeadlineENS0_4TimeE"));
  const bool notified = real(this, deadline);
  if (notified) Take(FlagOf(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
// NOLINTEND(readability-identifier-naming)

#endif
