// One call: a cell sent to the driver, and everything watched until it is over.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "interpreter/engine/frames.h"
#include "interpreter/engine/limits.h"
#include "interpreter/engine/outcome.h"
#include "sandbox/base/unique_fd.h"
#include "sandbox/jail.h"

namespace carrel::interpreter {

// Where a call's events go. Called from the call's own thread, in order; must not block for long, for the limits are
// watched by the same thread.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnStarted(const std::string& session_id, absl::Duration queued, absl::Duration linger) = 0;
  virtual void OnStdout(std::string text) = 0;
  virtual void OnStderr(std::string text) = 0;
  virtual void OnDisplay(Display display) = 0;
  virtual void OnArtifact(Artifact artifact) = 0;
  // The code was handed over: what a sink has to prepare costs no time now.
  virtual void OnHandedOver() {}
  // The call is not a short one: what was said so far should be on its way now, and what follows at once. Until then a
  // sink may keep the events, to send those of a short call together.
  virtual void OnLasting() {}
  // true: nobody wants the rest. Asked every few milliseconds; thread-safe.
  [[nodiscard]] virtual bool Cancelled() const = 0;
};

// The server's ends of a session's descriptors.
struct SessionPipes {
  UniqueFd standard_output;  // non-blocking
  UniqueFd standard_error;   // non-blocking
  UniqueFd control;          // stream socket, non-blocking
};

struct CallOptions {
  uint64_t call = 0;
  std::string_view code;
  Limits limits;
  // What the jail had used when the call began. Unset: nobody counts, and only the wall clock limits.
  std::optional<uint64_t> cpu_ns_before;
  // What the session had used of its own limit when the call began.
  absl::Duration session_cpu_before = absl::ZeroDuration();
  // How many processes had been ended for want of memory when the call began. Unset: nobody knows.
  std::optional<uint64_t> oom_kills_before;
  // The call before was interrupted; what arrives late of that is not for this one.
  bool forget_interrupts = false;
  // After an interrupt, until the session is killed.
  absl::Duration interrupt_grace;
  // Output over its limit ends the call, instead of being counted and dropped.
  bool end_at_output_limit = false;
  bool save_figures = false;
};

// What the call came to, before the session adds the workspace and the usage.
struct CallResult {
  Outcome outcome;
  bool done = false;         // the driver reported the end of the cell
  bool interrupted = false;  // by us
  int32_t error_number = 0;  // errno of an OSError that ended the cell
  std::string death_reason;  // set: the interpreter is gone (or was killed), and why
};

// Runs one cell. `deleted` tells that the session is being deleted.
[[nodiscard]] CallResult RunCall(const CallOptions& options, sandbox::Jail& jail, SessionPipes& pipes, EventSink& sink,
                                 const std::atomic<bool>& deleted);

}  // namespace carrel::interpreter
