// Interpreters that are ready before anybody asks: jailed, warmed up, and still virgin. One is taken once, becomes a
// session and dies with it; nothing ever comes back.
//
// It is refilled in the pauses: what making a member costs would else be taken from the calls that run, on the same
// CPUs. Who has just been answered may go on at once, so a pause begins a moment after (a throw-away call is nobody's
// to go on with). Where there is no pause, one member is made now and then, and the others fork for themselves.
//
// A session gets one of the pool when it asks for the runtime's default limits, which are fixed when a jail is made.
// The pool is refilled by one thread in the background, up to `size` for each runtime and as long as all of them
// together hold less than `memory_bytes_max` of real memory, as the kernel counts it. One that has died, or whose
// runtime has changed on disk since, is thrown away.
//
// Thread-safety: every method may be called from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "interpreter/engine/interpreter_process.h"
#include "interpreter/engine/limits.h"
#include "interpreter/engine/statistics.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

struct PoolOptions {
  // Of each runtime that is pooled (its manifest says so); 0: no pool.
  uint64_t size = 0;
  uint64_t memory_bytes_max = 256ull << 20;
  Limits default_limits;  // as in TableOptions
  // Of one session, whatever its runtime allows.
  uint64_t session_memory_bytes_max = UINT64_MAX;
};

class Pool final {
 public:
  // `jails` and `statistics` must outlive the pool.
  Pool(const PoolOptions& options, sandbox::JailMaker& jails, Statistics& statistics);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  // Ends those that nobody took.
  ~Pool();

  // nullopt: none is ready, or the limits are not the runtime's defaults. Never waits.
  [[nodiscard]] std::optional<InterpreterProcess> Take(const std::string& runtime, const sandbox::JailLimits& limits);
  // Somebody is being served, from its making to its end.
  class Request final {
   public:
    explicit Request(Pool& pool) : pool_(pool) { pool_.requests_.fetch_add(1); }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;
    ~Request() { pool_.EndRequest(goes_on_); }
    // Nothing more of his will come.
    void IsLast() { goes_on_ = false; }

   private:
    Pool& pool_;
    bool goes_on_ = true;
  };

  // No more are made; those there are end with the pool.
  void Stop();

  [[nodiscard]] uint64_t ready();
  [[nodiscard]] uint64_t memory_bytes();

 private:
  struct Member {
    InterpreterProcess process;
    sandbox::JailLimits limits;  // as they were asked for
    uint32_t generation = 0;
    uint64_t memory_bytes = 0;
  };
  void EndRequest(bool goes_on);
  // When the next one may be made, if no request comes. With mutex_ held.
  [[nodiscard]] absl::Time NextPause() const;
  // What the next one to make is; nullopt: enough are there. With mutex_ held.
  [[nodiscard]] std::optional<sandbox::PolicyInfo> NextToMake();
  // Takes out those that no session may have. With mutex_ held.
  [[nodiscard]] std::vector<Member> Spoiled();
  [[nodiscard]] bool Make(const sandbox::PolicyInfo& policy);
  void FillLoop();

  const PoolOptions options_;
  sandbox::JailMaker& jails_;
  Statistics& statistics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, std::deque<Member>, std::less<>> members_;  // by runtime, oldest first
  uint64_t memory_bytes_ = 0;
  uint64_t largest_member_bytes_ = 0;
  std::atomic<int> requests_ = 0;
  bool is_short_ = false;                          // one was taken, and not replaced yet
  absl::Time pause_at_ = absl::InfinitePast();     // after the last request's end
  absl::Time patience_at_ = absl::InfinitePast();  // a member is made, pause or not
  std::thread filler_;
};

}  // namespace carrel::interpreter
