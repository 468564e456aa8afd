// A run, its steps, and the events of its life.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "gateway/types/error.h"
#include "gateway/types/ids.h"
#include "gateway/types/thread.h"
#include "gateway/types/tool.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

enum class RunStatus {
  kQueued,
  kInProgress,
  kRequiresAction,
  kCancelling,
  kCancelled,
  kFailed,
  kCompleted,
  kIncomplete,
  kExpired,
};

// A run in one of these holds its thread; the others are final.
constexpr bool IsActive(RunStatus status) {
  return status == RunStatus::kQueued || status == RunStatus::kInProgress || status == RunStatus::kRequiresAction ||
         status == RunStatus::kCancelling;
}

struct Truncation {
  // Absent: "auto", the window of the model decides.
  std::optional<int> last_messages;
  friend bool operator==(const Truncation&, const Truncation&) = default;
};

// A run that nobody takes further expires after this long.
inline constexpr absl::Duration kRunLifetime = absl::Seconds(600);

struct Run {
  enum class IncompleteReason { kMaxCompletionTokens, kMaxPromptTokens };

  RunId id;
  ProjectId project;
  ThreadId thread_id;
  AssistantId assistant_id;
  absl::Time created_at;
  RunStatus status = RunStatus::kQueued;
  std::optional<absl::Time> started_at;
  std::optional<absl::Time> expires_at;  // absent once the run is final
  std::optional<absl::Time> cancelled_at;
  std::optional<absl::Time> failed_at;
  std::optional<absl::Time> completed_at;
  std::vector<ToolCall> required_calls;  // only while kRequiresAction
  std::optional<LastError> last_error;
  std::optional<IncompleteReason> incomplete_reason;
  std::string model;
  std::string instructions;  // the run's own or the assistant's, with the additional ones appended
  std::vector<Tool> tools;
  ToolResources tool_resources;  // the run's own; empty: the assistant's and the thread's
  std::vector<FileId> files;     // v1's file_ids, copied from the assistant
  Metadata metadata;
  double temperature = 1;
  double top_p = 1;
  std::optional<std::string> reasoning_effort;
  std::optional<int64_t> max_completion_tokens;
  std::optional<int64_t> max_prompt_tokens;
  Truncation truncation;
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;
  ResponseFormat response_format;
  std::optional<TokenUsage> usage;  // absent until final
};

struct RunStep {
  enum class Kind { kMessageCreation, kToolCalls };
  enum class Status { kInProgress, kCancelled, kFailed, kCompleted, kExpired };

  StepId id;
  ProjectId project;
  RunId run_id;
  ThreadId thread_id;
  AssistantId assistant_id;
  absl::Time created_at;
  Kind kind = Kind::kMessageCreation;
  Status status = Status::kInProgress;
  std::optional<absl::Time> cancelled_at;
  std::optional<absl::Time> completed_at;
  std::optional<absl::Time> expired_at;
  std::optional<absl::Time> failed_at;
  std::optional<LastError> last_error;
  MessageId message_id;              // kMessageCreation
  std::vector<ToolCall> tool_calls;  // kToolCalls
  std::optional<TokenUsage> usage;
};

// A run as a client asks for it. What is absent is taken from the assistant.
struct NewRun {
  AssistantId assistant_id;
  std::optional<std::string> model;
  std::optional<std::string> instructions;
  std::optional<std::string> additional_instructions;
  std::vector<NewMessage> additional_messages;
  std::optional<std::vector<Tool>> tools;
  std::optional<ToolResources> tool_resources;
  Metadata metadata;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::string> reasoning_effort;
  std::optional<int64_t> max_completion_tokens;
  std::optional<int64_t> max_prompt_tokens;
  Truncation truncation;
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;
  std::optional<ResponseFormat> response_format;
};

// What grew in one content part of a message. Clients add strings up: each field is sent once or in pieces, never
// twice.
struct MessageDelta {
  MessageId message_id;
  int index = 0;  // of the content part, dense from 0
  ContentPart::Kind kind = ContentPart::Kind::kText;
  std::string text;    // the piece
  bool first = false;  // the first delta of this part ("annotations": [] goes with it)
  // Annotations to add, with the index of the first of them in the part.
  int annotation_index = 0;
  std::vector<Annotation> annotations;
  FileId image_file;  // kImageFile
};

// What grew in one tool call of a step.
struct StepDelta {
  StepId step_id;
  int index = 0;  // of the tool call, dense from 0
  ToolKind kind = ToolKind::kFunction;
  CallId call_id;             // only in the first delta of the call
  std::string function_name;  // only in the first
  std::string arguments;      // the piece (kFunction)
  std::string code;           // the piece (kCodeInterpreter)
  // Outputs to add, with the index of the first of them in the call.
  int output_index = 0;
  std::vector<CodeOutput> outputs;
  RankingOptions ranking;  // kFileSearch, in the first
};

// Named as on the wire: kRunInProgress is "thread.run.in_progress".
enum class RunEventKind {
  kThreadCreated,
  kRunCreated,
  kRunQueued,
  kRunInProgress,
  kRunRequiresAction,
  kRunCompleted,
  kRunIncomplete,
  kRunFailed,
  kRunCancelling,
  kRunCancelled,
  kRunExpired,
  kStepCreated,
  kStepInProgress,
  kStepDelta,
  kStepCompleted,
  kStepFailed,
  kStepCancelled,
  kStepExpired,
  kMessageCreated,
  kMessageInProgress,
  kMessageDelta,
  kMessageCompleted,
  kMessageIncomplete,
  kError,
};

// One entry of a run's log. The payload is the whole object as it is after the event (which the log makes the stored
// state of that object), or what grew.
struct RunEvent {
  RunEventKind kind = RunEventKind::kRunCreated;
  std::variant<Thread, Run, RunStep, Message, StepDelta, MessageDelta, Error> payload;
  // Given by the log: 1, 2, 3, … in each run.
  uint64_t sequence = 0;
};

// After one of these a stream ends ("[DONE]").
constexpr bool EndsStream(RunEventKind kind) {
  switch (kind) {
    case RunEventKind::kRunRequiresAction:
    case RunEventKind::kRunCompleted:
    case RunEventKind::kRunIncomplete:
    case RunEventKind::kRunFailed:
    case RunEventKind::kRunCancelled:
    case RunEventKind::kRunExpired:
    case RunEventKind::kError:
      return true;
    default:
      return false;
  }
}

constexpr bool IsDelta(RunEventKind kind) {
  return kind == RunEventKind::kStepDelta || kind == RunEventKind::kMessageDelta;
}

}  // namespace carrel::gateway
