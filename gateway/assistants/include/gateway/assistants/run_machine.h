// The life of one run as a pure state machine: Step takes what happened and the moment, changes the state, and returns
// what has to be done. It reads no clock, waits for nothing and knows no port but the source of ids.
//
// Everything that clients see is an Emit; its events, in order, are the run's log. What is asked of the model and of
// the tools is answered later by an input that carries the `op` it was asked with; an answer to an older op is ignored,
// so that what a cancelled call still says does no harm. After a final state every input is ignored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/assistants/answer_scanner.h"
#include "gateway/ports/chat_model.h"
#include "gateway/ports/clock.h"
#include "gateway/tools/arguments.h"
#include "gateway/types/run.h"

namespace carrel::gateway {

struct MachineLimits {
  // Answers of the model in one run.
  int rounds_max = 64;
  // Answers in a row in which every tool call was unusable.
  int broken_rounds_max = 4;
  // Tool calls in one answer.
  std::size_t calls_max = 128;
  // Text of one message, and code and arguments of one answer.
  std::size_t answer_bytes_max = std::size_t{8} << 20;
};

// --- What happens ---

// A worker has room for the run.
struct TakenUp {};
// What Prepare asked for is there. Links as in PromptInputs.
struct Prepared {
  std::map<std::string, FileId> links;
};
struct PrepareFailed {
  LastError error;
};
// Before the model is asked: what there is to say is longer than max_prompt_tokens allows.
struct PromptTooLong {
  uint64_t op = 0;
};
struct ModelSaid {
  uint64_t op = 0;
  ChatDelta delta;
};
struct ModelEnded {
  uint64_t op = 0;
  absl::StatusOr<ChatEnd> end;
  // For a model that does not tell its usage.
  int64_t prompt_tokens_estimate = 0;
};
struct CodeSaid {
  uint64_t op = 0;
  std::size_t call = 0;
  std::string logs;
};
struct CodeOutcome {
  Outcome ending;
  std::string text;
  std::vector<FileId> images;
  std::vector<WrittenFile> files;
  bool state_lost = false;
};
struct CodeEnded {
  uint64_t op = 0;
  std::size_t call = 0;
  absl::StatusOr<CodeOutcome> outcome;
};
struct SearchEnded {
  uint64_t op = 0;
  std::size_t call = 0;
  absl::StatusOr<std::vector<SearchResult>> results;
};
// Checked by CheckOutputs.
struct OutputsSubmitted {
  std::vector<ToolOutput> outputs;
};
struct CancelRequested {};
// expires_at has come.
struct TimeIsUp {};

using Input = std::variant<TakenUp, Prepared, PrepareFailed, PromptTooLong, ModelSaid, ModelEnded, CodeSaid, CodeEnded,
                           SearchEnded, OutputsSubmitted, CancelRequested, TimeIsUp>;

// --- What has to be done ---

struct Emit {
  std::vector<RunEvent> events;
  // A client is to rely on it: it must not be seen before it is stored.
  bool when_durable = false;
};
// Store a step as it stands, without an event.
struct KeepStep {
  RunStep step;
};
// Load what the model will read, and wait for the thread's files.
struct Prepare {};
// Ask the model; RunState::turns is what has been said in this run.
struct AskModel {
  uint64_t op = 0;
};
struct RunCode {
  uint64_t op = 0;
  std::size_t call = 0;
  std::string code;
};
struct RunSearch {
  uint64_t op = 0;
  std::size_t call = 0;
  std::vector<std::string> queries;
  int max_results = 0;
  RankingOptions ranking;
};
// Whatever is going on for the run is of no use any more.
struct StopWork {};
// The run wants to be taken up (again).
struct WantWorker {};
// The run does not need its worker: it waits for its client, or is over.
struct ReleaseWorker {};

using Effect = std::variant<Emit, KeepStep, Prepare, AskModel, RunCode, RunSearch, StopWork, WantWorker, ReleaseWorker>;

// --- The state ---

enum class RunPhase { kQueued, kPreparing, kModel, kTools, kRequiresAction, kOver };

// A tool call of the model's current answer.
struct CallDraft {
  ToolCall call;
  std::string arguments;  // all that has come
  StringMemberReader code{"code"};
  // Its place in the step; -1: not shown yet, because its name has not come.
  int position = -1;
  bool settled = false;         // the model's answer to it is ready
  bool ours_to_answer = false;  // a client's function that was called wrongly: it is not asked of the client
  bool broken = false;
  std::string answer;  // what the model reads
  std::string logs_shown;
};

// A passage that a marker stands for.
struct Cited {
  FileId file_id;
  Citation citation;
  double score = 0;
};

struct RunState {
  Run run;
  RunPhase phase = RunPhase::kQueued;
  uint64_t op = 0;
  bool prepared = false;
  int rounds = 0;
  int broken_rounds = 0;
  int searches = 0;
  TokenUsage usage;

  // What was said in this run, for the model.
  std::vector<ChatMessage> turns;
  std::map<std::string, Cited> citations;  // by marker
  std::map<std::string, FileId> links;     // by path under /mnt/data
  std::vector<FileId> images;              // shown by code since the last message

  // The model's current answer.
  std::vector<CallDraft> calls;
  std::string said;
  std::size_t answer_bytes = 0;
  TokenUsage turn_usage;
  AnswerScanner scanner;
  // Code runs one call after the other: they share the container's variables.
  std::optional<std::size_t> running_code;

  // Open, when they are there.
  std::optional<RunStep> message_step;
  std::optional<Message> message;
  std::optional<RunStep> tools_step;
  int64_t text_length = 0;  // code points of the open message's text part

  bool IsOver() const { return phase == RunPhase::kOver; }
};

struct Moment {
  absl::Time now;
  Ids* ids = nullptr;
};

[[nodiscard]] std::vector<Effect> Step(RunState& state, Input input, const Moment& moment, const MachineLimits& limits);

// A run that was just created (queued), or that a restart found: its steps, oldest first, and the messages they made.
// What has to be done first is returned too: to want a worker, to fail because code was running when the process died,
// or nothing, while the run waits for its client.
struct Restored {
  RunState state;
  std::vector<Effect> effects;
};
[[nodiscard]] Restored Restore(Run run, std::vector<RunStep> steps, std::vector<Message> messages,
                               const Moment& moment);

// kOutputsNotAccepted or kOutputsMismatch of types/error.h.
[[nodiscard]] absl::Status CheckOutputs(const Run& run, const std::vector<ToolOutput>& outputs);
// kRunNotCancellable.
[[nodiscard]] absl::Status CheckCancellable(const Run& run);

}  // namespace carrel::gateway
