#include "run_follower.h"

#include <algorithm>
#include <utility>

#include "strings.h"

namespace carrel::cli {

absl::Status RunFollower::Handle(const std::string& event, const std::string& data) {
  if (event == "done" || data == "[DONE]") return absl::OkStatus();
  Json value = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::InternalError(StrCat("the server sent an event that is no JSON: ", event));
  console_.PrintJsonText(Dump({{"event", event}, {"data", value}}));
  if (event == "error") {
    const std::string message = Text(Below(value, "error"), "message");
    return absl::UnavailableError(message.empty() ? Text(value, "message") : message);
  }
  if (event == "thread.created") {
    thread_ = Text(value, "id");
  } else if (event == "thread.message.delta") {
    HandleMessageDelta(value);
  } else if (event == "thread.run.step.delta") {
    HandleStepDelta(value);
  } else if (event.starts_with("thread.run.step.")) {
    if (event != "thread.run.step.created" && event != "thread.run.step.in_progress") HandleStepEnd(value);
  } else if (event.starts_with("thread.run.")) {
    HandleRun(event, std::move(value));
  } else if (event == "thread.message.completed" || event == "thread.message.incomplete") {
    HandleMessageEnd(value);
  }
  return absl::OkStatus();
}

void RunFollower::HandleRun(const std::string& event, Json run) {
  if (event == "thread.run.created") run_ = Text(run, "id");
  if (thread_.empty()) thread_ = Text(run, "thread_id");
  status_ = Text(run, "status");
  last_ = std::move(run);
}

void RunFollower::HandleMessageDelta(const Json& delta) {
  for (const Json& part : Below(Below(delta, "delta"), "content")) {
    const std::string type = Text(part, "type");
    if (type == "text") ShowText(Below(part, "text"));
    if (type == "refusal") ShowText({{"value", Text(part, "refusal")}});
  }
}

void RunFollower::ShowText(const Json& text) {
  std::string value = Text(text, "value");
  for (const Json& annotation : Below(text, "annotations")) {
    if (Text(annotation, "type") != "file_citation") continue;
    // The marker is for programs; a footnote's number is for people.
    const std::string marker = Text(annotation, "text");
    const size_t at = value.find(marker);
    const std::string number = StrCat("[", NumberOf(annotation), "]");
    if (at != std::string::npos && !marker.empty()) value.replace(at, marker.size(), number);
  }
  if (value.empty()) return;
  if (std::exchange(note_open_, false)) console_.WriteNote("\n");
  console_.WriteStdout(value);
  answer_open_ = !value.ends_with('\n');
}

size_t RunFollower::NumberOf(const Json& annotation) {
  const std::string marker = Text(annotation, "text");
  const auto known = std::find_if(footnotes_.begin(), footnotes_.end(),
                                  [&](const Footnote& footnote) { return footnote.marker == marker; });
  if (known != footnotes_.end()) return static_cast<size_t>(known - footnotes_.begin()) + 1;
  footnotes_.push_back({.file_id = Text(Below(annotation, "file_citation"), "file_id"),
                        .marker = marker,
                        .citation = Below(annotation, "x_carrel")});
  return footnotes_.size();
}

void RunFollower::HandleStepDelta(const Json& delta) {
  for (const Json& call : Below(Below(Below(delta, "delta"), "step_details"), "tool_calls")) ShowCall(call);
}

void RunFollower::ShowCall(const Json& call) {
  const std::string type = Text(call, "type");
  const bool begins = !Text(call, "id").empty();
  if (type == "file_search" && begins) Note("searching the documents\n");
  if (type == "function" && begins) Note(StrCat("calls ", Text(Below(call, "function"), "name"), "\n"));
  if (type != "code_interpreter") return;
  const Json& code = Below(call, "code_interpreter");
  if (begins) Note("code:\n");
  if (const std::string input = Text(code, "input"); !input.empty()) Note(input);
  for (const Json& output : Below(code, "outputs")) {
    const std::string logs = Text(output, "logs");
    if (!logs.empty()) Note(StrCat(note_open_ ? "\n" : "", "output:\n", logs));
  }
}

void RunFollower::HandleStepEnd(const Json& step) {
  for (const Json& call : Below(Below(step, "step_details"), "tool_calls")) {
    for (const Json& output : Below(Below(call, "code_interpreter"), "outputs")) {
      AddFile(Text(Below(output, "image"), "file_id"));
    }
    const Json& outcome = Below(call, "x_carrel");
    const std::string kind = Text(outcome, "kind");
    if (!kind.empty() && kind != "COMPLETED" && kind != "RAISED") Note(StrCat(Text(outcome, "message"), "\n"));
    const Json& results = Below(Below(call, "file_search"), "results");
    if (!results.is_array()) continue;
    std::string line = StrCat(results.size(), results.size() == 1 ? " passage" : " passages", " found");
    std::set<std::string> names;
    for (const Json& result : results) {
      const std::string name = Text(result, "file_name");
      if (names.insert(name).second) StrAppend(&line, names.size() == 1 ? " in " : ", ", name);
    }
    Note(line + "\n");
  }
}

void RunFollower::HandleMessageEnd(const Json& message) {
  for (const Json& part : Below(message, "content")) {
    AddFile(Text(Below(part, "image_file"), "file_id"));
    for (const Json& annotation : Below(Below(part, "text"), "annotations")) {
      AddFile(Text(Below(annotation, "file_path"), "file_id"));
    }
  }
  for (const Json& attachment : Below(message, "attachments")) AddFile(Text(attachment, "file_id"));
  if (std::exchange(answer_open_, false)) console_.WriteStdout("\n");
}

void RunFollower::AddFile(const std::string& id) {
  if (!id.empty() && seen_files_.insert(id).second) files_.push_back(id);
}

void RunFollower::Note(const std::string& text) {
  if (text.empty()) return;
  if (std::exchange(answer_open_, false)) console_.WriteStdout("\n");
  console_.WriteNote(text);
  note_open_ = !text.ends_with('\n');
}

}  // namespace carrel::cli
